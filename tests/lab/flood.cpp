// IKE_SA_INIT requests from forged addresses, at a chosen rate: what tests/lab/test_flood.py and scripts/flood let
// loose on a gateway, inside network namespaces alone.
//
//     flood DEVICE MAC ADDRESS PORT RATE SECONDS [KIND [SPII SPIR]]
//
// Frames for MAC, of UDP to ADDRESS:PORT over IPv4, from a source in 100.64.0.0/10 and a port that differ each time, as
// do the initiator's SPI and the nonce. All else is a request that any gateway would take (RFC 7296 §1.2):
// AES-GCM-16-256, HMAC-SHA2-384, x25519. KIND is what differs from that:
//
//     prefix     all sources are in one /24
//     cookie     a COOKIE comes first, made up (RFC 7296 §2.6)
//     resume     IKE_SESSION_RESUME with a ticket, made up (RFC 5723)
//     garbage    the responder's SPI is made up too: they claim to belong to an IKE SA
//     fragments  pieces of an encrypted message, made up (RFC 7383), for the IKE SA of SPII and SPIR (hexadecimal), as
//                somebody on the path could send them
//
// It says "ready", and ends with one line: sent N seconds S.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t batch_size = 32;
constexpr std::uint64_t second = 1'000'000'000, tick = 200'000, longest_debt = 5'000'000;  // ns

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::uint64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * second + static_cast<std::uint64_t>(time.tv_nsec);
}

using Frame = std::vector<std::uint8_t>;

void put16(Frame& frame, std::size_t value) {
  frame.push_back(static_cast<std::uint8_t>(value >> 8));
  frame.push_back(static_cast<std::uint8_t>(value));
}
void put(Frame& frame, std::initializer_list<int> bytes) {
  for (const int byte : bytes) frame.push_back(static_cast<std::uint8_t>(byte));
}
void put_payload(Frame& frame, int next, const Frame& body) {
  put(frame, {next, 0});
  put16(frame, body.size() + 4);
  frame.insert(frame.end(), body.begin(), body.end());
}

constexpr std::size_t ip_offset = 14, udp_offset = 34, ike_offset = 42, nonce_len = 32;

enum : std::uint8_t { sa = 33, ke = 34, nonce = 40, notify = 41, skf = 53 };            // RFC 7296 §3.2, RFC 7383
enum : std::uint8_t { ike_sa_init = 34, informational = 37, ike_session_resume = 38 };  // exchanges
constexpr int cookie_type = 16390, ticket_opaque = 16413;                               // notifications

/// An IKE message, and what of it is to differ from one to the next.
struct Pattern {
  struct Part {
    std::size_t at, len;
  };
  Frame bytes;
  std::vector<Part> random;

  Pattern(int exchange, int first) : bytes(16, 0) { put(bytes, {first, 0x20, exchange, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}); }
  void add(int next, const Frame& fixed, std::size_t random_len) {
    Frame body = fixed;
    random.push_back({bytes.size() + 4 + fixed.size(), random_len});
    body.resize(body.size() + random_len);
    put_payload(bytes, next, body);
  }
  void finish() {
    bytes[26] = static_cast<std::uint8_t>(bytes.size() >> 8);
    bytes[27] = static_cast<std::uint8_t>(bytes.size());
  }
};

Frame notification(int type) {
  return {0, 0, static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type & 255)};
}

Pattern init_request(bool with_cookie) {
  Pattern ike(ike_sa_init, with_cookie ? notify : sa);
  ike.random.push_back({0, 8});
  if (with_cookie) ike.add(sa, notification(cookie_type), 40);
  Frame proposal{0, 0, 0, 36, 1, 1, 0, 3};
  put(proposal, {3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 1, 0});  // ENCR_AES_GCM_16, key length 256
  put(proposal, {3, 0, 0, 8, 2, 0, 0, 6});                    // PRF_HMAC_SHA2_384
  put(proposal, {0, 0, 0, 8, 4, 0, 0, 31});                   // curve25519
  ike.add(ke, proposal, 0);
  Frame value{0, 31, 0, 0};
  for (int i = 0; i < 32; ++i) value.push_back(static_cast<std::uint8_t>(9 + i));
  ike.add(nonce, value, 0);
  ike.add(0, {}, nonce_len);
  return ike;
}

Pattern resume_request() {
  Pattern ike(ike_session_resume, nonce);
  ike.random.push_back({0, 8});
  ike.add(notify, {}, nonce_len);
  ike.add(0, notification(ticket_opaque), 240);
  return ike;
}

/// The second of four; of message 0, the next one of an IKE SA on which the peer has not asked for anything yet.
Pattern fragment(std::uint64_t spi_i, std::uint64_t spi_r) {
  Pattern ike(informational, skf);
  for (int i = 0; i < 8; ++i) {
    ike.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(spi_i >> (56 - 8 * i));
    ike.bytes[static_cast<std::size_t>(8 + i)] = static_cast<std::uint8_t>(spi_r >> (56 - 8 * i));
  }
  ike.bytes[19] = 0;  // of who did not initiate the IKE SA
  ike.add(0, {0, 2, 0, 4}, 500);
  return ike;
}

/// The frame without what differs from one to the next.
Frame envelope(const std::array<unsigned, 6>& mac, in_addr to, std::uint16_t port, Frame ike) {
  if (port == 4500) ike.insert(ike.begin(), 4, 0);  // RFC 3948 §2.2
  Frame frame;
  for (const unsigned byte : mac) frame.push_back(static_cast<std::uint8_t>(byte));
  put(frame, {2, 0, 0, 0, 0, 1, 8, 0});
  put(frame, {0x45, 0});
  put16(frame, 28 + ike.size());
  put(frame, {0, 0, 0, 0, 64, 17, 0, 0, 100, 64, 7, 0});
  const auto* address = reinterpret_cast<const std::uint8_t*>(&to);
  frame.insert(frame.end(), address, address + 4);
  put16(frame, 0);
  put16(frame, port);
  put16(frame, 8 + ike.size());
  put16(frame, 0);  // no checksum: RFC 768
  frame.insert(frame.end(), ike.begin(), ike.end());
  return frame;
}

std::uint16_t ip_checksum(const std::uint8_t* header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) sum += static_cast<std::uint32_t>(header[i] << 8 | header[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

class Flood {
 public:
  /// `random`: of the frame, beside source and port.
  Flood(const char* device, const Frame& frame, std::vector<Pattern::Part> random, bool one_prefix)
      : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)),
        parts_of_frame_(std::move(random)),
        one_prefix_(one_prefix) {
    if (fd_ < 0) die("AF_PACKET");
    const int one = 1;
    if (::setsockopt(fd_, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0) die("PACKET_QDISC_BYPASS");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(::if_nametoindex(device));
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die(device);
    for (std::size_t i = 0; i < batch_size; ++i) {
      frames_[i] = frame;
      parts_[i] = {frames_[i].data(), frames_[i].size()};
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  /// At most so many; how many left.
  std::size_t send(std::size_t wanted) {
    const std::size_t num = std::min(wanted, batch_size);
    for (std::size_t i = 0; i < num; ++i) vary(frames_[i]);
    const int sent = ::sendmmsg(fd_, messages_.data(), static_cast<unsigned>(num), 0);
    if (sent < 0 && errno != EAGAIN && errno != ENOBUFS) die("sendmmsg");
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }

 private:
  void vary(Frame& frame) {
    const auto scatter = [&](std::size_t at, std::size_t len) {
      for (std::size_t i = 0; i < len; i += 8) {
        const std::uint64_t bits = random_();
        std::memcpy(&frame[at + i], &bits, std::min<std::size_t>(8, len - i));
      }
    };
    scatter(ip_offset + (one_prefix_ ? 15 : 13), one_prefix_ ? 1 : 3);
    if (!one_prefix_) frame[ip_offset + 13] = static_cast<std::uint8_t>(64 | (frame[ip_offset + 13] & 63));
    frame[ip_offset + 10] = frame[ip_offset + 11] = 0;
    const std::uint16_t checksum = ip_checksum(&frame[ip_offset]);
    frame[ip_offset + 10] = static_cast<std::uint8_t>(checksum >> 8);
    frame[ip_offset + 11] = static_cast<std::uint8_t>(checksum);
    scatter(udp_offset, 2);
    for (const auto& part : parts_of_frame_) scatter(part.at, part.len);
  }

  int fd_;
  std::vector<Pattern::Part> parts_of_frame_;
  bool one_prefix_;
  std::mt19937_64 random_{std::random_device{}()};  // another flood each time: one that repeats itself is an easier one
  std::array<Frame, batch_size> frames_;
  std::array<iovec, batch_size> parts_{};
  std::array<mmsghdr, batch_size> messages_{};
};

Pattern pattern_of(std::string_view kind, char** spis) {
  if (kind == "fragments") return fragment(std::strtoull(spis[0], nullptr, 16), std::strtoull(spis[1], nullptr, 16));
  if (kind == "resume") return resume_request();
  Pattern ike = init_request(kind == "cookie");
  if (kind == "garbage") ike.random.push_back({8, 8});
  return ike;
}

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  std::array<unsigned, 6> mac{};
  in_addr to{};
  const std::string_view kind = argc > 7 ? argv[7] : "";
  constexpr std::array<std::string_view, 6> kinds{"", "prefix", "cookie", "resume", "garbage", "fragments"};
  const bool fits =
      argc >= 7 &&
      argc == (kind.empty()          ? 7
               : kind == "fragments" ? 10
                                     : 8) &&
      std::find(kinds.begin(), kinds.end(), kind) != kinds.end() &&
      std::sscanf(argv[2], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) == 6 &&
      ::inet_pton(AF_INET, argv[3], &to) == 1;
  if (!fits) {
    std::fprintf(stderr, "usage: flood DEVICE MAC ADDRESS PORT RATE SECONDS [KIND [SPII SPIR]]\n");
    return 2;
  }
  const auto port = static_cast<std::uint16_t>(std::strtoul(argv[4], nullptr, 10));
  const std::uint64_t rate = std::strtoull(argv[5], nullptr, 10), seconds = std::strtoull(argv[6], nullptr, 10);
  Pattern ike = pattern_of(kind, argv + 8);
  ike.finish();
  for (auto& part : ike.random) part.at += ike_offset + (port == 4500 ? 4 : 0);
  Flood flood(argv[1], envelope(mac, to, port, ike.bytes), ike.random, kind == "prefix");
  std::puts("ready");
  std::fflush(stdout);

  const std::uint64_t begin = now(), end = begin + seconds * second;
  std::uint64_t sent = 0, credit_from = begin;
  for (std::uint64_t time = begin; time < end; time = now()) {
    if (time - credit_from > longest_debt)
      credit_from = time - longest_debt;  // what was missed is not made up for in a burst
    std::uint64_t due = (time - credit_from) * rate / second;
    if (due == 0) {
      const timespec pause{.tv_sec = 0, .tv_nsec = static_cast<long>(tick)};
      ::nanosleep(&pause, nullptr);
      continue;
    }
    credit_from += due * second / rate;
    while (due > 0) {
      const std::size_t num = flood.send(due);
      if (num == 0) break;
      sent += num;
      due -= num;
    }
  }
  std::printf("sent %lu seconds %.3f\n", sent, static_cast<double>(now() - begin) / second);
}

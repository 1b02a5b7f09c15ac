// IKE_SA_INIT requests from forged addresses, at a chosen rate: what tests/lab/test_flood.py and scripts/flood let
// loose on a gateway, inside network namespaces alone.
//
//     flood DEVICE MAC ADDRESS PORT RATE SECONDS [garbage]
//
// Frames for MAC, of UDP to ADDRESS:PORT over IPv4, from a source in 100.64.0.0/10 and a port that differ each time, as
// do the initiator's SPI and the nonce. All else is a request that any gateway would take (RFC 7296 §1.2):
// AES-GCM-16-256, HMAC-SHA2-384, x25519. `garbage`: the responder's SPI is made up too, so that they claim to belong to
// an IKE SA. It says "ready", and ends with one line: sent N seconds S.
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

/// RFC 7296 §3: SA (one proposal of three transforms), KE, Ni.
Frame ike_request() {
  Frame sa{0, 0, 0, 40, 1, 1, 0, 3};
  put(sa, {3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 1, 0});  // ENCR_AES_GCM_16, key length 256
  put(sa, {3, 0, 0, 8, 2, 0, 0, 6});                    // PRF_HMAC_SHA2_384
  put(sa, {0, 0, 0, 12, 4, 0, 0, 31});                  // curve25519
  sa[3] = 8 + 12 + 8 + 8;
  sa[8 + 12 + 8 + 3] = 8;
  Frame ke{0, 31, 0, 0};
  for (int i = 0; i < 32; ++i) ke.push_back(static_cast<std::uint8_t>(9 + i));
  Frame ike(16, 0);
  put(ike, {33, 0x20, 34, 0x08, 0, 0, 0, 0, 0, 0, 0, 0});
  put_payload(ike, 34, sa);
  put_payload(ike, 40, ke);
  put_payload(ike, 0, Frame(nonce_len));
  ike[26] = static_cast<std::uint8_t>(ike.size() >> 8);
  ike[27] = static_cast<std::uint8_t>(ike.size());
  return ike;
}

/// The frame without what differs from one to the next.
Frame pattern(const std::array<unsigned, 6>& mac, in_addr to, std::uint16_t port, bool marked) {
  Frame ike = ike_request();
  if (marked) ike.insert(ike.begin(), 4, 0);  // RFC 3948 §2.2
  Frame frame;
  for (const unsigned byte : mac) frame.push_back(static_cast<std::uint8_t>(byte));
  put(frame, {2, 0, 0, 0, 0, 1, 8, 0});
  put(frame, {0x45, 0});
  put16(frame, 28 + ike.size());
  put(frame, {0, 0, 0, 0, 64, 17, 0, 0, 100, 64, 0, 0});
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
  Flood(const char* device, const Frame& frame, std::size_t marker_len, bool garbage)
      : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)), ike_(ike_offset + marker_len), garbage_(garbage) {
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
    scatter(ip_offset + 12, 4);
    frame[ip_offset + 12] = 100;
    frame[ip_offset + 13] = static_cast<std::uint8_t>(64 | (frame[ip_offset + 13] & 63));
    frame[ip_offset + 10] = frame[ip_offset + 11] = 0;
    const std::uint16_t checksum = ip_checksum(&frame[ip_offset]);
    frame[ip_offset + 10] = static_cast<std::uint8_t>(checksum >> 8);
    frame[ip_offset + 11] = static_cast<std::uint8_t>(checksum);
    scatter(udp_offset, 2);
    scatter(ike_, garbage_ ? 16 : 8);
    scatter(frame.size() - nonce_len, nonce_len);
  }

  int fd_;
  std::size_t ike_;
  bool garbage_;
  std::mt19937_64 random_{std::random_device{}()};  // another flood each time: one that repeats itself is an easier one
  std::array<Frame, batch_size> frames_;
  std::array<iovec, batch_size> parts_{};
  std::array<mmsghdr, batch_size> messages_{};
};

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  std::array<unsigned, 6> mac{};
  in_addr to{};
  const bool fits =
      (argc == 7 || argc == 8) &&
      std::sscanf(argv[2], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) == 6 &&
      ::inet_pton(AF_INET, argv[3], &to) == 1;
  if (!fits) {
    std::fprintf(stderr, "usage: flood DEVICE MAC ADDRESS PORT RATE SECONDS [garbage]\n");
    return 2;
  }
  const auto port = static_cast<std::uint16_t>(std::strtoul(argv[4], nullptr, 10));
  const std::uint64_t rate = std::strtoull(argv[5], nullptr, 10), seconds = std::strtoull(argv[6], nullptr, 10);
  const bool marked = port == 4500, garbage = argc == 8 && std::string_view(argv[7]) == "garbage";
  Flood flood(argv[1], pattern(mac, to, port, marked), marked ? 4 : 0, garbage);
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

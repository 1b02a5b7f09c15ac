// UDP at a chosen rate from one host, counted at the other: the generator of scripts/bench.
//   udp_load send ADDRESS PORT SIZE SEGMENTS RATE SECONDS   RATE in datagrams a second, 0: as fast as it goes
//   udp_load receive PORT SECONDS                           ends when nothing came for half a second, or after SECONDS
// SIZE: bytes of payload of a datagram. SEGMENTS: 1 sends datagrams as they are, many in one system call; more gives
// the kernel that many at once to cut (UDP_SEGMENT), as QUIC stacks do. Both print one line of JSON. The receiver takes
// what the kernel has joined (UDP_GRO).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
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
#include <string_view>
#include <system_error>
#include <vector>

namespace {

constexpr std::size_t max_batch = 32;
constexpr std::size_t max_super_packet = 65507;  // the most that IPv4 and UDP leave of 65,535 bytes
constexpr std::uint64_t second = 1'000'000'000;  // times are in nanoseconds
constexpr std::uint64_t tick = 200'000;          // a paced sender wakes so often
constexpr std::uint64_t longest_debt =
    2'000'000;  // what was missed longer ago is not made up for: a burst would be lost

std::uint64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * second + static_cast<std::uint64_t>(time.tv_nsec);
}

void sleep_until(std::uint64_t moment) {
  const timespec time{.tv_sec = static_cast<time_t>(moment / second), .tv_nsec = static_cast<long>(moment % second)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

void set_option(int socket, int level, int name, int value, const char* what) {
  checked(setsockopt(socket, level, name, &value, sizeof value), what);
}

// One system call's worth of datagrams: `max_batch` single ones, or one that the kernel cuts.
class Sender {
 public:
  Sender(const char* address, std::uint16_t port, std::size_t size, std::size_t segments)
      : socket_(checked(socket(AF_INET, SOCK_DGRAM, 0), "socket")),
        segments_(segments),
        payload_(size * segments, 0x5a) {
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
      throw std::system_error(EINVAL, std::generic_category(), address);
    checked(connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to), "connect");
    if (segments > 1) set_option(socket_, SOL_UDP, UDP_SEGMENT, static_cast<int>(size), "UDP_SEGMENT");
    part_ = {.iov_base = payload_.data(), .iov_len = payload_.size()};
    for (mmsghdr& message : messages_) {
      message = {};
      message.msg_hdr.msg_iov = &part_;
      message.msg_hdr.msg_iovlen = 1;
    }
  }

  [[nodiscard]] std::size_t segments() const { return segments_; }

  // At most `wanted` messages; returns how many datagrams left. A queue that is full for a moment counts as none.
  std::size_t send(std::size_t wanted) {
    const auto count = static_cast<unsigned>(std::min(wanted, segments_ > 1 ? 1 : max_batch));
    const int sent = sendmmsg(socket_, messages_.data(), count, 0);
    if (sent >= 0) return static_cast<std::size_t>(sent) * segments_;
    if (errno == ENOBUFS || errno == EAGAIN || errno == ECONNREFUSED) return 0;
    throw std::system_error(errno, std::generic_category(), "sendmmsg");
  }

 private:
  int socket_;
  std::size_t segments_;
  std::vector<std::uint8_t> payload_;
  iovec part_{};
  std::array<mmsghdr, max_batch> messages_{};
};

std::uint64_t send_flat_out(Sender& sender, std::uint64_t end) {
  std::uint64_t sent = 0;
  while (now() < end) sent += sender.send(max_batch);
  return sent;
}

std::uint64_t send_paced(Sender& sender, std::uint64_t start, std::uint64_t end, double rate) {
  const double per_message = static_cast<double>(second) * static_cast<double>(sender.segments()) / rate;
  std::uint64_t sent = 0;
  auto due = static_cast<double>(start);  // when the next message is
  for (std::uint64_t time = start; time < end; time = now()) {
    due = std::max(due, static_cast<double>(time) - static_cast<double>(longest_debt));
    while (due <= static_cast<double>(time)) {
      const auto owed = static_cast<std::size_t>((static_cast<double>(time) - due) / per_message) + 1;
      const std::size_t messages = std::min(owed, sender.segments() > 1 ? 1 : max_batch);
      sent += sender.send(messages);
      due += per_message * static_cast<double>(messages);
    }
    sleep_until(std::max(time + tick, static_cast<std::uint64_t>(due)));
  }
  return sent;
}

int run_sender(char** argument) {
  const std::size_t size = std::strtoul(argument[2], nullptr, 10), segments = std::strtoul(argument[3], nullptr, 10);
  const double rate = std::strtod(argument[4], nullptr), seconds = std::strtod(argument[5], nullptr);
  if (size == 0 || segments == 0 || size * segments > max_super_packet || seconds <= 0) {
    std::fputs("udp_load: SIZE times SEGMENTS is 1 ... 65507, SECONDS is above 0\n", stderr);
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1);
  Sender sender(argument[0], static_cast<std::uint16_t>(std::strtoul(argument[1], nullptr, 10)), size, segments);
  const std::uint64_t start = now();
  const std::uint64_t end = start + static_cast<std::uint64_t>(seconds * static_cast<double>(second));
  const std::uint64_t sent = rate > 0 ? send_paced(sender, start, end, rate) : send_flat_out(sender, end);
  std::printf("{\"datagrams\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(sent),
              static_cast<double>(now() - start) / static_cast<double>(second));
  return 0;
}

// Datagrams in what one receive gave: the kernel says the size of the joined ones, the last may be shorter.
std::uint64_t count_datagrams(const msghdr& message, std::size_t received) {
  for (const cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(control))) {
    if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
    int size = 0;
    std::memcpy(&size, CMSG_DATA(control), sizeof size);
    if (size > 0) return (received + static_cast<std::size_t>(size) - 1) / static_cast<std::size_t>(size);
  }
  return 1;
}

int open_receiver(std::uint16_t port) {
  const int socket_fd = checked(socket(AF_INET, SOCK_DGRAM, 0), "socket");
  set_option(socket_fd, SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20, "SO_RCVBUFFORCE");  // the path shall lose, not the reader
  set_option(socket_fd, SOL_UDP, UDP_GRO, 1, "UDP_GRO");
  const sockaddr_in any{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  checked(bind(socket_fd, reinterpret_cast<const sockaddr*>(&any), sizeof any), "bind");
  const timeval patience{.tv_sec = 0, .tv_usec = 500'000};
  checked(setsockopt(socket_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), "SO_RCVTIMEO");
  return socket_fd;
}

int run_receiver(char** argument) {
  const int socket_fd = open_receiver(static_cast<std::uint16_t>(std::strtoul(argument[0], nullptr, 10)));
  std::puts("ready");
  std::fflush(stdout);
  std::vector<std::uint8_t> buffer(1 << 16);
  std::array<std::uint8_t, 256> control{};
  std::uint64_t datagrams = 0, bytes = 0, first = 0, last = 0;
  const std::uint64_t end =
      now() + static_cast<std::uint64_t>(std::strtod(argument[1], nullptr) * static_cast<double>(second));
  while (now() < end) {
    iovec part{.iov_base = buffer.data(), .iov_len = buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t received = recvmsg(socket_fd, &message, 0);
    if (received < 0 && datagrams > 0) break;  // silence after traffic: the sender has ended
    if (received < 0) continue;
    last = now();
    if (first == 0) first = last;
    datagrams += count_datagrams(message, static_cast<std::size_t>(received));
    bytes += static_cast<std::uint64_t>(received);
  }
  std::printf("{\"datagrams\": %llu, \"bytes\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(datagrams),
              static_cast<unsigned long long>(bytes), static_cast<double>(last - first) / static_cast<double>(second));
  return 0;
}

}  // namespace

int main(int count, char** argument) {
  try {
    if (count == 8 && std::string_view(argument[1]) == "send") return run_sender(argument + 2);
    if (count == 4 && std::string_view(argument[1]) == "receive") return run_receiver(argument + 2);
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "udp_load: %s\n", error.what());
    return 1;
  }
  std::fputs("usage: udp_load send ADDRESS PORT SIZE SEGMENTS RATE SECONDS | receive PORT SECONDS\n", stderr);
  return 2;
}

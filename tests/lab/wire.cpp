// A wire that misbehaves: carries the frames of two devices to each other, delays some of the datagrams so that others
// overtake them, and sends some of them twice. The kernel's netem is not everywhere; this needs AF_PACKET alone.
//
//     wire DEVICE DEVICE DELAYED% DUPLICATED% DISTANCE SEED [HOLD]
//
// A delayed datagram leaves behind 1…DISTANCE later ones, or HOLD ms later (2) when there are none. Both directions are
// treated alike. It says "ready", and ends on SIGTERM with one line for each direction, from the first device and from
// the second:
//
//     esp N duplicated N delayed N other N duplicated N joined N lost N
//
// `joined`: frames that were several datagrams in one piece: what a real wire does not carry. `lost`: frames that came
// faster than they could be taken, or that a device refused.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace {

constexpr std::size_t vnet_header_len = 10, frame_room = 66'000, batch_size = 64;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Settings {
  unsigned delayed_percent = 0, duplicated_percent = 0, distance = 1, seed = 1;
};

/// A frame with the kernel's word on its checksum before it (struct virtio_net_hdr): passed on, so that checksums may
/// be left to devices that are not there.
struct Frame {
  std::unique_ptr<std::uint8_t[]> bytes = std::make_unique_for_overwrite<std::uint8_t[]>(frame_room);
  std::size_t len = 0;
};
using FramePointer = std::unique_ptr<Frame>;

std::uint16_t u16_at(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

/// ESP, in UDP 4500 (RFC 3948 §2: not IKE with its four zero bytes, not a keepalive) or as IP protocol 50; no fragment.
bool is_esp(std::span<const std::uint8_t> frame) {
  constexpr std::uint8_t esp = 50, udp = 17;
  if (frame.size() < 14 + 20) return false;
  std::uint8_t protocol = 0;
  std::size_t upper = 0;
  if (u16_at(frame, 12) == ETH_P_IP) {
    if ((u16_at(frame, 20) & 0x3FFF) != 0) return false;
    protocol = frame[23];
    upper = 14 + (frame[14] & 0x0F) * std::size_t{4};
  } else if (u16_at(frame, 12) == ETH_P_IPV6 && frame.size() >= 14 + 40) {
    protocol = frame[20];
    upper = 14 + 40;
  }
  if (protocol == esp) return true;
  if (protocol != udp || frame.size() < upper + 8 + 8 || u16_at(frame, upper + 2) != 4500) return false;
  return u16_at(frame, upper + 8) != 0 || u16_at(frame, upper + 10) != 0;
}

int open_device(const char* name) {
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) die("AF_PACKET");
  const int one = 1, buffer_len = 64 * 1024 * 1024;
  if (::setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0) die("PACKET_VNET_HDR");
  if (::setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0) die("PACKET_IGNORE_OUTGOING");
  if (::setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0) die("PACKET_QDISC_BYPASS");
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_len, sizeof buffer_len) != 0) die("SO_RCVBUFFORCE");
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_len, sizeof buffer_len) != 0) die("SO_SNDBUFFORCE");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(name));
  if (address.sll_ifindex == 0) die(name);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die(name);
  return fd;
}

/// From one device to the other.
class Direction {
 public:
  Direction(int from, int to, const Settings& settings, unsigned seed)
      : from_(from), to_(to), settings_(settings), random_(seed) {}

  [[nodiscard]] bool holds_some() const { return !held_.empty(); }

  /// Takes what is there and sends what is due; false: there was nothing.
  bool carry() {
    const std::size_t num = receive();
    for (std::size_t i = 0; i < num; ++i) {
      pass(std::move(incoming_[i]));
      release(false);
    }
    send();
    return num != 0;
  }
  /// Nothing came for a while: what was held goes.
  void release_all() {
    release(true);
    send();
  }
  void report() const {
    tpacket_stats stats{};
    socklen_t len = sizeof stats;
    if (::getsockopt(from_, SOL_PACKET, PACKET_STATISTICS, &stats, &len) != 0) die("PACKET_STATISTICS");
    std::printf("esp %lu duplicated %lu delayed %lu other %lu duplicated %lu joined %lu lost %lu\n", num_esp_,
                num_esp_duplicated_, num_esp_delayed_, num_other_, num_other_duplicated_, num_joined_,
                num_refused_ + stats.tp_drops);
  }

 private:
  struct Held {
    std::uint64_t behind;  ///< leaves once so many frames have passed
    FramePointer frame;
  };

  FramePointer new_frame() {
    if (free_.empty()) return std::make_unique<Frame>();
    FramePointer frame = std::move(free_.back());
    free_.pop_back();
    return frame;
  }
  [[nodiscard]] bool chance(unsigned percent) { return random_() % 100 < percent; }

  std::size_t receive() {
    for (std::size_t i = 0; i < batch_size; ++i) {
      if (!incoming_[i]) incoming_[i] = new_frame();
      vectors_[i] = {incoming_[i]->bytes.get(), frame_room};
      messages_[i].msg_hdr = {};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
    const int num = ::recvmmsg(from_, messages_.data(), batch_size, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < num; ++i)
      incoming_[static_cast<std::size_t>(i)]->len = messages_[static_cast<std::size_t>(i)].msg_len;
    return num < 0 ? 0 : static_cast<std::size_t>(num);
  }

  void pass(FramePointer frame) {
    const std::span bytes(frame->bytes.get(), frame->len);
    const bool esp = is_esp(bytes.subspan(std::min(bytes.size(), vnet_header_len)));
    if (bytes[1] != 0) ++num_joined_;  // gso_type
    ++(esp ? num_esp_ : num_other_);
    ++num_passed_;
    const std::uint64_t distance = 1 + random_() % settings_.distance;
    if (chance(settings_.duplicated_percent)) {
      ++(esp ? num_esp_duplicated_ : num_other_duplicated_);
      FramePointer copy = new_frame();
      std::memcpy(copy->bytes.get(), frame->bytes.get(), frame->len);
      copy->len = frame->len;
      held_.push_back({num_passed_ + random_() % (settings_.distance + 1), std::move(copy)});  // 0: right behind it
    }
    if (chance(settings_.delayed_percent)) {
      if (esp) ++num_esp_delayed_;
      held_.push_back({num_passed_ + distance, std::move(frame)});
    } else {
      outgoing_.push_back(std::move(frame));
    }
  }

  void release(bool all) {
    std::erase_if(held_, [&](Held& held) {
      if (!all && held.behind > num_passed_) return false;
      outgoing_.push_back(std::move(held.frame));
      return true;
    });
  }

  void send() {
    for (std::size_t done = 0; done < outgoing_.size();) {
      const std::size_t num = std::min(outgoing_.size() - done, batch_size);
      for (std::size_t i = 0; i < num; ++i) {
        vectors_[i] = {outgoing_[done + i]->bytes.get(), outgoing_[done + i]->len};
        messages_[i].msg_hdr = {};
        messages_[i].msg_hdr.msg_iov = &vectors_[i];
        messages_[i].msg_hdr.msg_iovlen = 1;
      }
      const int sent = ::sendmmsg(to_, messages_.data(), static_cast<unsigned>(num), 0);
      if (sent > 0) {
        done += static_cast<std::size_t>(sent);
      } else if (errno == EAGAIN) {
        pollfd writable{to_, POLLOUT, 0};
        ::poll(&writable, 1, 10);
      } else if (errno != EINTR) {
        ++num_refused_;
        ++done;
      }
    }
    for (FramePointer& frame : outgoing_) free_.push_back(std::move(frame));
    outgoing_.clear();
  }

  const int from_, to_;
  const Settings settings_;
  std::minstd_rand random_;
  std::array<FramePointer, batch_size> incoming_;
  std::array<mmsghdr, batch_size> messages_{};
  std::array<iovec, batch_size> vectors_{};
  std::vector<FramePointer> outgoing_, free_;
  std::vector<Held> held_;
  std::uint64_t num_passed_ = 0, num_esp_ = 0, num_esp_duplicated_ = 0, num_esp_delayed_ = 0;
  std::uint64_t num_other_ = 0, num_other_duplicated_ = 0, num_joined_ = 0, num_refused_ = 0;
};

int open_end_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int fd = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) die("signalfd");
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7 && argc != 8) {
    std::fprintf(stderr, "usage: wire DEVICE DEVICE DELAYED%% DUPLICATED%% DISTANCE SEED [HOLD]\n");
    return 2;
  }
  const auto number = [&](int i) { return static_cast<unsigned>(std::strtoul(argv[i], nullptr, 10)); };
  const Settings settings{number(3), number(4), std::max(number(5), 1U), number(6)};
  const int hold_ms = argc == 8 ? static_cast<int>(number(7)) : 2;
  const int end = open_end_signals(), first = open_device(argv[1]), second = open_device(argv[2]);
  std::array directions{Direction(first, second, settings, settings.seed + 1),
                        Direction(second, first, settings, settings.seed + 2)};
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    std::array<pollfd, 3> ready{{{first, POLLIN, 0}, {second, POLLIN, 0}, {end, POLLIN, 0}}};
    const bool held = directions[0].holds_some() || directions[1].holds_some();
    const int num = ::poll(ready.data(), ready.size(), held ? hold_ms : -1);
    if (ready[2].revents != 0) break;
    for (Direction& direction : directions) {
      if (num == 0) direction.release_all();
      direction.carry();
    }
  }
  for (const Direction& direction : directions) direction.report();
}

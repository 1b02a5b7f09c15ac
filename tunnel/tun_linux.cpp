#include "tun_linux.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace culvert::tunnel {
namespace {

/// Packets that the kernel holds for us, a queue. The default of 500 is a burst of 2.5 ms at 200,000 packets a second:
/// less than a busy machine may keep a worker from running.
constexpr int queue_len = 2000;

/// struct virtio_net_hdr, which linux/virtio_net.h defines in a way that is no C++ (virtio 1.2 §5.1.6); native byte
/// order.
struct VnetHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);
constexpr std::uint8_t needs_csum = 1;                                           // VIRTIO_NET_HDR_F_NEEDS_CSUM
constexpr std::uint8_t gso_none = 0, gso_tcpv4 = 1, gso_tcpv6 = 4, gso_udp = 5;  // VIRTIO_NET_HDR_GSO_…; udp: UDP_L4
constexpr std::uint8_t gso_ecn = 0x80;                                           // a flag beside the type
constexpr unsigned tun_f_uso4 = 0x20, tun_f_uso6 = 0x40;                         // Linux 6.2; Debian 12's headers: 6.1

/// What the kernel may leave to us. It says no to all of it when it does not know one.
TunQueue::Features offer_offloads(int fd) noexcept {
  constexpr unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (::ioctl(fd, TUNSETOFFLOAD, tcp | tun_f_uso4 | tun_f_uso6) == 0) return {.tcp = true, .udp = true};
  return {.tcp = ::ioctl(fd, TUNSETOFFLOAD, tcp) == 0, .udp = false};
}

/// A type that we did not offer counts as TCP, which it then turns out not to be (Segmenter).
Offload from_kernel(const VnetHeader& header) noexcept {
  Offload offload;
  offload.needs_checksum = (header.flags & needs_csum) != 0;
  offload.checksum_start = header.csum_start;
  offload.checksum_offset = header.csum_offset;
  offload.header_len = header.hdr_len;
  offload.segment_len = header.gso_size;
  switch (header.gso_type & ~gso_ecn) {
    case gso_none:
      offload.kind = Offload::Kind::none;
      break;
    case gso_udp:
      offload.kind = Offload::Kind::udp;
      break;
    default:
      offload.kind = Offload::Kind::tcp;
      break;
  }
  return offload;
}

VnetHeader to_kernel(const Offload& offload, ByteView packet) noexcept {
  VnetHeader header{};
  if (offload.needs_checksum) {
    header.flags = needs_csum;
    header.csum_start = offload.checksum_start;
    header.csum_offset = offload.checksum_offset;
  }
  if (offload.kind == Offload::Kind::none) return header;
  header.hdr_len = offload.header_len;
  header.gso_size = offload.segment_len;
  const bool is_v4 = packet[0] >> 4 == 4;
  const auto tcp = is_v4 ? gso_tcpv4 : gso_tcpv6;
  header.gso_type = offload.kind == Offload::Kind::udp ? gso_udp : tcp;
  return header;
}

/// Queues that are attached later take it over. Not worth failing for.
void set_queue_len(const ifreq& device) noexcept {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = device;
  request.ifr_qlen = queue_len;
  [[maybe_unused]] const int ignored = ::ioctl(socket.get(), SIOCSIFTXQLEN, &request);
}

std::unexpected<Error> device_error(const std::string& name, const char* what, int error) {
  const char* hint = error == EBUSY ? " (a device of this name exists already)" : "";
  return fail(Errc::io, "device " + name + ": " + what + std::strerror(error) + hint, error);
}

/// Makes the descriptor a queue of the device; of a new one when `create`.
Result<void> join_device(int fd, const std::string& name, bool create) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  // TUN_EXCL on the first queue: a device that someone else made is not ours to join.
  const int flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | (create ? IFF_TUN_EXCL : 0);
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(fd, TUNSETIFF, &request) != 0) return device_error(name, "", errno);
  if (create) set_queue_len(request);
  return {};
}

}  // namespace

bool is_device_name(std::string_view name) noexcept {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  // '%' would make the kernel choose a number, ':' is an alias; the rest is the kernel's own dev_valid_name().
  return std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7F && c != '/' && c != ':' && c != '%'; });
}

Result<std::vector<TunQueue>> TunQueue::create_device(const std::string& name, unsigned count) {
  if (!is_device_name(name)) return fail(Errc::invalid, "\"" + name + "\" is not a device name");
  std::vector<TunQueue> queues;
  if (auto made = attach(queues, name, count); !made) return std::unexpected(made.error());
  return queues;
}

Result<std::vector<TunQueue>> TunQueue::take_device(const std::string& name, unsigned count, KeptDescriptors& kept) {
  std::vector<TunQueue> queues;
  Features features;
  for (unsigned i = 0; kept.has(queue_name(name, i)); ++i) {
    FileDescriptor fd(kept.take(queue_name(name, i)));
    if (i == 0) features = offer_offloads(fd.get());
    queues.push_back(TunQueue(std::move(fd), features));
  }
  while (queues.size() > count) queues.pop_back();  // the last one first: the others keep their numbers
  if (auto more = attach(queues, name, count); !more) return std::unexpected(more.error());
  return queues;
}

/// Queues until there are `count`; the first one makes the device.
Result<void> TunQueue::attach(std::vector<TunQueue>& queues, const std::string& name, unsigned count) {
  while (queues.size() < count) {
    const bool first = queues.empty();
    FileDescriptor fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!fd) return device_error(name, "/dev/net/tun: ", errno);
    if (auto joined = join_device(fd.get(), name, first); !joined) return joined;
    const Features features = first ? offer_offloads(fd.get()) : queues[0].features_;  // the device's, not the queue's
    queues.push_back(TunQueue(std::move(fd), features));
  }
  return {};
}

Result<void> TunQueue::renew_device(const std::string& name, std::span<const TunQueue> queues) {
  for (const TunQueue& queue : queues) {
    const bool first = &queue == queues.data();
    if (auto joined = join_device(queue.fd(), name, first); !joined) return joined;
    if (first) [[maybe_unused]]
      const Features features = offer_offloads(queue.fd());
  }
  return {};
}

bool TunQueue::has_device() const noexcept {
  pollfd queue{fd_.get(), 0, 0};
  return ::poll(&queue, 1, 0) == 0;  // POLLERR is reported though nobody asked
}

std::size_t TunQueue::read(MutableByteView room, Offload& offload) const noexcept {
  VnetHeader header;
  iovec parts[] = {{&header, sizeof header}, {room.data(), room.size()}};
  ssize_t len = 0;
  do {
    len = ::readv(fd_.get(), parts, 2);
  } while (len < 0 && errno == EINTR);
  if (len <= static_cast<ssize_t>(sizeof header)) return 0;  // EAGAIN: all read. EBADFD: the device is gone
  offload = from_kernel(header);
  return static_cast<std::size_t>(len) - sizeof header;
}

bool TunQueue::is_empty() const noexcept {
  pollfd queue{fd_.get(), POLLIN, 0};
  return ::poll(&queue, 1, 0) == 0;
}

bool TunQueue::write(std::span<iovec> parts, const Offload& offload) const noexcept {
  VnetHeader header = to_kernel(offload, {static_cast<const std::uint8_t*>(parts[1].iov_base), parts[1].iov_len});
  parts[0] = {&header, sizeof header};
  ssize_t len = 0;
  do {
    len = ::writev(fd_.get(), parts.data(), static_cast<int>(parts.size()));
  } while (len < 0 && errno == EINTR);
  return len > 0;  // all of it or nothing
}

bool TunQueue::write(ByteView packet) const noexcept {
  iovec parts[] = {{}, {const_cast<std::uint8_t*>(packet.data()), packet.size()}};
  return write(parts, Offload{});
}

}  // namespace culvert::tunnel

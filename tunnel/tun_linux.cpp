#include "tun_linux.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
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

/// Queues that are attached later take it over. Not worth failing for.
void set_queue_len(const ifreq& device) noexcept {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = device;
  request.ifr_qlen = queue_len;
  [[maybe_unused]] const int ignored = ::ioctl(socket.get(), SIOCSIFTXQLEN, &request);
}

}  // namespace

bool is_device_name(std::string_view name) noexcept {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  // '%' would make the kernel choose a number, ':' is an alias; the rest is the kernel's own dev_valid_name().
  return std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7F && c != '/' && c != ':' && c != '%'; });
}

Result<std::vector<TunQueue>> TunQueue::create_device(const std::string& name, unsigned count) {
  if (!is_device_name(name)) return fail(Errc::invalid, "\"" + name + "\" is not a device name");
  const auto failed = [&](const char* what, int error) {
    const char* hint = error == EBUSY ? " (a device of this name exists already)" : "";
    return fail(Errc::io, "device " + name + ": " + what + std::strerror(error) + hint, error);
  };
  std::vector<TunQueue> queues;
  for (unsigned i = 0; i < count; ++i) {
    FileDescriptor fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!fd) return failed("/dev/net/tun: ", errno);
    ifreq request{};
    std::memcpy(request.ifr_name, name.data(), name.size());
    // TUN_EXCL on the first queue: a device that someone else made is not ours to join.
    const int flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | (i == 0 ? IFF_TUN_EXCL : 0);
    request.ifr_flags = static_cast<short>(flags);
    if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return failed("", errno);
    if (i == 0) set_queue_len(request);
    queues.push_back(TunQueue(std::move(fd)));
  }
  return queues;
}

std::size_t TunQueue::read_batch(std::span<const MutableByteView> buffers, std::span<std::size_t> lens) const noexcept {
  std::size_t num_read = 0;
  while (num_read < buffers.size()) {
    const ssize_t len = ::read(fd_.get(), buffers[num_read].data(), buffers[num_read].size());
    if (len < 0 && errno == EINTR) continue;
    if (len <= 0) break;  // EAGAIN: all read. EBADFD: the device is gone
    lens[num_read++] = static_cast<std::size_t>(len);
  }
  return num_read;
}

std::size_t TunQueue::write_batch(std::span<const ByteView> packets, std::span<bool> written) const noexcept {
  std::size_t num_written = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    ssize_t len = 0;
    do {
      len = ::write(fd_.get(), packets[i].data(), packets[i].size());
    } while (len < 0 && errno == EINTR);
    written[i] = len == static_cast<ssize_t>(packets[i].size());
    if (written[i]) ++num_written;
  }
  return num_written;
}

}  // namespace culvert::tunnel

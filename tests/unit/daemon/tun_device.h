#pragma once
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace culvert::test {

/// A TUN device that lives as long as this.
class TunDevice {
 public:
  explicit TunDevice(const char* name, bool persistent = false) : fd_(open("/dev/net/tun", O_RDWR | O_CLOEXEC)) {
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    made_ = fd_ >= 0 && ioctl(fd_, TUNSETIFF, &request) == 0 && (!persistent || ioctl(fd_, TUNSETPERSIST, 1) == 0);
  }
  TunDevice(TunDevice&& other) noexcept : fd_(std::exchange(other.fd_, -1)), made_(other.made_) {}
  TunDevice& operator=(TunDevice&&) = delete;
  ~TunDevice() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] bool made() const { return made_; }

 private:
  int fd_;
  bool made_ = false;
};

}  // namespace culvert::test

#include "culvert/tunnel/kept_descriptors.h"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

namespace culvert::tunnel {

bool KeptDescriptors::has(const std::string& name) const noexcept {
  return std::ranges::find(kept_, name, &NamedDescriptor::name) != kept_.end();
}

int KeptDescriptors::take(const std::string& name) {
  const auto found = std::ranges::find(kept_, name, &NamedDescriptor::name);
  if (found == kept_.end()) return -1;
  const int fd = found->fd;
  kept_.erase(found);
  return fd;
}

bool KeptDescriptors::has_device(const std::string& device) const {
  const auto found = std::ranges::find(kept_, queue_name(device, 0), &NamedDescriptor::name);
  ifreq request{};
  return found != kept_.end() && ::ioctl(found->fd, TUNGETIFF, &request) == 0 && request.ifr_name == device;
}

void KeptDescriptors::close_other_devices(const std::vector<std::string>& wanted) {
  std::erase_if(kept_, [&](const NamedDescriptor& kept) {
    if (!kept.name.starts_with("tun.")) return false;
    const std::size_t dot = kept.name.find('.', 4);
    const std::string device = dot == std::string::npos ? "" : kept.name.substr(dot + 1);
    if (std::ranges::find(wanted, device) != wanted.end()) return false;
    ::close(kept.fd);
    return true;
  });
}

void KeptDescriptors::close() {
  for (const auto& kept : kept_) ::close(kept.fd);
  kept_.clear();
}

std::string queue_name(const std::string& device, unsigned index) {
  return "tun." + std::to_string(index) + "." + device;
}

}  // namespace culvert::tunnel

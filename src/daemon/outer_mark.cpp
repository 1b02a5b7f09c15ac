#include "outer_mark.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace culvert::daemon {

Result<void> mark_sockets(std::span<const tunnel::NamedDescriptor> descriptors, std::uint32_t mark) {
  for (const auto& [name, fd] : descriptors) {
    std::uint32_t current = 0;
    socklen_t len = sizeof current;
    if (::getsockopt(fd, SOL_SOCKET, SO_MARK, &current, &len) != 0) {
      if (errno == ENOTSOCK) continue;  // a TUN device
      return fail(Errc::io, fmt::format("fwmark of {}: {}", name, std::strerror(errno)), errno);
    }
    if (current == mark) continue;
    if (::setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
      return fail(Errc::io, fmt::format("fwmark {} for {}: {}", mark, name, std::strerror(errno)), errno);
  }
  return {};
}

}  // namespace culvert::daemon

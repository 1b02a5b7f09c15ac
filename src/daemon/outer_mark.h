#pragma once
#include <cstdint>
#include <span>

#include "culvert/base/result.h"
#include "culvert/tunnel/kept_descriptors.h"

namespace culvert::daemon {

/// Puts `mark` (SO_MARK; 0: none) on everything that leaves by these sockets from now on; descriptors that are no
/// sockets are passed over. Needs CAP_NET_ADMIN of the calling thread, unless the sockets have that mark already.
/// Workers may use them meanwhile.
[[nodiscard]] Result<void> mark_sockets(std::span<const tunnel::NamedDescriptor> descriptors, std::uint32_t mark);

}  // namespace culvert::daemon

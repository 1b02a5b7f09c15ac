#pragma once
#include <cstdint>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/child_sa.h"
#include "culvert/config/config.h"

namespace culvert::daemon {

inline constexpr std::uint32_t default_path_mtu = 1500;  ///< bytes, where no route says otherwise

/// What an installed pair of SAs says about the size of its packets.
struct SaShape {
  crypto::CipherSuite suite{};
  EspMode mode = EspMode::tunnel;
  EspEncapsulation encapsulation = EspEncapsulation::udp;
  IpFamily outer_family = IpFamily::v4;
};

/// The inner MTU in bytes, exact for this SA. At least 576 (RFC 791: what every host takes), whatever the path claims.
[[nodiscard]] std::uint16_t tunnel_mtu(const tunnel::TunnelConfig& tunnel, const SaShape& sa, std::uint32_t path_mtu);

/// The largest inner packet in bytes that makes an outer one of at most `outer` bytes; 0: none does.
[[nodiscard]] std::uint16_t largest_inner(const tunnel::TunnelConfig& tunnel, const SaShape& sa, std::uint32_t outer);
/// Bytes that GRE adds to an inner packet, with its delivery header.
[[nodiscard]] std::size_t tunnel_overhead(const tunnel::TunnelConfig& tunnel, const SaShape& sa);

/// All shapes that the peer's configuration allows: every ESP suite, mode, encapsulation and outer family. Never empty.
[[nodiscard]] std::vector<SaShape> possible_shapes(const ike::PeerConfig& peer, ChildId child,
                                                   const std::vector<IpAddress>& listen);

/// The MTU to start with, before any SA exists: that of the largest overhead among `shapes`.
[[nodiscard]] std::uint16_t smallest_tunnel_mtu(const tunnel::TunnelConfig& tunnel, const std::vector<SaShape>& shapes,
                                                std::uint32_t path_mtu);

}  // namespace culvert::daemon

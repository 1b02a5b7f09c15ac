#pragma once
#include <cstdint>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"

namespace culvert::tunnel {

/// Longest answer that build_packet_too_big writes: RFC 4443 §2.4 (c), the IPv6 minimum MTU. IPv4: 576 (RFC 1812
/// §4.3.2.3).
inline constexpr std::size_t max_packet_too_big_len = 1280;

/// ICMPv4 type 3 code 4 (RFC 792, RFC 1191 §4) or ICMPv6 type 2 (RFC 4443 §3.2) for `packet`, which did not fit `mtu`,
/// sent from `source` (of the packet's family) to its sender. Returns the length of the IP packet written to `out`, or
/// 0 where no error may be sent: about an ICMP error, a non-initial fragment, a multicast or broadcast destination
/// (IPv6 multicast is allowed, RFC 4443 §2.4 e.3), a source that is no single host, IPv4 without DF, a malformed
/// packet, or an `out` that is too short.
[[nodiscard]] std::size_t build_packet_too_big(ByteView packet, std::uint16_t mtu, const IpAddress& source,
                                               MutableByteView out) noexcept;

}  // namespace culvert::tunnel

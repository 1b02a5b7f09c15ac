#pragma once
#include <cstdint>

#include "culvert/base/bytes.h"

namespace culvert::wire {

// RFC 792 (with RFC 1191 §4 for the next-hop MTU) and RFC 4443 §3.2
//   |     Type      |     Code      |          Checksum             |
//   |   v4: unused (16) | next-hop MTU (16);   v6: MTU (32)         |
//   |                 as much of the packet as fits                 |

inline constexpr std::size_t icmp_header_len = 8;
inline constexpr std::uint8_t icmp_unreachable = 3, icmp_code_fragmentation_needed = 4;
inline constexpr std::uint8_t icmpv6_packet_too_big = 2;

/// May no ICMP error be sent about it? ICMPv4: unreachable, source quench, redirect, time exceeded, parameter problem
/// (RFC 1122 §3.2.2).
[[nodiscard]] constexpr bool is_icmp_error(std::uint8_t type) noexcept {
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}
/// ICMPv6: types 0–127 are errors (RFC 4443 §2.1), and about a redirect (137) none is sent either (§2.4 e.2).
[[nodiscard]] constexpr bool is_icmpv6_error(std::uint8_t type) noexcept {
  return type < 128 || type == 137;
}

}  // namespace culvert::wire

#pragma once
#include <cstddef>
#include <cstring>

#include "culvert/base/bytes.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/protocol.h"

namespace culvert::tunnel {

/// Both packets are of one flow, told without parsing them: IPv4 without options, no fragments, or IPv6 with TCP or UDP
/// right behind its header, and addresses, protocol and the first four bytes of the upper layer (ports, ICMP type and
/// code) are equal. Then whatever selectors say of the one (RFC 7296 §3.13.1) they say of the other. false says
/// nothing. Each as long as its IP header says. Any thread.
[[nodiscard]] inline bool is_plainly_same_flow(ByteView one, ByteView other) noexcept {
  constexpr std::size_t upper_len = 4;
  constexpr std::size_t v4_len = wire::ipv4_min_header_len + upper_len, v6_len = wire::ipv6_header_len + upper_len;
  constexpr std::size_t v4_addresses_at = 12, v6_addresses_at = 8;
  if (one.size() < v4_len || other.size() < v4_len) return false;
  const auto is_fragment = [](ByteView packet) {
    return (load_be<std::uint16_t>(&packet[6]) & (wire::ipv4_mf | wire::ipv4_offset_mask)) != 0;
  };
  if (one[0] == 0x45 && other[0] == 0x45) {
    return one[9] == other[9] && !is_fragment(one) && !is_fragment(other) &&
           std::memcmp(&one[v4_addresses_at], &other[v4_addresses_at], v4_len - v4_addresses_at) == 0;
  }
  if (one[0] >> 4 != 6 || other[0] >> 4 != 6 || one.size() < v6_len || other.size() < v6_len) return false;
  return one[6] == other[6] && (one[6] == wire::proto_tcp || one[6] == wire::proto_udp) &&
         std::memcmp(&one[v6_addresses_at], &other[v6_addresses_at], v6_len - v6_addresses_at) == 0;
}

}  // namespace culvert::tunnel

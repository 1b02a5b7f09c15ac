#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"

namespace culvert::tunnel {

/// The low two bits of TOS / traffic class, RFC 3168 §5.
enum class Ecn : std::uint8_t { not_ect = 0, ect1 = 1, ect0 = 2, ce = 3 };
[[nodiscard]] constexpr Ecn ecn_of(std::uint8_t tos) noexcept {
  return static_cast<Ecn>(tos & 3);
}

/// The outer TOS for an inner one: DSCP copied (RFC 2983 §3, uniform model) or 0; ECN copied, RFC 6040 §4.1 normal
/// mode.
[[nodiscard]] constexpr std::uint8_t outer_tos(std::uint8_t inner_tos, bool copy_dscp) noexcept {
  return copy_dscp ? inner_tos : static_cast<std::uint8_t>(inner_tos & 3);
}

/// The inner ECN after decapsulation, RFC 6040 §4.2 figure 4; nullopt: drop (outer CE over inner Not-ECT).
[[nodiscard]] constexpr std::optional<Ecn> decapsulate_ecn(Ecn inner, Ecn outer) noexcept {
  if (outer == Ecn::ce) return inner == Ecn::not_ect ? std::nullopt : std::optional{Ecn::ce};
  if (outer == Ecn::ect1 && inner == Ecn::ect0) return Ecn::ect1;
  return inner;
}

/// Applies the above to a well-formed IPv4 or IPv6 packet (at least its fixed header is there), with the IPv4 header
/// checksum kept right. false: drop, DropReason::ecn_invalid.
[[nodiscard]] bool decapsulate_ecn(MutableByteView ip_packet, std::uint8_t outer_tos) noexcept;

}  // namespace culvert::tunnel

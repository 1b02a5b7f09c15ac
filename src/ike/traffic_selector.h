#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/child_sa.h"
#include "culvert/ike/config.h"

namespace culvert::ike {

/// "10.1.0.0/16", "192.0.2.1/32[gre]", "10.0.0.1-10.0.0.9[tcp/80]", "10.1.0.0/16[icmp/8]", "fd00::/64[udp/opaque]".
[[nodiscard]] std::string to_string(const TrafficSelector& selector);
/// The same, joined by ", "; "nothing" for an empty list.
[[nodiscard]] std::string to_string(std::span<const TrafficSelector> selectors);

/// Ports that a packet does not show (RFC 7296 §3.13.1: start 65535, end 0). Within "any" ports, and within nothing
/// else.
[[nodiscard]] bool is_opaque(const TrafficSelector& selector) noexcept;
/// What both allow. nullopt: nothing.
[[nodiscard]] std::optional<TrafficSelector> intersect(const TrafficSelector& a, const TrafficSelector& b) noexcept;
/// Whether all that `inner` allows is allowed by `outer`.
[[nodiscard]] bool contains(const TrafficSelector& outer, const TrafficSelector& inner) noexcept;
/// Whether one of the list contains `selector` (a packet's own, or a whole one).
[[nodiscard]] bool covers(std::span<const TrafficSelector> list, const TrafficSelector& selector) noexcept;
/// The same for every selector of `inner`: a rekey must not get less than what is in use (RFC 7296 §2.9.2).
[[nodiscard]] bool covers_all(std::span<const TrafficSelector> list, std::span<const TrafficSelector> inner) noexcept;

/// Responder, RFC 7296 §2.9: what of the peer's offer we allow. In the order of the offer, so that what its first
/// selector (the packet that triggered) stands for comes first and is never cut off; none lies within another; at most
/// max_selectors. Empty: TS_UNACCEPTABLE. The initiator checks an answer with covers_all(offered, answer).
[[nodiscard]] std::vector<TrafficSelector> narrow(std::span<const TrafficSelector> offered,
                                                  std::span<const TrafficSelector> ours);

/// A configured selector with the IKE SA's own address put in where it names no prefix.
[[nodiscard]] TrafficSelector resolve(const SelectorSpec& spec, const IpAddress& ike_address) noexcept;
[[nodiscard]] std::vector<TrafficSelector> resolve(std::span<const SelectorSpec> specs, const IpAddress& ike_address);

}  // namespace culvert::ike

#include "traffic_selector.h"

#include <fmt/format.h>

#include <algorithm>

#include "message.h"

namespace culvert::ike {
namespace {

constexpr std::uint8_t protocol_icmp = 1, protocol_icmp6 = 58;

std::string protocol_name(std::uint8_t protocol) {
  switch (protocol) {
    case 0:
      return "any";
    case protocol_icmp:
      return "icmp";
    case 2:
      return "igmp";
    case 4:
      return "ipip";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    case 41:
      return "ipv6";
    case 47:
      return "gre";
    case protocol_icmp6:
      return "icmpv6";
    case 89:
      return "ospf";
    case 115:
      return "l2tp";
    case 132:
      return "sctp";
    default:
      return fmt::format("{}", protocol);
  }
}

bool any_port(const TrafficSelector& selector) {
  return selector.start_port == 0 && selector.end_port == 65535;
}

/// "80", "1000-2000", "opaque"; for ICMP the type, and behind a dot the code when it is one alone (RFC 7296 §3.13.1).
std::string port_text(const TrafficSelector& selector) {
  if (is_opaque(selector)) return "opaque";
  const bool icmp = selector.protocol == protocol_icmp || selector.protocol == protocol_icmp6;
  const auto one = [icmp](std::uint16_t port) {
    return icmp ? fmt::format("{}.{}", port >> 8, port & 0xff) : fmt::format("{}", port);
  };
  const bool whole_type =
      icmp && (selector.start_port & 0xff) == 0 && selector.end_port == (selector.start_port | 0xff);
  if (whole_type) return fmt::format("{}", selector.start_port >> 8);
  if (selector.start_port == selector.end_port) return one(selector.start_port);
  return one(selector.start_port) + "-" + one(selector.end_port);
}

/// The range as one prefix, when it is one.
std::optional<IpPrefix> as_prefix(const TrafficSelector& selector) {
  for (int length = selector.first.bits(); length >= 0; --length) {
    const IpPrefix prefix{selector.first, static_cast<std::uint8_t>(length)};
    if (prefix.network() == selector.first && prefix.last() == selector.last) return prefix;
  }
  return std::nullopt;
}

std::string address_text(const TrafficSelector& selector) {
  if (const auto prefix = as_prefix(selector)) return fmt::format("{}/{}", prefix->address.to_string(), prefix->length);
  return selector.first.to_string() + "-" + selector.last.to_string();
}

/// Puts `wider` in the place of the first that lies within it and removes the others, or at the end.
void insert_wider(std::vector<TrafficSelector>& list, const TrafficSelector& wider) {
  const auto within = [&](const TrafficSelector& one) { return contains(wider, one); };
  const auto first = std::ranges::find_if(list, within);
  if (first != list.end()) {
    *first = wider;
    list.erase(std::remove_if(first + 1, list.end(), within), list.end());
  } else if (list.size() < max_selectors) {
    list.push_back(wider);
  }
}

}  // namespace

std::string to_string(const TrafficSelector& selector) {
  std::string text = address_text(selector);
  if (selector.protocol == 0 && any_port(selector)) return text;
  text += '[' + protocol_name(selector.protocol);
  if (!any_port(selector)) text += '/' + port_text(selector);
  return text + ']';
}

std::string to_string(std::span<const TrafficSelector> selectors) {
  if (selectors.empty()) return "nothing";
  std::string text;
  for (const TrafficSelector& selector : selectors) {
    if (!text.empty()) text += ", ";
    text += to_string(selector);
  }
  return text;
}

bool is_opaque(const TrafficSelector& selector) noexcept {
  return selector.start_port == 65535 && selector.end_port == 0;
}

std::optional<TrafficSelector> intersect(const TrafficSelector& a, const TrafficSelector& b) noexcept {
  if (a.first.family() != b.first.family()) return std::nullopt;
  if (a.protocol != 0 && b.protocol != 0 && a.protocol != b.protocol) return std::nullopt;
  TrafficSelector both;
  both.protocol = a.protocol != 0 ? a.protocol : b.protocol;
  both.first = std::max(a.first, b.first);
  both.last = std::min(a.last, b.last);
  if (both.last < both.first) return std::nullopt;

  if (is_opaque(a) || is_opaque(b)) {
    const TrafficSelector& other = is_opaque(a) ? b : a;
    if (!is_opaque(other) && !any_port(other)) return std::nullopt;
    both.start_port = 65535;
    both.end_port = 0;
    return both;
  }
  both.start_port = std::max(a.start_port, b.start_port);
  both.end_port = std::min(a.end_port, b.end_port);
  if (both.start_port > both.end_port) return std::nullopt;
  return both;
}

bool contains(const TrafficSelector& outer, const TrafficSelector& inner) noexcept {
  const auto both = intersect(outer, inner);
  return both && *both == inner;
}

bool covers(std::span<const TrafficSelector> list, const TrafficSelector& selector) noexcept {
  return std::ranges::any_of(list, [&](const TrafficSelector& one) { return contains(one, selector); });
}

bool covers_all(std::span<const TrafficSelector> list, std::span<const TrafficSelector> inner) noexcept {
  return std::ranges::all_of(inner, [&](const TrafficSelector& one) { return covers(list, one); });
}

std::vector<TrafficSelector> narrow(std::span<const TrafficSelector> offered, std::span<const TrafficSelector> ours) {
  std::vector<TrafficSelector> narrowed;
  for (const TrafficSelector& theirs : offered) {
    for (const TrafficSelector& mine : ours) {
      const auto both = intersect(theirs, mine);
      if (both && !covers(narrowed, *both)) insert_wider(narrowed, *both);
    }
  }
  return narrowed;
}

TrafficSelector resolve(const SelectorSpec& spec, const IpAddress& ike_address) noexcept {
  const IpPrefix own{ike_address, static_cast<std::uint8_t>(ike_address.bits())};
  return TrafficSelector::from_prefix(spec.prefix.value_or(own), spec.protocol);
}

std::vector<TrafficSelector> resolve(std::span<const SelectorSpec> specs, const IpAddress& ike_address) {
  std::vector<TrafficSelector> selectors;
  selectors.reserve(specs.size());
  for (const SelectorSpec& spec : specs) selectors.push_back(resolve(spec, ike_address));
  return selectors;
}

}  // namespace culvert::ike

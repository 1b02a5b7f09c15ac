#include "selectors.h"

#include <algorithm>

namespace culvert::tunnel {
namespace {

// RFC 7296 §3.13.1: 0–65535 is any (and includes OPAQUE, RFC 4301 §4.4.1.1), 65535–0 is OPAQUE alone.
bool ports_fit(const TrafficSelector& selector, bool known, std::uint16_t port) noexcept {
  if (selector.start_port == 0 && selector.end_port == 65535) return true;
  if (selector.start_port == 65535 && selector.end_port == 0) return !known;
  return known && selector.start_port <= port && port <= selector.end_port;
}

bool any_contains(std::span<const TrafficSelector> selectors, const IpAddress& address, const wire::Flow& flow,
                  std::uint16_t port) noexcept {
  return std::ranges::any_of(selectors, [&](const auto& selector) { return contains(selector, address, flow, port); });
}

}  // namespace

bool contains(const TrafficSelector& selector, const IpAddress& address, const wire::Flow& flow,
              std::uint16_t port) noexcept {
  if (selector.protocol != 0 && (!flow.protocol_known || selector.protocol != flow.protocol)) return false;
  // Addresses compare by family first, so one of the other family is outside.
  if (address < selector.first || selector.last < address) return false;
  return ports_fit(selector, flow.ports_known, port);
}

bool SelectorSet::allows_outbound(const wire::Flow& flow) const noexcept {
  return any_contains(local_, flow.source, flow, flow.source_port) &&
         any_contains(remote_, flow.destination, flow, flow.destination_port);
}

bool SelectorSet::allows_inbound(const wire::Flow& flow) const noexcept {
  return any_contains(remote_, flow.source, flow, flow.source_port) &&
         any_contains(local_, flow.destination, flow, flow.destination_port);
}

bool SelectorSet::allows_protocol(std::uint8_t protocol) const noexcept {
  const auto fits = [protocol](const TrafficSelector& selector) {
    return (selector.protocol == 0 || selector.protocol == protocol) && ports_fit(selector, false, 0);
  };
  return std::ranges::any_of(local_, fits) && std::ranges::any_of(remote_, fits);
}

}  // namespace culvert::tunnel

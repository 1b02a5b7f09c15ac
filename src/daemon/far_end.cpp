// Who could answer an echo request behind a tunnel, when the peer is no culvert.
#include <algorithm>

#include "machine.h"

namespace culvert::daemon {
namespace {

/// The other host of a net that has two: /30 (RFC 950), /31 (RFC 3021), /127 (RFC 6164).
std::optional<IpAddress> other_host(const IpPrefix& own) {
  const auto last_byte = [](const IpAddress& address) { return address.bytes().back(); };
  const int left = own.address.bits() - own.length;
  std::uint8_t other = 0;
  if (left == 1) {
    other = last_byte(own.address) ^ 1U;
  } else if (left == 2 && own.address.is_v4() && own.address != own.network() && own.address != own.last()) {
    other = last_byte(own.address) ^ 3U;
  } else {
    return std::nullopt;
  }
  std::array<std::uint8_t, 16> bytes{};
  const auto from = own.address.bytes();
  std::ranges::copy(from, bytes.begin());
  bytes[from.size() - 1] = other;
  return IpAddress::from_bytes(ByteView(bytes).first(from.size()));
}

}  // namespace

std::optional<Machine::FarEnd> Machine::far_end(ChildId child) const {
  const auto [begin, end] = tunnels_of_.equal_range(child);
  for (auto at = begin; at != end; ++at) {
    const config::TunnelSettings& settings = *at->second;
    FarEnd found{settings.plane.id, {}, {}, settings.probe.has_value()};
    std::optional<IpAddress> to = settings.probe;
    for (auto own = settings.addresses.begin(); !to && own != settings.addresses.end(); ++own) to = other_host(*own);
    if (!to) continue;
    found.to = *to;
    // What it is sent from is the device's own address, or with carry = "ip" any that the selectors own.
    const auto same_family = [&](const IpPrefix& own) { return own.address.family() == to->family(); };
    const auto own = std::ranges::find_if(settings.addresses, same_family);
    std::optional<IpAddress> from;
    if (settings.plane.carry == tunnel::Carry::ip) {
      from = source_for(settings, {*to, static_cast<std::uint8_t>(to->bits())}, own_addresses_);
    } else if (own != settings.addresses.end()) {
      from = own->address;
    }
    if (!from) continue;
    found.from = *from;
    return found;
  }
  return std::nullopt;
}

}  // namespace culvert::daemon

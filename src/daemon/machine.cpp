#include "machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "culvert/base/log.h"

namespace culvert::daemon {
namespace {

std::unexpected<Error> about(const std::string& tunnel, const Error& error) {
  return fail(error.code, fmt::format("tunnel {}: {}", tunnel, error.detail), error.system_error);
}

/// RFC 8200 §5: no IPv6 on a link below 1280 bytes; the kernel takes the addresses away without a word.
bool too_small_for_v6(const config::TunnelSettings& settings, std::uint16_t mtu) {
  const auto is_v6 = [](const IpPrefix& prefix) { return !prefix.address.is_v4(); };
  return mtu < 1280 && (std::ranges::any_of(settings.addresses, is_v6) || std::ranges::any_of(settings.routes, is_v6));
}

}  // namespace

/// What must not leave another way when its device is gone, each once. Not a default route of the main table: the
/// machine's own has a better metric than any guard, and would be taken.
std::vector<GuardRecord> Machine::guards_of(const config::Config& config) {
  std::set<GuardRecord> guards;
  for (const auto& settings : config.tunnels) {
    if (!settings.fail_closed) continue;
    for (const auto& route : settings.routes)
      if (route.length != 0 || settings.table != main_table) guards.insert({route, settings.table});
    for (const auto& address : settings.addresses)
      if (address.length != address.address.bits()) guards.insert({{address.network(), address.length}, main_table});
  }
  return {guards.begin(), guards.end()};
}

Result<Machine> Machine::create(const config::Config& config, Netlink netlink, StateDir state,
                                const tunnel::KeptDescriptors& kept) {
  Machine machine(config, std::move(netlink), std::move(state));
  machine.follow_mark();
  if (auto removed = machine.remove_leftovers(kept); !removed) return std::unexpected(removed.error());
  return machine;
}

Result<void> Machine::remove_leftovers(const tunnel::KeptDescriptors& kept) {
  ClientNetwork::remove_leftovers(netlink_);
  for (const auto& device : state_.leftovers().devices) {
    if (kept.has_device(device.name)) continue;
    // Our devices go with the process that holds them. A dying one may need a moment for that.
    for (int attempt = 0; attempt < 20; ++attempt) {
      const auto link = netlink_.find_link(device.name);
      if (!link || link->index != device.ifindex) break;
      if (attempt < 19) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        continue;
      }
      log::warn("removing device {} that a culvertd before us left behind", device.name);
      if (auto removed = netlink_.remove_link(link->index); !removed) return removed;
    }
  }
  const auto wanted = guards_of(*config_);
  for (const auto& guard : state_.leftovers().guards) {
    if (std::ranges::find(wanted, guard) != wanted.end()) {
      ours_.guards.push_back(guard);  // no moment without it
    } else if (auto removed = netlink_.remove_guard(guard.to, guard.table);
               !removed && removed.error().code != Errc::not_found) {
      return removed;
    }
  }
  for (const IpPrefix& former : state_.leftovers().former_guards) {
    const GuardRecord guard{former, main_table};
    const bool stays = std::ranges::find(wanted, guard) != wanted.end();
    if (stays) ours_.guards.push_back(guard);
    const auto done = stays ? netlink_.add_guard(former) : netlink_.remove_guard(former, main_table, former_protocol);
    if (!done && done.error().code != Errc::not_found) return done;
  }
  return keep_record();
}

Result<void> Machine::keep_record() const {
  if (!ours_.empty()) return state_.record(ours_);
  state_.forget();
  return {};
}

Result<void> Machine::set_up_guards() {
  // Recorded first: after a crash in between there is one too few to remove, not one too many to stay.
  ours_.guards = guards_of(*config_);
  if (auto recorded = keep_record(); !recorded) return recorded;
  for (const auto& guard : ours_.guards)
    if (auto added = netlink_.add_guard(guard.to, guard.table); !added) return added;
  return {};
}

Result<void> Machine::set_up(tunnel::DataPlane& plane) {
  kept_guards_ = ours_.guards;
  if (auto guarded = set_up_guards(); !guarded) return guarded;
  for (const auto& settings : config_->tunnels)
    if (auto done = set_up(settings, plane); !done) return about(settings.plane.name, done.error());
  kept_guards_ = ours_.guards;
  return {};
}

Result<void> Machine::set_up(const config::TunnelSettings& settings, tunnel::DataPlane& plane) {
  tunnel::TunnelConfig wanted = settings.plane;
  const bool kept = plane.has_kept_device(wanted.device);
  if (!kept && netlink_.find_link(wanted.device))
    return fail(Errc::invalid,
                fmt::format("device {} exists already and is not ours: name another `device`, or remove that one "
                            "('ip link del {}')",
                            wanted.device, wanted.device));
  wanted.mtu = initial_mtu(settings);
  if (auto added = plane.add_tunnel(wanted); !added) return added;
  const auto link = netlink_.find_link(wanted.device);
  if (!link) return std::unexpected(link.error());
  ours_.devices.push_back({wanted.device, link->index});
  if (auto recorded = keep_record(); !recorded) return recorded;
  mtus_[wanted.id] = wanted.mtu;
  if (kept)
    if (auto removed = remove_unwanted(settings, link->index); !removed) return removed;
  if (auto ready = set_up_device(settings, link->index, wanted.mtu); !ready)
    return fail(ready.error().code, fmt::format("device {}: {}", wanted.device, ready.error().detail),
                ready.error().system_error);
  return {};
}

/// What a daemon before us has given the device and this configuration does not. What it does stays without a moment's
/// break.
Result<void> Machine::remove_unwanted(const config::TunnelSettings& settings, int ifindex) {
  const auto gone = [](const Result<void>& removed) { return removed || removed.error().code == Errc::not_found; };
  const auto addresses = netlink_.addresses_of(ifindex);
  if (!addresses) return std::unexpected(addresses.error());
  for (const auto& address : *addresses) {
    if (std::ranges::find(settings.addresses, address) != settings.addresses.end()) continue;
    if (auto removed = netlink_.remove_address(ifindex, address); !gone(removed)) return removed;
  }
  const auto routes = netlink_.routes_of(ifindex);
  if (!routes) return std::unexpected(routes.error());
  for (const auto& route : *routes) {
    const bool wanted = std::ranges::find(settings.routes, route.to) != settings.routes.end();
    if (wanted && route.place == as_kernel_has_it(route.to, place_of(settings))) continue;
    const auto removed = netlink_.remove_route(ifindex, route.to, route.place, route.protocol);
    if (!gone(removed)) return removed;
  }
  return {};
}

Result<void> Machine::renew_device(tunnel::DataPlane& plane, int ifindex) {
  const auto device = std::ranges::find(ours_.devices, ifindex, &DeviceRecord::ifindex);
  if (device == ours_.devices.end()) return fail(Errc::not_found, "no device of ours");
  const std::string name = device->name;
  const auto of_device = [&](const config::TunnelSettings& settings) { return settings.plane.device == name; };
  const auto settings = std::ranges::find_if(config_->tunnels, of_device);
  if (settings == config_->tunnels.end()) return fail(Errc::not_found, fmt::format("no tunnel has device {}", name));
  const TunnelId id = settings->plane.id;
  if (auto renewed = plane.renew_device(id); !renewed) return about(settings->plane.name, renewed.error());
  const auto link = netlink_.find_link(name);
  if (!link) return std::unexpected(link.error());
  device->ifindex = link->index;
  if (auto recorded = keep_record(); !recorded) return recorded;
  if (auto ready = set_up_device(*settings, link->index, mtus_[id]); !ready) return about(name, ready.error());
  client_network_.renew(netlink_, name, link->index);
  log::warn("somebody has deleted device {}: it is there again, with its addresses and routes", name);
  return {};
}

Result<void> Machine::set_up_device(const config::TunnelSettings& settings, int ifindex, std::uint16_t mtu) {
  if (too_small_for_v6(settings, mtu))
    return fail(Errc::invalid,
                fmt::format("an MTU of {} is too small for IPv6, which needs 1280 (RFC 8200): raise `mtu`, or take the "
                            "IPv6 prefixes out",
                            mtu));
  // A routed GRE tunnel wants a link-local address for OSPFv3. Elsewhere the kernel's router solicitations would be
  // traffic that nobody sent: they match no selectors, and they would bring up a tunnel that waits for traffic.
  if (settings.plane.carry == tunnel::Carry::ip || settings.plane.trap)
    if (auto kept = netlink_.keep_v6_addresses_away(ifindex); !kept)
      log::debug("{}: {}", settings.plane.device, kept.error().detail);
  if (auto set = netlink_.set_no_queue(ifindex); !set)
    log::debug("{}: {}", settings.plane.device, set.error().detail);  // it works without, and costs memory
  if (auto changed = netlink_.change_link(ifindex, {mtu, true}); !changed) return changed;
  for (const auto& address : settings.addresses)
    if (auto added = netlink_.add_address(ifindex, address); !added) return added;
  const auto ours = netlink_.addresses();
  if (!ours) return std::unexpected(ours.error());
  for (const auto& route : settings.routes)
    if (auto added = netlink_.add_route(ifindex, route, source_for(settings, route, *ours), place_of(settings)); !added)
      return added;
  return {};
}

/// carry = "ip": what this host itself sends must come from an address that the selectors own, or the peer will not
/// take it.
std::optional<IpAddress> Machine::source_for(const config::TunnelSettings& settings, const IpPrefix& route,
                                             const std::vector<IpPrefix>& ours) const {
  if (settings.plane.carry != tunnel::Carry::ip) return std::nullopt;
  const IpPrefix link_local = *IpPrefix::parse("fe80::/10");
  const auto may_be = [&](const ike::SelectorSpec& selector, const IpAddress& address) {
    return selector.prefix && selector.prefix->contains(address) && address.family() == route.address.family() &&
           !address.is_loopback() && !link_local.contains(address);
  };
  for (const auto& child : config_->peer(settings.peer)->children) {
    if (child.id != settings.plane.child) continue;
    for (const auto* candidates : {&settings.addresses, &ours})  // the device's own before all others
      for (const auto& selector : child.local)
        for (const auto& address : *candidates)
          if (may_be(selector, address.address)) return address.address;
  }
  return std::nullopt;
}

void Machine::tear_down(tunnel::DataPlane& plane) {
  client_network_.release_all(netlink_);
  remove_devices(plane);
  kept_guards_.clear();
  remove_guards();
}

void Machine::hand_over() {
  client_network_.release_all(netlink_);
}

void Machine::abandon(tunnel::DataPlane& plane) {
  client_network_.release_all(netlink_);
  remove_devices(plane);
  remove_guards();
}

void Machine::remove_devices(tunnel::DataPlane& plane) {
  std::vector<TunnelId> tunnels;
  for (const auto& settings : config_->tunnels) tunnels.push_back(settings.plane.id);
  std::vector<int> ifindexes;
  for (const DeviceRecord& device : ours_.devices) ifindexes.push_back(device.ifindex);
  plane.remove_tunnels(tunnels, [&] {
    if (auto removed = netlink_.remove_links(ifindexes); !removed)
      log::debug("{}", removed.error().detail);  // each goes with its last queue, only slower
  });
  ours_.devices.clear();
}

void Machine::remove_guards() {
  for (const auto& guard : ours_.guards) {
    if (std::ranges::find(kept_guards_, guard) != kept_guards_.end()) continue;
    if (auto removed = netlink_.remove_guard(guard.to, guard.table);
        !removed && removed.error().code != Errc::not_found)
      log::warn("{}", removed.error().detail);
  }
  ours_.guards = kept_guards_;
  if (auto recorded = keep_record(); !recorded) log::warn("{}", recorded.error().detail);
}

// ---- as a gateway's client ------------------------------------------------------------------------------------------

const config::TunnelSettings* Machine::virtual_tunnel(PeerId peer) const {
  const auto found = std::ranges::find_if(config_->tunnels, [&](const config::TunnelSettings& settings) {
    return settings.peer == peer && settings.virtual_address;
  });
  return found == config_->tunnels.end() ? nullptr : &*found;
}

void Machine::use_virtual_net(PeerId peer, const std::optional<ike::VirtualNet>& net) {
  if (!net) return client_network_.release(netlink_, peer);  // also of a peer that a reload has removed
  const config::TunnelSettings* settings = virtual_tunnel(peer);
  if (!settings) return;
  client_network_.use(netlink_, peer, config_->peer(peer)->name, settings->plane.device, *net);
}

void Machine::grant(PeerId peer, ChildId child, const std::vector<TrafficSelector>& remote, const IpAddress& gateway) {
  const auto [begin, end] = tunnels_of_.equal_range(child);
  const auto found = std::find_if(begin, end, [](const auto& entry) { return entry.second->virtual_address; });
  if (found == end) return;
  client_network_.grant(netlink_, peer, remote, gateway, found->second->routes_as_granted);
}

std::uint16_t Machine::initial_mtu(const config::TunnelSettings& settings) {
  if (settings.plane.mtu != 0) return settings.plane.mtu;
  const auto& peer = *config_->peer(settings.peer);
  std::uint32_t path = default_path_mtu;
  for (const auto& name : peer.addresses)
    if (const auto literal = IpAddress::parse(name)) path = std::min(path, path_mtu(*literal));
  return smallest_tunnel_mtu(settings.plane, possible_shapes(peer, settings.plane.child, config_->gateway.listen),
                             path);
}

void Machine::adapt_mtu(tunnel::DataPlane& plane, ChildId child, const SaShape& shape, const IpAddress& remote,
                        std::uint32_t limit) {
  const auto [begin, end] = tunnels_of_.equal_range(child);
  for (auto found = begin; found != end; ++found) {
    const config::TunnelSettings& settings = *found->second;
    if (settings.plane.mtu != 0) continue;
    // One device for many clients, each with a path of its own: what was right for the smallest shape stays.
    if (!config_->peer(settings.peer)->pools.empty()) continue;
    const std::uint16_t wanted = tunnel_mtu(settings.plane, shape, std::min(path_mtu(remote), limit));
    std::uint16_t& current = mtus_[settings.plane.id];
    if (wanted == current) continue;
    if (too_small_for_v6(settings, wanted)) {
      log::Subject{.tunnel = settings.plane.name}.warn(
          "tunnel {}: its path leaves {} bytes, and IPv6 needs 1280 (RFC 8200): the device keeps {}",
          settings.plane.name, wanted, current);
      continue;
    }
    const auto link = netlink_.find_link(settings.plane.device);
    auto changed =
        link ? netlink_.change_link(link->index, {wanted, false}) : Result<void>(std::unexpected(link.error()));
    if (!changed) {
      log::Subject{.tunnel = settings.plane.name, .reason = changed.error().detail}.warn(
          "tunnel {}: MTU {}: {}", settings.plane.name, wanted, changed.error().detail);
      continue;
    }
    plane.set_mtu(settings.plane.id, wanted);
    log::Subject{.tunnel = settings.plane.name}.info("tunnel {}: MTU of {} is {} (was {})", settings.plane.name,
                                                     settings.plane.device, wanted, current);
    current = wanted;
  }
}

std::uint16_t Machine::mtu(TunnelId id) const {
  const auto found = mtus_.find(id);
  return found == mtus_.end() ? 0 : found->second;
}

std::uint32_t Machine::path_mtu(const IpAddress& remote) {
  const auto route = netlink_.lookup_route(remote);
  return route ? std::clamp<std::uint32_t>(route->mtu, 576, 65535) : default_path_mtu;
}

std::vector<ike::Path> Machine::find_paths(std::vector<IpAddress> remotes, const std::vector<IpAddress>& ours) {
  std::erase_if(remotes, [this](const IpAddress& remote) { return leads_into_tunnel(remote).has_value(); });
  return path_finder_.find(netlink_, remotes, ours);
}

bool Machine::owns(int ifindex) const noexcept {
  return std::ranges::any_of(ours_.devices, [&](const DeviceRecord& device) { return device.ifindex == ifindex; });
}

std::optional<std::string> Machine::leads_into_tunnel(const IpAddress& remote) {
  auto route = netlink_.lookup_route(remote);
  if (route && owns(route->ifindex) && client_network_.leads_everything(remote.family())) {
    client_network_.pin(netlink_, remote);  // a default route takes all that nobody has pinned
    route = netlink_.lookup_route(remote);
  }
  if (!route || !owns(route->ifindex)) return std::nullopt;
  return fmt::format("the route to {} leads into our own tunnel device {}: add a route to it outside the tunnel",
                     remote.to_string(), route->device);
}

}  // namespace culvert::daemon

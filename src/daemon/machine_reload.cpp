// From one configuration to another: what can fail comes first, and is undone when something after it fails. Routes
// that go from one device to another are withdrawn before they are added; what stands behind them (guards) is there in
// between. Routes that go to another table are there twice for a moment, and no guard is in a table without its route.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "culvert/base/log.h"
#include "machine.h"

namespace culvert::daemon {
namespace {

const config::TunnelSettings* tunnel_of(const config::Config& config, TunnelId id) {
  const auto found = std::ranges::find_if(config.tunnels, [&](const auto& one) { return one.plane.id == id; });
  return found == config.tunnels.end() ? nullptr : &*found;
}

/// Those of `from` that are not in `others`.
template <class T>
std::vector<T> without(const std::vector<T>& from, const std::vector<T>& others) {
  std::vector<T> rest;
  for (const T& one : from)
    if (std::ranges::find(others, one) == others.end()) rest.push_back(one);
  return rest;
}

/// What the kernel holds once.
using PlacedRoute = std::pair<RoutePlace, IpPrefix>;

/// Routes of a tunnel that has changed that must go before anything is added: those that it no longer has, and those in
/// whose place another one wants to stand. The others wait until what comes after them is there.
std::vector<IpPrefix> in_the_way(const config::TunnelSettings& was, const config::TunnelSettings& is,
                                 const std::set<PlacedRoute>& wanted) {
  const RoutePlace before{was.table, was.metric}, after{is.table, is.metric};
  std::vector<IpPrefix> routes;
  for (const IpPrefix& route : was.routes) {
    const bool stays = std::ranges::find(is.routes, route) != is.routes.end();
    if (stays && (before == after || !wanted.contains({as_kernel_has_it(route, before), route}))) continue;
    routes.push_back(route);
  }
  return routes;
}

std::unexpected<Error> about(const config::TunnelSettings& settings, const Error& error) {
  return fail(error.code, fmt::format("tunnel {}: {}", settings.plane.name, error.detail), error.system_error);
}

void complain(const Result<void>& done) {
  if (!done && done.error().code != Errc::not_found) log::warn("{}", done.error().detail);
}

}  // namespace

void Machine::index_tunnels() {
  tunnels_of_.clear();
  for (const auto& settings : config_->tunnels) tunnels_of_.emplace(settings.plane.child, &settings);
}

Result<void> Machine::reconfigure(const config::Config& before, const config::ReloadPlan& plan,
                                  tunnel::DataPlane& plane) {
  index_tunnels();
  Undo undo;
  const auto run = [&]() -> Result<void> {
    const auto [ahead, behind] = new_guards(before);
    if (auto guarded = add_guards(ahead, undo); !guarded) return guarded;
    if (auto free = make_room(before, plan, plane, undo); !free) return free;
    for (const TunnelId id : plan.new_tunnels) {
      const config::TunnelSettings& settings = *tunnel_of(*config_, id);
      if (auto added = add_tunnel(settings, plane, undo); !added) return about(settings, added.error());
    }
    for (const TunnelId id : plan.changed_tunnels) {
      const config::TunnelSettings& settings = *tunnel_of(*config_, id);
      if (auto changed = change(*tunnel_of(before, id), settings, plane, undo); !changed)
        return about(settings, changed.error());
    }
    if (auto guarded = add_guards(behind, undo); !guarded) return guarded;
    return leave_places(before, plan, undo);
  };
  auto done = run();
  if (!done)
    for (auto step = undo.rbegin(); step != undo.rend(); ++step) (*step)();
  return done;
}

void Machine::finish_reload(const config::Config& before, const config::ReloadPlan& plan, tunnel::DataPlane& plane) {
  std::vector<const config::TunnelSettings*> gone;
  for (const TunnelId id : plan.gone_tunnels)
    if (mtus_.contains(id)) gone.push_back(tunnel_of(before, id));
  remove_tunnels(gone, plane);
  kept_guards_ = guards_of(*config_);
  remove_guards();
}

/// Of the guards that are new: those of routes that are new, too, which come before them, and those of routes that come
/// from another table. In front of such a route a guard would refuse what still passes.
std::pair<std::vector<GuardRecord>, std::vector<GuardRecord>> Machine::new_guards(const config::Config& before) const {
  std::pair<std::vector<GuardRecord>, std::vector<GuardRecord>> found;
  for (const GuardRecord& guard : without(guards_of(*config_), ours_.guards)) {
    const bool moved = std::ranges::any_of(before.tunnels, [&](const config::TunnelSettings& was) {
      return std::ranges::find(was.routes, guard.to) != was.routes.end();
    });
    (moved ? found.second : found.first).push_back(guard);
  }
  return found;
}

/// Recorded first, as at the start.
Result<void> Machine::add_guards(const std::vector<GuardRecord>& added, Undo& undo) {
  if (added.empty()) return {};
  const std::vector<GuardRecord> was = ours_.guards;
  ours_.guards.insert(ours_.guards.end(), added.begin(), added.end());
  undo.push_back([this, was] {
    kept_guards_ = was;
    remove_guards();
  });
  if (auto recorded = keep_record(); !recorded) return recorded;
  for (const GuardRecord& guard : added)
    if (auto done = netlink_.add_guard(guard.to, guard.table); !done) return done;
  return {};
}

/// Where routes were that are now elsewhere: the guards first, for the same reason.
Result<void> Machine::leave_places(const config::Config& before, const config::ReloadPlan& plan, Undo& undo) {
  std::vector<GuardRecord> left;
  for (const GuardRecord& guard : without(ours_.guards, guards_of(*config_)))
    if (std::ranges::any_of(config_->tunnels, [&](const config::TunnelSettings& is) {
          return std::ranges::find(is.routes, guard.to) != is.routes.end();
        }))
      left.push_back(guard);
  for (const GuardRecord& guard : left) {
    auto removed = netlink_.remove_guard(guard.to, guard.table);
    if (!removed && removed.error().code != Errc::not_found) return removed;
    undo.push_back([this, guard] { complain(netlink_.add_guard(guard.to, guard.table)); });
  }
  for (const TunnelId id : plan.changed_tunnels) {
    const config::TunnelSettings &was = *tunnel_of(before, id), &is = *tunnel_of(*config_, id);
    if (place_of(was) == place_of(is)) continue;
    std::vector<IpPrefix> routes = was.routes;
    std::erase_if(routes, [&](const IpPrefix& route) {
      return std::ranges::find(is.routes, route) == is.routes.end() ||
             as_kernel_has_it(route, place_of(was)) == as_kernel_has_it(route, place_of(is));
    });
    if (auto done = withdraw(was, routes, {}, undo); !done) return about(was, done.error());
  }
  return {};
}

Result<void> Machine::withdraw(const config::TunnelSettings& from, const std::vector<IpPrefix>& routes,
                               const std::vector<IpPrefix>& addresses, Undo& undo) {
  if (routes.empty() && addresses.empty()) return {};
  const auto link = netlink_.find_link(from.plane.device);
  if (!link) return std::unexpected(link.error());
  const int ifindex = link->index;
  const auto ours = netlink_.addresses();
  if (!ours) return std::unexpected(ours.error());
  for (const IpPrefix& route : routes) {
    auto removed = netlink_.remove_route(ifindex, route, place_of(from));
    if (!removed && removed.error().code != Errc::not_found) return removed;
    undo.push_back([this, ifindex, route, place = place_of(from), source = source_for(from, route, *ours)] {
      complain(netlink_.add_route(ifindex, route, source, place));
    });
  }
  for (const IpPrefix& address : addresses) {
    auto removed = netlink_.remove_address(ifindex, address);
    if (!removed && removed.error().code != Errc::not_found) return removed;
    undo.push_back([this, ifindex, address] { complain(netlink_.add_address(ifindex, address)); });
  }
  return {};
}

/// What is gone or changed gives up what others want: routes, addresses, the names of devices, packets of a child SA.
Result<void> Machine::make_room(const config::Config& before, const config::ReloadPlan& plan, tunnel::DataPlane& plane,
                                Undo& undo) {
  std::set<std::string> devices;
  std::set<ChildId> children;
  std::set<PlacedRoute> wanted;
  for (const auto* ids : {&plan.new_tunnels, &plan.changed_tunnels}) {
    for (const TunnelId id : *ids) {
      const config::TunnelSettings& settings = *tunnel_of(*config_, id);
      devices.insert(settings.plane.device);
      children.insert(settings.plane.child);
      for (const IpPrefix& route : settings.routes) wanted.emplace(as_kernel_has_it(route, place_of(settings)), route);
    }
  }
  for (const TunnelId id : plan.changed_tunnels) {
    const config::TunnelSettings &was = *tunnel_of(before, id), &is = *tunnel_of(*config_, id);
    if (auto done = withdraw(was, in_the_way(was, is, wanted), without(was.addresses, is.addresses), undo); !done)
      return about(was, done.error());
  }
  for (const TunnelId id : plan.gone_tunnels) {
    const config::TunnelSettings& settings = *tunnel_of(before, id);
    if (devices.contains(settings.plane.device) || children.contains(settings.plane.child)) {
      remove_tunnels({&settings}, plane);
      undo.push_back([this, &settings, &plane] { complain(set_up(settings, plane)); });
      continue;
    }
    std::vector<IpPrefix> routes = settings.routes;
    std::erase_if(routes, [&](const IpPrefix& route) {
      return !wanted.contains({as_kernel_has_it(route, place_of(settings)), route});
    });
    if (auto done = withdraw(settings, routes, {}, undo); !done) return about(settings, done.error());
  }
  return {};
}

Result<void> Machine::add_tunnel(const config::TunnelSettings& settings, tunnel::DataPlane& plane, Undo& undo) {
  if (netlink_.find_link(settings.plane.device))  // said by set_up, and not ours to remove
    return set_up(settings, plane);
  undo.push_back([this, &settings, &plane] { remove_tunnels({&settings}, plane); });
  return set_up(settings, plane);
}

Result<void> Machine::change(const config::TunnelSettings& before, const config::TunnelSettings& next,
                             tunnel::DataPlane& plane, Undo& undo) {
  const auto link = netlink_.find_link(next.plane.device);
  if (!link) return std::unexpected(link.error());
  const int ifindex = link->index;
  if (auto changed = change_mtu(before, next, ifindex, plane, undo); !changed) return changed;
  for (const IpPrefix& address : without(next.addresses, before.addresses)) {
    if (auto added = netlink_.add_address(ifindex, address); !added) return added;
    undo.push_back([this, ifindex, address] { complain(netlink_.remove_address(ifindex, address)); });
  }
  if (auto changed = change_routes(before, next, ifindex, undo); !changed) return changed;
  plane.adjust(next.plane);
  undo.push_back([&before, &plane] { plane.adjust(before.plane); });
  return {};
}

/// A route that only goes to another place stays where it was until leave_places (make_room has taken what was in the
/// way).
Result<void> Machine::change_routes(const config::TunnelSettings& before, const config::TunnelSettings& next,
                                    int ifindex, Undo& undo) {
  const auto ours = netlink_.addresses();
  if (!ours) return std::unexpected(ours.error());
  const bool moves = place_of(before) != place_of(next);
  for (const IpPrefix& route : moves ? next.routes : without(next.routes, before.routes)) {
    const RoutePlace place = place_of(next);
    if (auto added = netlink_.add_route(ifindex, route, source_for(next, route, *ours), place); !added) return added;
    if (moves && as_kernel_has_it(route, place) == as_kernel_has_it(route, place_of(before))) continue;
    undo.push_back([this, ifindex, route, place] { complain(netlink_.remove_route(ifindex, route, place)); });
  }
  return {};
}

Result<void> Machine::change_mtu(const config::TunnelSettings& before, const config::TunnelSettings& next, int ifindex,
                                 tunnel::DataPlane& plane, Undo& undo) {
  if (before.plane.mtu == next.plane.mtu) return {};
  const TunnelId id = next.plane.id;
  const auto set = [this, ifindex, id, &plane](std::uint16_t to) -> Result<void> {
    if (auto changed = netlink_.change_link(ifindex, {to, false}); !changed) return changed;
    plane.set_mtu(id, to);
    mtus_[id] = to;
    return {};
  };
  const std::uint16_t was = mtus_[id];
  undo.push_back([set, was] { complain(set(was)); });
  return set(initial_mtu(next));
}

void Machine::remove_tunnels(const std::vector<const config::TunnelSettings*>& gone, tunnel::DataPlane& plane) {
  if (gone.empty()) return;
  std::vector<TunnelId> ids;
  std::vector<int> ifindexes;
  for (const config::TunnelSettings* settings : gone) {
    ids.push_back(settings->plane.id);
    mtus_.erase(settings->plane.id);
    const auto device = std::ranges::find(ours_.devices, settings->plane.device, &DeviceRecord::name);
    if (device == ours_.devices.end()) continue;
    ifindexes.push_back(device->ifindex);
    ours_.devices.erase(device);
  }
  plane.remove_tunnels(ids, [&] {
    if (auto removed = netlink_.remove_links(ifindexes); !removed) log::debug("{}", removed.error().detail);
  });
  complain(keep_record());
}

}  // namespace culvert::daemon

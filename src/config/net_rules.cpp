// Inner nets and routes. A prefix of length 0 means "everything else": it overlaps with nothing but another one of its
// kind.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "rules.h"

namespace culvert::config {
namespace {

using Prefixes = std::vector<Located<IpPrefix>>;

bool is_default(const IpPrefix& prefix) {
  return prefix.length == 0;
}

bool conflict(const IpPrefix& a, const IpPrefix& b) {
  return a.overlaps(b) && is_default(a) == is_default(b);
}

/// Local and remote net of one tunnel: what belongs to both sides belongs to neither. 0.0.0.0/0 on one side or on both
/// is legal.
void check_sides(const RawTunnel& raw, Findings& findings) {
  if (!raw.local.value || !raw.remote.value || raw.from_pools) return;  // clients may be part of the net
  for (const auto& [remote, at] : *raw.remote.value) {
    for (const auto& [local, local_at] : *raw.local.value) {
      if (is_default(local) || is_default(remote) || !local.overlaps(remote)) continue;
      findings.error(at, raw.key("remote"),
                     fmt::format("{} overlaps with the local net {} ({}): name only what lies behind the peer, or "
                                 "0.0.0.0/0 or ::/0 for "
                                 "everything else",
                                 remote.to_string(), local.to_string(), findings.place(local_at)));
      break;
    }
  }
}

/// Duplicates in a list do no harm, but nobody means them.
void warn_of_covered(const RawTunnel& raw, const List<IpPrefix>& list, std::string_view name, Findings& findings) {
  if (!list.value || list.value->size() > max_selectors_of_tunnel) return;
  for (auto entry = list.value->begin(); entry != list.value->end(); ++entry) {
    for (auto other = list.value->begin(); other != list.value->end(); ++other) {
      const bool covers = other->value.length <= entry->value.length && other->value.overlaps(entry->value);
      const bool reported_once = other->value.length < entry->value.length || other < entry;
      if (!covers || !reported_once) continue;
      findings.warn(
          entry->at, raw.key(name),
          fmt::format("{} is part of {} in the same list", entry->value.to_string(), other->value.to_string()));
      break;
    }
  }
}

void check_routes_in_remote(const RawTunnel& raw, Findings& findings) {
  if (raw.carry.value != tunnel::Carry::ip || !raw.routes.value || !raw.remote.value) return;
  for (const auto& [route, at] : *raw.routes.value) {
    const IpPrefix wanted = route;
    const auto holds = [&](const Located<IpPrefix>& net) {
      return net.value.length <= wanted.length && net.value.contains(wanted.address);
    };
    if (std::ranges::any_of(*raw.remote.value, holds)) continue;
    findings.error(at, raw.key("routes"),
                   fmt::format("{} is not inside `remote`: its packets would be dropped. Add it to `remote`, or remove "
                               "the route",
                               route.to_string()));
  }
}

// ---- the peer's own address
// ---------------------------------------------------------------------------------------------------

/// A route that holds the peer's address would send the tunnel's own packets into the tunnel.
void check_swallowing(const RawTunnel& raw, const ike::PeerConfig& peer, Findings& findings) {
  const auto swallowed = [&](const IpPrefix& prefix) -> const std::string* {
    for (const std::string& name : peer.addresses) {
      const auto address = IpAddress::parse(name);
      if (address && prefix.contains(*address)) return &name;
    }
    return nullptr;
  };
  const bool is_explicit = raw.routes.present;
  const bool by_policy = route_target(raw).table != main_table;  // who looks into other tables the rules say
  for (const auto& [route, at] : effective_routes(raw)) {
    const std::string* address = by_policy ? nullptr : swallowed(route);
    if (!address) continue;
    findings.error(
        at, raw.key(is_explicit ? "routes" : "remote"),
        fmt::format(
            "a route to {} holds the peer's own address {}, so it would send the tunnel's own packets into the tunnel. "
            "{}",
            route.to_string(), *address,
            is_explicit
                ? "Name smaller prefixes without it, or remove the route and leave routing to a routing daemon"
                : "Name smaller prefixes without it in `routes`, or write routes = [] and leave routing to others"));
  }
  if (!raw.address.value) return;
  for (const auto& [prefix, at] : *raw.address.value) {
    const std::string* address = swallowed(prefix);
    if (!address) continue;
    findings.error(at, raw.key("address"),
                   fmt::format("the net of {} holds the peer's own address {}: the device needs a net of its own",
                               prefix.to_string(), *address));
  }
}

// ---- between tunnels
// ------------------------------------------------------------------------------------------------------------

struct RemoteNet {
  IpPrefix prefix;
  Position at;
  std::size_t tunnel;
};

bool locals_overlap(const RawTunnel& a, const RawTunnel& b) {
  if (!a.local.value || !b.local.value) return false;
  return std::ranges::any_of(*a.local.value, [&](const auto& mine) {
    return std::ranges::any_of(*b.local.value, [&](const auto& other) { return conflict(mine.value, other.value); });
  });
}

/// Why the remote nets of two plain tunnels may not overlap, or "".
std::string_view why_apart(const RawTunnel& a, const RawTunnel& b, bool same_peer) {
  if (same_peer && locals_overlap(a, b)) return "the peer could not tell which of the two a packet belongs to";
  const bool nowhere = a.table.value == 0U || b.table.value == 0U;
  if (!a.routes.present && !b.routes.present && !nowhere && route_target(a) == route_target(b))
    return "a packet to both could only be routed into one of them; name `routes` to say which";
  return {};
}

/// Prefixes either nest or are disjoint: after sorting, those that hold the current one are on a stack.
void check_remotes_apart(const std::vector<RawTunnel>& raw, const std::vector<TunnelSettings>& tunnels,
                         Findings& findings) {
  std::vector<RemoteNet> nets;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i].carry.value != tunnel::Carry::ip || !raw[i].remote.value) continue;
    for (const auto& [prefix, at] : *raw[i].remote.value) nets.push_back({prefix, at, i});
  }
  std::ranges::stable_sort(nets, {},
                           [](const RemoteNet& net) { return std::pair(net.prefix.network(), net.prefix.length); });
  std::vector<const RemoteNet*> holders;
  for (const RemoteNet& net : nets) {
    while (!holders.empty() && !holders.back()->prefix.overlaps(net.prefix)) holders.pop_back();
    for (auto holder = holders.rbegin(); holder != holders.rend(); ++holder) {
      const std::size_t a = (*holder)->tunnel, b = net.tunnel;
      if (a == b || is_default((*holder)->prefix) != is_default(net.prefix)) continue;
      const std::string_view why = why_apart(raw[a], raw[b], tunnels[a].peer == tunnels[b].peer);
      if (why.empty()) continue;
      const bool holder_is_later = (*holder)->at > net.at;
      const RemoteNet& later = holder_is_later ? **holder : net;
      const RemoteNet& earlier = holder_is_later ? net : **holder;
      findings.error(later.at, raw[later.tunnel].key("remote"),
                     fmt::format("{} overlaps with {} of tunnel {} ({}): {}", later.prefix.to_string(),
                                 earlier.prefix.to_string(), raw[earlier.tunnel].name, findings.place(earlier.at), why));
      break;
    }
    holders.push_back(&net);
  }
}

/// The kernel holds one route to a prefix in a table, of one metric.
void check_routes_apart(const std::vector<RawTunnel>& raw, Findings& findings) {
  std::map<std::pair<IpPrefix, RouteTarget>, const RawTunnel*> routes;
  for (const RawTunnel& tunnel : raw) {
    for (const auto& [route, at] : effective_routes(tunnel)) {
      const auto [first, is_new] = routes.try_emplace({route, route_target(tunnel)}, &tunnel);
      const RawTunnel& other = *first->second;
      if (is_new || (!tunnel.routes.present && !other.routes.present))
        continue;  // equal remote nets are reported as such
      const std::string where =
          &other == &tunnel ? "this tunnel" : fmt::format("tunnel {} ({})", other.name, findings.place(other.at));
      findings.error(at, tunnel.key(tunnel.routes.present ? "routes" : "remote"),
                     fmt::format("{} is routed into {} already: another `metric` or `table` would make both possible",
                                 route.to_string(), where));
    }
  }
}

}  // namespace

void check_nets(const std::vector<RawTunnel>& raw, const std::vector<TunnelSettings>& tunnels,
                const std::vector<ike::PeerConfig>& peers, Findings& findings) {
  for (std::size_t i = 0; i < raw.size(); ++i) {
    check_sides(raw[i], findings);
    warn_of_covered(raw[i], raw[i].local, "local", findings);
    warn_of_covered(raw[i], raw[i].remote, "remote", findings);
    check_routes_in_remote(raw[i], findings);
    if (tunnels[i].peer.value() < peers.size()) check_swallowing(raw[i], peers[tunnels[i].peer.value()], findings);
  }
  check_remotes_apart(raw, tunnels, findings);
  check_routes_apart(raw, findings);
}

}  // namespace culvert::config

#include "client_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "culvert/base/log.h"
#include "dns_beside.h"

namespace culvert::daemon {
namespace {

constexpr std::uint32_t pin_priority = 5200, specific_priority = 5210, tunnel_priority = 5220, tunnel_table = 5220;
constexpr std::size_t max_pins = 32;      // addresses of gateways
constexpr std::size_t max_prefixes = 64;  // of one granted range

IpPrefix host(const IpAddress& address) {
  return {address, static_cast<std::uint8_t>(address.bits())};
}

RoutingRule pin_rule(const IpAddress& gateway) {
  return {gateway.family(), pin_priority, main_table, gateway, false};
}

std::vector<RoutingRule> tunnel_rules(IpFamily family) {
  return {{family, pin_priority, main_table, std::nullopt, false, lookup_mark},
          {family, specific_priority, main_table, std::nullopt, true},
          {family, tunnel_priority, tunnel_table, std::nullopt, false}};
}

void complain(const std::string& peer, const Result<void>& done) {
  if (!done) log::Subject{.peer = peer, .reason = done.error().detail}.error("peer {}: {}", peer, done.error().detail);
}

bool contains(const std::vector<IpPrefix>& list, const IpPrefix& prefix) {
  return std::ranges::find(list, prefix) != list.end();
}

/// nullopt behind the last of all.
std::optional<IpAddress> successor(const IpAddress& address) {
  Bytes bytes(address.bytes().begin(), address.bytes().end());
  for (std::size_t i = bytes.size(); i-- > 0;)
    if (++bytes[i] != 0) return IpAddress::from_bytes(bytes);
  return std::nullopt;
}

RoutePlace place_of(const IpPrefix& route) {
  return {route.length == 0 ? tunnel_table : main_table, 0};
}

}  // namespace

void ClientNetwork::remove_leftovers(Netlink& netlink) {
  for (const IpFamily family : {IpFamily::v4, IpFamily::v6})
    for (const std::uint32_t priority : {pin_priority, specific_priority, tunnel_priority})
      for (std::size_t i = 0; i < 2 * max_pins && netlink.remove_rules(family, priority); ++i) {
      }
}

void ClientNetwork::use(Netlink& netlink, PeerId peer, const std::string& name, const std::string& device,
                        const ike::VirtualNet& net) {
  Connection& connection = connections_[peer];
  const auto link = netlink.find_link(device);
  if (!link)
    return log::Subject{.peer = name, .reason = link.error().detail}.error("peer {}: {}", name, link.error().detail);
  connection.ifindex = link->index;
  connection.said.peer = name;
  connection.said.device = device;
  for (const IpAddress& address : net.addresses) complain(name, netlink.add_address(connection.ifindex, host(address)));
  // With the addresses of before their routes go: those that name them as source.
  const std::vector<IpPrefix> routes = connection.said.routes;
  if (net.addresses != connection.said.net.addresses) set_routes(netlink, connection, {});
  for (const IpAddress& address : connection.said.net.addresses)
    if (std::ranges::find(net.addresses, address) == net.addresses.end())
      complain(name, netlink.remove_address(connection.ifindex, host(address)));
  connection.said.net = net;
  set_routes(netlink, connection, routes);
  tell(connection);
}

void ClientNetwork::grant(Netlink& netlink, PeerId peer, const std::vector<TrafficSelector>& remote,
                          const IpAddress& gateway, bool as_granted) {
  const auto found = connections_.find(peer);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  const ClientConnection before = connection.said;
  pin(netlink, gateway);
  if (std::ranges::find(connection.said.gateways, gateway) == connection.said.gateways.end())
    connection.said.gateways = {gateway};
  if (as_granted) {
    std::vector<IpPrefix> wanted;
    for (const TrafficSelector& selector : remote) {
      if (!connection.said.net.address(selector.first.family())) continue;  // no address to send from
      for (const IpPrefix& prefix : prefixes_of(selector.first, selector.last, max_prefixes))
        if (!contains(wanted, prefix)) wanted.push_back(prefix);
    }
    set_routes(netlink, connection, wanted);
  }
  if (before != connection.said) tell(connection);
}

void ClientNetwork::pin(Netlink& netlink, const IpAddress& gateway) {
  if (std::ranges::find(pinned_, gateway) != pinned_.end()) return;
  if (pinned_.size() >= max_pins) {
    (void)netlink.remove_rule(pin_rule(pinned_.front()));
    pinned_.erase(pinned_.begin());
  }
  if (auto added = netlink.add_rule(pin_rule(gateway)); !added) return log::error("{}", added.error().detail);
  pinned_.push_back(gateway);
}

void ClientNetwork::set_routes(Netlink& netlink, Connection& connection, const std::vector<IpPrefix>& wanted) {
  ClientConnection& said = connection.said;
  for (const IpPrefix& route : said.routes) {
    if (contains(wanted, route)) continue;
    const auto removed = netlink.remove_route(connection.ifindex, route, place_of(route));
    if (!removed && removed.error().code != Errc::not_found) complain(said.peer, removed);
  }
  std::vector<IpPrefix> set;
  for (const IpPrefix& route : wanted) {
    if (contains(said.routes, route)) {  // a rekey, a new login: the same grant
      set.push_back(route);
      continue;
    }
    const IpAddress* source = said.net.address(route.address.family());
    const auto added =
        netlink.add_route(connection.ifindex, route, source ? std::optional(*source) : std::nullopt, place_of(route));
    complain(said.peer, added);
    if (added) set.push_back(route);
  }
  said.routes = std::move(set);
  for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) set_rules(netlink, family, leads_everything(family));
}

bool ClientNetwork::leads_everything(IpFamily family) const {
  return std::ranges::any_of(connections_, [&](const auto& entry) {
    return contains(entry.second.said.routes, {IpAddress::any(family), 0});
  });
}

void ClientNetwork::set_rules(Netlink& netlink, IpFamily family, bool wanted) {
  bool& there = family == IpFamily::v4 ? rules_v4_ : rules_v6_;
  if (there == wanted) return;
  there = wanted;
  for (const RoutingRule& rule : tunnel_rules(family)) {
    const auto done = wanted ? netlink.add_rule(rule) : netlink.remove_rule(rule);
    if (!done && (wanted || done.error().code != Errc::not_found)) log::error("{}", done.error().detail);
  }
}

void ClientNetwork::renew(Netlink& netlink, const std::string& device, int ifindex) {
  for (auto& [peer, connection] : connections_) {
    ClientConnection& said = connection.said;
    if (said.device != device) continue;
    connection.ifindex = ifindex;
    for (const IpAddress& address : said.net.addresses)
      complain(said.peer, netlink.add_address(ifindex, host(address)));
    const std::vector<IpPrefix> routes = std::exchange(said.routes, {});  // they went with the device
    set_routes(netlink, connection, routes);
  }
}

void ClientNetwork::release(Netlink& netlink, PeerId peer) {
  const auto found = connections_.find(peer);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  set_routes(netlink, connection, {});
  for (const IpAddress& address : connection.said.net.addresses)
    (void)netlink.remove_address(connection.ifindex, host(address));
  const std::string name = connection.said.peer;
  connections_.erase(found);
  if (connections_.empty()) {
    for (const IpAddress& gateway : pinned_) (void)netlink.remove_rule(pin_rule(gateway));
    pinned_.clear();
  }
  if (watcher_) watcher_->on_disconnected(name);
}

void ClientNetwork::release_all(Netlink& netlink) {
  while (!connections_.empty()) release(netlink, connections_.begin()->first);
}

void ClientNetwork::tell(const Connection& connection) const {
  if (watcher_) watcher_->on_connection(connection.said);
}

std::vector<IpPrefix> ClientNetwork::prefixes_of(const IpAddress& first, const IpAddress& last, std::size_t most) {
  std::vector<IpPrefix> prefixes;
  std::optional<IpAddress> at = first;
  while (at && *at <= last && at->family() == last.family() && prefixes.size() < most) {
    IpPrefix widest{*at, static_cast<std::uint8_t>(at->bits())};
    while (widest.length > 0) {
      const IpPrefix wider{*at, static_cast<std::uint8_t>(widest.length - 1)};
      if (wider.network() != *at || last < wider.last()) break;
      widest = wider;
    }
    prefixes.push_back(widest);
    at = successor(widest.last());
  }
  return prefixes;
}

}  // namespace culvert::daemon

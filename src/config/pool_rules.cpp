// Pools of addresses, the peers that give them to clients, and the peers that we are a client of.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "rules.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_pool_prefixes = 32, max_dns = 8, max_domains = 32, max_users = 1000, max_groups = 100;

template <class T>
void check_number(const List<T>& list, std::size_t most, const std::string& key, Findings& findings) {
  if (list.value && list.value->size() > most) findings.error(list.at, key, fmt::format("more than {} entries", most));
}

std::vector<IpPrefix> values_of(const List<IpPrefix>& list) {
  std::vector<IpPrefix> values;
  if (!list.value) return values;
  for (const auto& entry : *list.value) values.push_back(entry.value);
  return values;
}

void check_addresses(const RawPool& raw, Findings& findings) {
  if (!raw.addresses.value) return;
  for (const auto& [prefix, at] : *raw.addresses.value) {
    const bool usable = !prefix.address.is_multicast() && !prefix.address.is_loopback() && prefix.length >= 8;
    if (!usable)
      findings.error(at, raw.key("addresses"), fmt::format("{} is no net to give addresses of", prefix.to_string()));
  }
}

std::vector<std::string> check_domains(const RawPool& raw, Findings& findings) {
  std::vector<std::string> domains;
  if (!raw.domains.value) return domains;
  if (!raw.dns.present)
    findings.error(raw.domains.at, raw.key("domains"), "stands without `dns`: no server would answer for them");
  for (const auto& [text, at] : *raw.domains.value) {
    std::string domain = text;
    if (domain.ends_with('.')) domain.pop_back();
    std::ranges::transform(domain, domain.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!is_host_name(domain)) {
      findings.error(at, raw.key("domains"),
                     fmt::format("expected a domain such as \"corp.example.net\", got {}", in_quotes(text)));
    } else if (std::ranges::find(domains, domain) == domains.end()) {
      domains.push_back(std::move(domain));
    }
  }
  return domains;
}

std::vector<ike::Identity> check_users(const RawPool& raw, Findings& findings) {
  std::vector<ike::Identity> users;
  if (!raw.users.value) return users;
  for (const auto& [text, at] : *raw.users.value) {
    auto id = ike::Identity::parse(text);
    if (!id) {
      findings.error(at, raw.key("users"), id.error().detail);
    } else {
      users.push_back(std::move(*id));
    }
  }
  return users;
}

ike::PoolConfig check_pool(const RawPool& raw, Findings& findings) {
  ike::PoolConfig pool;
  pool.name = raw.name;
  check_addresses(raw, findings);
  check_number(raw.addresses, max_pool_prefixes, raw.key("addresses"), findings);
  check_number(raw.exclude, 1000, raw.key("exclude"), findings);
  check_number(raw.dns, max_dns, raw.key("dns"), findings);
  check_number(raw.domains, max_domains, raw.key("domains"), findings);
  check_number(raw.users, max_users, raw.key("users"), findings);
  check_number(raw.groups, max_groups, raw.key("groups"), findings);
  check_number(raw.allow, max_selectors_of_tunnel, raw.key("allow"), findings);
  pool.addresses = values_of(raw.addresses);
  pool.excluded = values_of(raw.exclude);
  pool.allow = values_of(raw.allow);
  if (raw.dns.value)
    for (const auto& server : *raw.dns.value) pool.dns.push_back(server.value);
  pool.domains = check_domains(raw, findings);
  pool.users = check_users(raw, findings);
  if (raw.groups.value)
    for (const auto& group : *raw.groups.value) pool.groups.push_back(group.value);
  return pool;
}

/// An address must be one client's alone.
void check_apart(const std::vector<RawPool>& raw, Findings& findings) {
  struct Net {
    IpPrefix prefix;
    const RawPool* pool;
    Position at;
  };
  std::vector<Net> nets;
  for (const RawPool& pool : raw) {
    if (!pool.addresses.value) continue;
    for (const auto& [prefix, at] : *pool.addresses.value) {
      const auto other =
          std::ranges::find_if(nets, [&prefix = prefix](const Net& net) { return net.prefix.overlaps(prefix); });
      if (other != nets.end())
        findings.error(at, pool.key("addresses"),
                       fmt::format("{} overlaps with {} of pool {} ({})", prefix.to_string(),
                                   other->prefix.to_string(), other->pool->name, findings.place(other->at)));
      nets.push_back({prefix, &pool, at});
    }
  }
}

const RawPool* find_pool(const RawFile& file, std::string_view name) {
  const auto found = std::ranges::find(file.pools, name, &RawPool::name);
  return found == file.pools.end() ? nullptr : &*found;
}

// ---- gateway: what a tunnel to clients does not say itself
// ----------------------------------------------------------------

void complete_gateway_tunnel(RawTunnel& tunnel, const RawPeer& peer, const RawFile& file, Findings& findings) {
  if (tunnel.carry.value == tunnel::Carry::gre)
    findings.error(tunnel.carry.at, tunnel.key("carry"), "clients with addresses of a pool need carry = \"ip\"");
  if (tunnel.remote.present)
    findings.error(tunnel.remote.at, tunnel.key("remote"),
                   fmt::format("stands in the pools of peer {}: remove it", peer.name));
  tunnel.from_pools = true;
  tunnel.remote = {std::vector<Located<IpPrefix>>{}, true, peer.pool.at};
  if (!peer.pool.value) return;
  for (const auto& [name, at] : *peer.pool.value) {
    const RawPool* pool = find_pool(file, name);
    if (!pool || !pool->addresses.value) continue;
    for (const auto& prefix : *pool->addresses.value) tunnel.remote.value->push_back(prefix);
  }
}

// ---- client: its side is what the gateway gives
// ----------------------------------------------------------------------------

void complete_client_tunnel(RawTunnel& tunnel, const RawPeer& peer, Findings& findings) {
  if (tunnel.carry.value == tunnel::Carry::gre)
    findings.error(tunnel.carry.at, tunnel.key("carry"), "virtual_address needs carry = \"ip\"");
  for (const auto& [field, name] : {std::pair{&tunnel.local, "local"}, std::pair{&tunnel.address, "address"}})
    if (field->present)
      findings.error(field->at, tunnel.key(name),
                     fmt::format("is what peer {} gives us (virtual_address): remove it", peer.name));
  const VirtualAddress wanted = peer.virtual_address.value.value_or(VirtualAddress{true, true});  // wrong: reported
  std::vector<Located<IpPrefix>> everything;
  if (wanted.v4) everything.push_back({{IpAddress::any(IpFamily::v4), 0}, tunnel.at});
  if (wanted.v6) everything.push_back({{IpAddress::any(IpFamily::v6), 0}, tunnel.at});
  tunnel.virtual_local = true;
  tunnel.local = {everything, true, tunnel.at};
  if (!tunnel.remote.present) tunnel.remote = {everything, true, tunnel.at};
  // Without `routes` they follow from what the gateway grants, when it has.
  tunnel.routes_as_granted = !tunnel.routes.present;
  if (tunnel.routes_as_granted) tunnel.routes = {std::vector<Located<IpPrefix>>{}, true, tunnel.at};
}

void check_peer_keys(const RawPeer& peer, const RawFile& file, Findings& findings) {
  const bool from_anywhere = peer.address.value && peer.address.value->any;
  if (peer.pool.present && peer.address.value && !from_anywhere)
    findings.error(peer.pool.at, peer.key("pool"), "is for clients: it needs address = \"any\"");
  if (peer.max_clients.present && !peer.pool.present)
    findings.error(peer.max_clients.at, peer.key("max_clients"), "has no effect without `pool`");
  if (peer.virtual_address.present && from_anywhere)
    findings.error(peer.virtual_address.at, peer.key("virtual_address"),
                   "is asked of a gateway that we call: name its address; a peer that asks us needs `pool`");
  if (peer.virtual_address.present && peer.start.value == ike::StartMode::on_traffic)
    findings.error(peer.start.at, peer.key("start"),
                   "without an address there is no traffic that could bring it up: \"always\" or \"wait\"");
  if (!peer.pool.value) return;
  std::vector<std::string_view> names;
  for (const RawPool& pool : file.pools) names.push_back(pool.name);
  for (const auto& [name, at] : *peer.pool.value) {
    if (find_pool(file, name)) continue;
    const std::string_view near = nearest(name, names);
    findings.error(at, peer.key("pool"),
                   fmt::format("there is no pool {}{}", in_quotes(name),
                               near.empty() ? "; a [pool.NAME] with that name is needed"
                                            : fmt::format("; did you mean '{}'?", near)));
  }
}

}  // namespace

void complete_tunnels(RawFile& file, Findings& findings) {
  for (const RawPeer& peer : file.peers) {
    check_peer_keys(peer, file, findings);
    if (!peer.pool.present && !peer.virtual_address.present) continue;
    const RawTunnel* first = nullptr;
    for (RawTunnel& tunnel : file.tunnels) {
      if (tunnel.peer.value != peer.name) continue;
      const bool is_second = first != nullptr;
      if (is_second)
        findings.error(tunnel.at, tunnel.key("peer"),
                       fmt::format("tunnel {} ({}) goes to peer {} already: with `{}` there is one", first->name,
                                   findings.place(first->at), peer.name, peer.pool.present ? "pool" : "virtual_address"));
      first = &tunnel;
      if (peer.pool.present) {
        complete_gateway_tunnel(tunnel, peer, file, findings);
      } else {
        complete_client_tunnel(tunnel, peer, findings);
      }
      if (is_second) tunnel.remote = {std::vector<Located<IpPrefix>>{}, true, tunnel.at};  // one mistake, one message
    }
  }
}

std::vector<ike::PoolConfig> check_pools(const RawFile& file, Findings& findings) {
  std::vector<ike::PoolConfig> pools;
  for (const RawPool& raw : file.pools) {
    pools.push_back(check_pool(raw, findings));
    const auto uses_it = [&](const RawPeer& peer) {
      return peer.pool.value &&
             std::ranges::any_of(*peer.pool.value, [&](const auto& one) { return one.value == raw.name; });
    };
    if (std::ranges::none_of(file.peers, uses_it))
      findings.warn(raw.at, dotted("pool", raw.name), "no peer names this pool: nobody gets an address of it");
    for (const RawTunnel& tunnel : file.tunnels) {
      if (!tunnel.address.value) continue;
      for (const auto& address : *tunnel.address.value)
        pools.back().excluded.push_back(
            {address.value.address, static_cast<std::uint8_t>(address.value.address.bits())});
    }
  }
  check_apart(file.pools, findings);
  return pools;
}

void warn_of_one_identity(const RawPeer& raw, const ike::PeerConfig& peer, Findings& findings) {
  const bool is_one = !peer.pools.empty() && !peer.remote_id.data.empty() && !peer.remote_id.has_wildcard();
  if (!is_one || peer.unique == ike::UniquePolicy::never) return;
  findings.warn(
      raw.pool.at, raw.key("pool"),
      fmt::format("all its clients are {}, and each takes the place of the one before: give each a certificate "
                  "and say id = \"any\" or \"*@example.net\", or let them be several by unique = \"never\"",
                  in_quotes(peer.remote_id.to_string())));
}

void fill_addressing(const RawPeer& raw, const RawFile& file, ike::PeerConfig& peer) {
  if (raw.virtual_address.value) {
    peer.request_v4 = raw.virtual_address.value->v4;
    peer.request_v6 = raw.virtual_address.value->v6;
  }
  peer.max_clients =
      static_cast<std::size_t>(raw.max_clients.value.value_or(static_cast<std::int64_t>(peer.max_clients)));
  if (!raw.pool.value) return;
  for (const auto& name : *raw.pool.value)
    if (const RawPool* pool = find_pool(file, name.value))
      peer.pools.push_back(static_cast<std::size_t>(pool - file.pools.data()));
}

}  // namespace culvert::config

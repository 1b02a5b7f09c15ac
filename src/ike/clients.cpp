#include "clients.h"

#include <algorithm>

#include "culvert/base/text.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_name_len = 64;  // of the user's part of a client's name
constexpr std::size_t max_prefixes = 63;  // of a child's local selectors (max_selectors, one for the packet)

std::string cut(std::string text) {
  if (text.size() > max_name_len) text.resize(max_name_len);
  return text;
}

/// The children of `of` lead to `local`; a pool may allow less of it.
std::vector<SelectorSpec> allowed_part(const std::vector<SelectorSpec>& local, const std::vector<IpPrefix>& allow,
                                       IpFamily family) {
  std::vector<SelectorSpec> part;
  const auto add = [&](const IpPrefix& prefix, std::uint8_t protocol) {
    const SelectorSpec spec{prefix, protocol};
    if (part.size() < max_prefixes && std::ranges::find(part, spec) == part.end()) part.push_back(spec);
  };
  for (const SelectorSpec& spec : local) {
    if (!spec.prefix || spec.prefix->address.family() != family) continue;
    if (allow.empty()) add(*spec.prefix, spec.protocol);
    for (const IpPrefix& prefix : allow) {
      // Of two prefixes one lies within the other, or they have nothing in common.
      if (prefix.overlaps(*spec.prefix))
        add(prefix.length > spec.prefix->length ? prefix : *spec.prefix, spec.protocol);
    }
  }
  return part;
}

template <class T>
void add_some(std::vector<T>& list, const std::vector<T>& more, std::size_t most) {
  for (const T& one : more)
    if (list.size() < most && std::ranges::find(list, one) == list.end()) list.push_back(one);
}

}  // namespace

Clients::Clients(Core& core, std::vector<PoolConfig> pools, const std::vector<Lease>& leases) : core_(core) {
  std::map<std::string_view, AddressPool*> by_name;
  for (PoolConfig& pool : pools) {
    pools_.push_back(std::make_unique<AddressPool>(std::move(pool)));
    by_name.emplace(pools_.back()->config().name, pools_.back().get());
  }
  for (const Lease& lease : leases) {
    if (const auto pool = by_name.find(lease.pool); pool != by_name.end())
      pool->second->restore(lease.user, lease.address);
  }
}

Clients::~Clients() = default;

// ---- who
// ----------------------------------------------------------------------------------------------------------------------

Peer* Clients::known(const Peer& of, const UserKey& user, const AddressRequest& asked, const Endpoint& from) const {
  if (of.config().unique != UniquePolicy::never) {
    const auto found = by_user_.find(user);
    return found == by_user_.end() ? nullptr : found->second;
  }
  // Who has the same user, is where that one is, and asks for the address that it has, authenticates again. From
  // elsewhere it may be another one, who had the address before.
  for (const std::optional<IpAddress>& wish : {asked.wish_v4, asked.wish_v6}) {
    const auto found = wish ? by_address_.find(*wish) : by_address_.end();
    if (found == by_address_.end()) continue;
    const ClientRole& role = *found->second->client();
    const Association* association = found->second->preferred();
    const Session* session = association ? association->current() : nullptr;
    const bool is_there = session && session->path().remote == from;
    if (role.of == &of && role.key == user.second && is_there) return found->second;
  }
  return nullptr;
}

Peer* Clients::admit(const Peer& of, const UserGrant& who, const AddressRequest& asked, const Endpoint& from) {
  const UserKey user{&of, user_key(who.user)};
  Count& count = counts_[&of];
  Peer* client = known(of, user, asked, from);
  if (!client || !client->client()->present) {
    const std::size_t most = of.config().max_clients;
    if (count.present >= most || (!client && count.all >= 2 * most)) return nullptr;
  }
  if (!client) {
    PeerConfig config = of.config();
    while (clients_.contains(next_id_)) next_id_ = PeerId(std::max(next_id_.value() + 1, first_client_id));
    config.id = next_id_;
    next_id_ = PeerId(std::max(next_id_.value() + 1, first_client_id));
    config.name = new_name(of, who.user);
    auto role = std::make_unique<ClientRole>();
    role->of = &of;
    role->user = who.user;
    role->key = user.second;
    const PeerId id = config.id;
    auto& made = clients_[id] = std::make_unique<Peer>(core_, std::move(config), std::move(role));
    client = made.get();
    by_user_.emplace(user, client);
    by_name_.emplace(client->config().name, client);
    ++count.all;
  }
  if (!std::exchange(client->client()->present, true)) ++count.present;
  core_.touch(*client);
  return client;
}

std::string Clients::new_name(const Peer& of, const Identity& user) const {
  const std::string name = of.config().name + "/" + cut(printable(user.to_string()));
  if (!by_name_.contains(name)) return name;
  for (std::size_t number = counts_.at(&of).all + 1;; ++number) {
    std::string numbered = fmt::format("{}#{}", name, number);
    if (!by_name_.contains(numbered)) return numbered;
  }
}

void Clients::release(Peer& client) {
  ClientRole& role = *client.client();
  for (const ClientRole::Held& held : role.held) {
    if (held.pool) held.pool->give_back(held.address);
    by_address_.erase(held.address);
  }
  role.held.clear();
  role.net = {};
  if (std::exchange(role.present, false)) --counts_[role.of].present;
}

void Clients::erase(Peer& client) {
  release(client);
  const ClientRole& role = *client.client();
  --counts_[role.of].all;
  auto [at, end] = by_user_.equal_range(UserKey{role.of, role.key});
  for (; at != end; ++at) {
    if (at->second != &client) continue;
    by_user_.erase(at);
    break;
  }
  by_name_.erase(client.config().name);
  clients_.erase(client.config().id);
}

// ---- what it gets
// -----------------------------------------------------------------------------------------------------------------

std::expected<void, Refusal> Clients::assign(Peer& client, const UserGrant& who, const AddressRequest& asked) {
  ClientRole& role = *client.client();
  role.groups = who.groups;
  if (!asked.v4 && !asked.v6) {
    return std::unexpected(
        refusal(NotifyType::failed_cp_required, "it does not ask for an address (CFG_REQUEST), and needs one"));
  }
  std::vector<Given> all;
  std::string why;
  for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
    if (!asked.wants(family)) continue;
    const auto granted = std::ranges::find(who.addresses, family, &IpAddress::family);
    const auto given = granted != who.addresses.end() ? take_granted(client, who, *granted, why)
                                                      : keep_or_take(client, who, family, asked.wish(family), why);
    if (given) all.push_back(*given);
  }
  if (!why.empty())
    core_.report_limited("pool of " + role.of->config().name, log::Level::warn, client.about(why),
                         fmt::format("{}: {}", client.label(), why));
  if (all.empty()) {
    if (why.empty()) why = "no pool that it may use has addresses of the family that it asks for";
    return std::unexpected(refusal(NotifyType::internal_address_failure, std::move(why)));
  }
  describe(client, who, all);
  return {};
}

/// The pools that have addresses of this family, and are for this user.
std::vector<AddressPool*> Clients::pools_for(const Peer& of, const UserGrant& who, IpFamily family) const {
  std::vector<AddressPool*> found;
  for (const std::size_t place : of.config().pools) {
    AddressPool* pool = place < pools_.size() ? pools_[place].get() : nullptr;
    if (pool && pool->has(family) && pool->admits(who.user, who.groups)) found.push_back(pool);
  }
  return found;
}

std::optional<Clients::Given> Clients::keep_or_take(Peer& client, const UserGrant& who, IpFamily family,
                                                    const std::optional<IpAddress>& wish, std::string& why) {
  const ClientRole& role = *client.client();
  const std::vector<AddressPool*> pools = pools_for(*role.of, who, family);
  if (const IpAddress* has = role.net.address(family)) {
    const auto held = std::ranges::find(role.held, *has, &ClientRole::Held::address);
    const bool allowed = held != role.held.end() && std::ranges::find(pools, held->pool) != pools.end();
    if (allowed) return Given{*has, held->pool};
  }
  for (AddressPool* pool : pools) {
    const auto held = std::ranges::find_if(role.held, [&](const ClientRole::Held& one) {  // of before another pool
      return one.pool == pool && one.address.family() == family;
    });
    if (held != role.held.end()) return Given{held->address, pool};
    const auto taken = pool->take(who.user, family, wish);
    if (!taken) {
      why = fmt::format("pool {} has no IPv{} address left: {} leases are in use", pool->config().name,
                        family == IpFamily::v4 ? 4 : 6, pool->num_leases() - pool->num_kept());
      continue;
    }
    why.clear();
    if (taken->is_new) core_.emit(KeepLease{{pool->config().name, who.user, taken->address}});
    hold(client, {taken->address, pool});
    return Given{taken->address, pool};
  }
  return std::nullopt;
}

/// The address that the user's own entry names, wherever it lies.
std::optional<Clients::Given> Clients::take_granted(Peer& client, const UserGrant& who, const IpAddress& address,
                                                    std::string& why) {
  AddressPool* pool = pool_containing(address);
  const auto has_it = by_address_.find(address);
  if (has_it != by_address_.end() && has_it->second == &client) return Given{address, pool};
  const bool free = has_it == by_address_.end() && (!pool || pool->take_exactly(who.user, address));
  if (!free) {
    why = fmt::format("its own address {} is in use by {}", address.to_string(),
                      has_it == by_address_.end() ? "somebody else" : has_it->second->config().name);
    return std::nullopt;
  }
  hold(client, {address, pool});
  return Given{address, pool};
}

AddressPool* Clients::pool_containing(const IpAddress& address) const {
  const auto found = std::ranges::find_if(pools_, [&](const auto& pool) { return pool->contains(address); });
  return found == pools_.end() ? nullptr : found->get();
}

void Clients::hold(Peer& client, const Given& given) {
  client.client()->held.push_back({given.address, given.pool});
  by_address_[given.address] = &client;
}

/// What it is told, and what its children may carry.
void Clients::describe(Peer& client, const UserGrant& who, const std::vector<Given>& given) {
  ClientRole& role = *client.client();
  VirtualNet net;
  for (const Given& one : given) net.addresses.push_back(one.address);
  for (const ChildConfig& child : role.of->config().children) {
    std::vector<SelectorSpec> local, remote;
    for (const Given& one : given) {
      const IpFamily family = one.address.family();
      const std::vector<AddressPool*> pools = pools_for(*role.of, who, family);
      const AddressPool* rules = one.pool ? one.pool : pools.empty() ? nullptr : pools.front();
      if (rules) add_some(net.dns, rules->config().dns, max_dns);
      if (rules) add_some(net.domains, rules->config().domains, max_domains);
      const auto part = allowed_part(child.local, rules ? rules->config().allow : std::vector<IpPrefix>{}, family);
      if (part.empty()) continue;
      local.insert(local.end(), part.begin(), part.end());
      remote.push_back({IpPrefix{one.address, static_cast<std::uint8_t>(one.address.bits())}, 0});
    }
    for (const SelectorSpec& spec : local)
      if (spec.prefix->length > 0) add_some(net.subnets, {*spec.prefix}, max_prefixes);
    client.set_selectors(child, std::move(local), std::move(remote));
  }
  if (net.addresses != role.net.addresses) {
    std::string texts;
    for (const IpAddress& address : net.addresses) texts += (texts.empty() ? "" : ", ") + address.to_string();
    core_.report(log::Level::info, client.about(), fmt::format("{}: it has {}", client.label(), texts));
  }
  role.net = std::move(net);
}

// ---- tables
// -----------------------------------------------------------------------------------------------------------------------

std::vector<Lease> Clients::leases() const {
  std::vector<Lease> all;
  for (const auto& pool : pools_) std::ranges::move(pool->leases(), std::back_inserter(all));
  return all;
}

Peer* Clients::find(PeerId id) const {
  const auto found = clients_.find(id);
  return found == clients_.end() ? nullptr : found->second.get();
}

Peer* Clients::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

std::vector<Peer*> Clients::find_user(std::string_view text) const {
  if (Peer* named = find(text)) return {named};
  if (const auto address = IpAddress::parse(text)) {
    if (const auto found = by_address_.find(*address); found != by_address_.end()) return {found->second};
  }
  std::vector<Peer*> found;
  for (const auto& [id, client] : clients_)
    if (client->client()->user.to_string() == text) found.push_back(client.get());
  return found;
}

void Clients::for_each(const std::function<void(Peer&)>& visit) const {
  for (const auto& [id, client] : clients_) visit(*client);
}

std::size_t Clients::num_of(const Peer& of) const {
  const auto found = counts_.find(&of);
  return found == counts_.end() ? 0 : found->second.present;
}

}  // namespace culvert::ike

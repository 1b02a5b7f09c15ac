#include "culvert/config/reload.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "keys.h"

namespace culvert::config {
namespace {

using Kind = ConfigChange::Kind;

// ---- ids
// ---------------------------------------------------------------------------------------------------------------------

/// A peer whose clients are its own, or whose addresses are the peer's to give, is another thing than one without.
bool same_nature(const ike::PeerConfig& a, const ike::PeerConfig& b) {
  return a.pools.empty() == b.pools.empty() && a.request_v4 == b.request_v4 && a.request_v6 == b.request_v6;
}

bool negotiates_the_same(const ike::ChildConfig& a, const ike::ChildConfig& b) {
  return a.mode == b.mode && a.virtual_local == b.virtual_local && a.local == b.local && a.remote == b.remote;
}

using ChildIds = std::map<ChildId, ChildId>;  // of the new configuration: as loaded, as they shall be

void keep_child_ids(const ike::PeerConfig* running, ike::PeerConfig& next, std::uint32_t& next_id, ChildIds& ids) {
  std::set<ChildId> taken;
  const auto match = [&](auto same) {
    for (ike::ChildConfig& child : next.children) {
      if (!running || ids.contains(child.id)) continue;
      const auto found = std::ranges::find_if(
          running->children, [&](const ike::ChildConfig& old) { return !taken.contains(old.id) && same(old, child); });
      if (found == running->children.end()) continue;
      taken.insert(found->id);
      ids.emplace(child.id, found->id);
    }
  };
  match(negotiates_the_same);
  match([](const ike::ChildConfig& a, const ike::ChildConfig& b) { return a.name == b.name; });
  for (ike::ChildConfig& child : next.children) {
    const auto [known, is_new] = ids.try_emplace(child.id, ChildId(next_id));
    next_id += is_new;
    child.id = known->second;
  }
}

/// The device can go on.
bool same_device(const TunnelSettings& a, const TunnelSettings& b) {
  const tunnel::TunnelConfig &x = a.plane, &y = b.plane;
  return a.peer == b.peer && a.virtual_address == b.virtual_address && x.child == y.child && x.carry == y.carry &&
         x.device == y.device && x.gre_key == y.gre_key && x.gre_sequence == y.gre_sequence &&
         x.gre_checksum == y.gre_checksum && x.gre_source == y.gre_source && x.gre_destination == y.gre_destination;
}

bool same_hooks(const TunnelSettings& a, const TunnelSettings& b) {
  return a.hooks && b.hooks ? *a.hooks == *b.hooks : a.hooks == b.hooks;
}

bool same_settings(const TunnelSettings& a, const TunnelSettings& b) {
  const tunnel::TunnelConfig &x = a.plane, &y = b.plane;
  return a.addresses == b.addresses && a.probe == b.probe && a.routes == b.routes && a.table == b.table && a.metric == b.metric &&
         same_hooks(a, b) && a.routes_as_granted == b.routes_as_granted && a.fail_closed == b.fail_closed &&
         x.mtu == y.mtu && x.clamp_mss == y.clamp_mss && x.max_mss == y.max_mss && x.copy_dscp == y.copy_dscp &&
         x.trap == y.trap;
}

// ---- peers
// -------------------------------------------------------------------------------------------------------------------

bool same_children(const ike::PeerConfig& a, const ike::PeerConfig& b) {
  return std::ranges::equal(a.children, b.children, [](const auto& x, const auto& y) {
    return x.id == y.id && x.name == y.name && x.replay_window == y.replay_window && negotiates_the_same(x, y);
  });
}

/// What counts from its next use on.
bool same_habits(const ike::PeerConfig& a, const ike::PeerConfig& b) {
  return a.auth.rsa_pss == b.auth.rsa_pss && a.auth.digital_signatures == b.auth.digital_signatures &&
         a.auth.eap_only == b.auth.eap_only && a.tcp_port == b.tcp_port && a.start == b.start &&
         a.fragment_size == b.fragment_size && a.ike_lifetime == b.ike_lifetime &&
         a.child_lifetime == b.child_lifetime && a.child_bytes == b.child_bytes && a.child_packets == b.child_packets &&
         a.jitter == b.jitter && a.reauth_lifetime == b.reauth_lifetime && a.resumption == b.resumption &&
         a.follow_redirects == b.follow_redirects && a.unique == b.unique && a.childless == b.childless &&
         a.liveness == b.liveness && a.retransmit_first == b.retransmit_first &&
         a.retransmit_factor == b.retransmit_factor && a.retransmit_tries == b.retransmit_tries &&
         a.mobike == b.mobike && a.probe_interval == b.probe_interval &&
         a.path_mtu_discovery == b.path_mtu_discovery && a.max_clients == b.max_clients && a.keepalive == b.keepalive;
}

ike::Renewal renewal_of(const ike::PeerConfig& a, const ike::PeerConfig& b) {
  ike::Renewal renewal;
  renewal.reauthenticate = a.local_id != b.local_id || a.remote_id != b.remote_id ||
                           a.encapsulation != b.encapsulation || !same_credentials(a.auth, b.auth);
  renewal.rekey_ike = a.ike_proposals != b.ike_proposals;
  renewal.rekey_children = a.esp_proposals != b.esp_proposals;
  renewal.paths = a.local_addresses != b.local_addresses;
  renewal.addresses = a.addresses != b.addresses;
  renewal.ports = a.port != b.port || a.nat_port != b.nat_port;
  renewal.changed = renewal.reauthenticate || renewal.rekey_ike || renewal.rekey_children || renewal.paths ||
                    renewal.addresses || renewal.ports || !same_habits(a, b) || !same_children(a, b);
  return renewal;
}

/// How far what the key's row says is true of this change: a peer that goes on with the same proposals, written
/// differently, is not rekeyed.
ReloadEffect effect_on(ReloadEffect said, const ike::Renewal& renewal) {
  switch (said) {
    case ReloadEffect::rekeys:
      return renewal.rekey_ike || renewal.rekey_children ? said : ReloadEffect::in_place;
    case ReloadEffect::reauthenticates:
      return renewal.reauthenticate ? said : ReloadEffect::in_place;
    case ReloadEffect::reconnects:
      return renewal.addresses || renewal.ports ? said : ReloadEffect::in_place;
    default:
      return said;
  }
}

// ---- for people
// ---------------------------------------------------------------------------------------------------------------------

using TablesByName = std::map<std::pair<std::string_view, std::string_view>, const SettingsTable*>;

TablesByName by_name(const std::vector<SettingsTable>& tables) {
  TablesByName found;
  for (const SettingsTable& table : tables)
    found.emplace(std::pair<std::string_view, std::string_view>(table.kind, table.name), &table);
  return found;
}

std::string path_of(const SettingsTable& table) {
  return table.name.empty() ? table.kind : dotted(table.kind, table.name);
}

const std::string* value_of(const SettingsTable& table, std::string_view key) {
  const auto found = std::ranges::find(table.settings, key, &Setting::key);
  return found == table.settings.end() ? nullptr : &found->value;
}

/// Keys of one table that both files have.
void compare(const SettingsTable& before, const SettingsTable& after, std::vector<ConfigChange>& changes) {
  const auto add = [&](const std::string& key, const std::string* was, const std::string* is) {
    changes.push_back(
        {Kind::changed, path_of(after) + "." + key, was ? *was : "", is ? *is : "", reload_effect(after.kind, key)});
  };
  for (const Setting& setting : after.settings) {
    const std::string* was = value_of(before, setting.key);
    if (!was || *was != setting.value) add(setting.key, was, &setting.value);
  }
  for (const Setting& setting : before.settings)
    if (!value_of(after, setting.key)) add(setting.key, &setting.value, nullptr);
}

const ike::PeerConfig* named(const Config& config, std::string_view name) {
  const auto found = std::ranges::find(config.peers, name, &ike::PeerConfig::name);
  return found == config.peers.end() ? nullptr : &*found;
}

/// The changes of a peer that both files have: its keys, and what stands in the files that they name.
void describe_peer(const Config& next, const SettingsTable& table, std::size_t first, ReloadPlan& plan) {
  const ike::PeerConfig* peer = named(next, table.name);
  if (!peer) return;
  const auto renewal = plan.renewals.find(peer->id);
  const bool replaced = std::ranges::find(plan.new_peers, peer->id) != plan.new_peers.end();
  for (std::size_t i = first; i < plan.changes.size(); ++i) {
    ConfigChange& change = plan.changes[i];
    change.effect = replaced
                        ? ReloadEffect::reconnects
                        : effect_on(change.effect, renewal == plan.renewals.end() ? ike::Renewal{} : renewal->second);
  }
  if (renewal == plan.renewals.end() || !renewal->second.reauthenticate) return;
  const bool said = std::any_of(plan.changes.begin() + static_cast<std::ptrdiff_t>(first), plan.changes.end(),
                                [](const auto& change) { return change.effect == ReloadEffect::reauthenticates; });
  if (!said) plan.changes.push_back({Kind::changed, path_of(table) + ".auth", "", "", ReloadEffect::reauthenticates});
}

void describe(const Config& running, const Config& next, ReloadPlan& plan) {
  const TablesByName before = by_name(running.settings), after = by_name(next.settings);
  for (const SettingsTable& table : next.settings) {
    const auto was = before.find({table.kind, table.name});
    if (was == before.end()) {
      plan.changes.push_back({Kind::added, path_of(table), "", "", ReloadEffect::in_place});
      continue;
    }
    const std::size_t first = plan.changes.size();
    compare(*was->second, table, plan.changes);
    if (table.kind == "peer") describe_peer(next, table, first, plan);
  }
  for (const SettingsTable& table : running.settings) {
    if (!after.contains({table.kind, table.name}))
      plan.changes.push_back({Kind::removed, path_of(table), "", "", ReloadEffect::in_place});
  }
}

template <class T>
const KeySpec<T>* row_of(std::span<const KeySpec<T>> rows, std::string_view key) {
  const auto found = std::ranges::find(rows, key, &KeySpec<T>::name);
  return found == rows.end() ? nullptr : &*found;
}

template <class T>
ReloadEffect effect_in(std::span<const KeySpec<T>> rows, std::string_view key) {
  const KeySpec<T>* row = row_of(rows, key);
  return row ? row->reload : ReloadEffect::in_place;
}

void count(std::string& text, std::string_view noun, std::size_t added, std::size_t removed, std::size_t changed) {
  std::string part;
  for (const auto& [number, what] : {std::pair(added, "added"), {removed, "removed"}, {changed, "changed"}}) {
    if (number == 0) continue;
    part += part.empty() ? fmt::format("{} {}{} {}", number, noun, number == 1 ? "" : "s", what)
                         : fmt::format(", {} {}", number, what);
  }
  if (!part.empty()) text += (text.empty() ? "" : "; ") + part;
}

}  // namespace

void keep_ids(const Config& running, Config& next) {
  std::uint32_t next_id = running.next_id;
  std::map<std::string_view, const ike::PeerConfig*> old_peers;
  for (const auto& peer : running.peers) old_peers.emplace(peer.name, &peer);
  std::map<PeerId, PeerId> peer_ids;  // of the new configuration, as it was loaded or has run once
  ChildIds child_ids;
  for (auto& peer : next.peers) {
    const auto found = old_peers.find(peer.name);
    const bool same = found != old_peers.end() && same_nature(*found->second, peer);
    const PeerId id = same ? found->second->id : PeerId(next_id++);
    peer_ids.emplace(std::exchange(peer.id, id), id);
    keep_child_ids(same ? found->second : nullptr, peer, next_id, child_ids);
  }
  std::map<std::string_view, const TunnelSettings*> old_tunnels;
  for (const auto& tunnel : running.tunnels) old_tunnels.emplace(tunnel.plane.name, &tunnel);
  for (auto& tunnel : next.tunnels) {
    tunnel.peer = peer_ids.at(tunnel.peer);
    tunnel.plane.child = child_ids.at(tunnel.plane.child);
    const auto found = old_tunnels.find(tunnel.plane.name);
    const bool same = found != old_tunnels.end() && same_device(*found->second, tunnel);
    tunnel.plane.id = same ? found->second->plane.id : TunnelId(next_id++);
  }
  next.next_id = next_id;
  next.gateway.raw_esp = next.gateway.raw_esp || running.gateway.raw_esp;  // they stay open
  next.uses_hooks = next.uses_hooks || running.uses_hooks;                 // who runs them is there
  next.index_peers();
}

ReloadPlan plan_reload(const Config& running, const Config& next) {
  ReloadPlan plan;
  std::map<PeerId, const ike::PeerConfig*> old_peers;
  for (const auto& peer : running.peers) old_peers.emplace(peer.id, &peer);
  for (const auto& peer : next.peers) {
    const auto old = old_peers.extract(peer.id);
    if (old.empty()) {
      plan.new_peers.push_back(peer.id);
    } else if (const auto renewal = renewal_of(*old.mapped(), peer); renewal.changed) {
      plan.renewals.emplace(peer.id, renewal);
    }
  }
  for (const auto& [id, peer] : old_peers) plan.gone_peers.push_back(id);
  std::map<TunnelId, const TunnelSettings*> old_tunnels;
  for (const auto& tunnel : running.tunnels) old_tunnels.emplace(tunnel.plane.id, &tunnel);
  for (const auto& tunnel : next.tunnels) {
    const auto old = old_tunnels.extract(tunnel.plane.id);
    if (old.empty()) {
      plan.new_tunnels.push_back(tunnel.plane.id);
    } else if (!same_settings(*old.mapped(), tunnel)) {
      plan.changed_tunnels.push_back(tunnel.plane.id);
    }
  }
  for (const auto& [id, tunnel] : old_tunnels) plan.gone_tunnels.push_back(id);
  describe(running, next, plan);
  if (next.uses_hooks && !running.uses_hooks)
    plan.changes.push_back({Kind::changed, "up and down", "", "the first tunnel that has them", ReloadEffect::restart});
  if (next.gateway.raw_esp && !running.gateway.raw_esp)
    plan.changes.push_back({Kind::changed, "raw ESP", "", "the first peer that may speak it", ReloadEffect::restart});
  return plan;
}

std::vector<std::string> ReloadPlan::needing_restart() const {
  std::vector<std::string> keys;
  for (const ConfigChange& change : changes)
    if (change.effect == ReloadEffect::restart) keys.push_back(change.key);
  return keys;
}

std::string ReloadPlan::summary() const {
  std::string text;
  count(text, "peer", new_peers.size(), gone_peers.size(), renewals.size());
  count(text, "tunnel", new_tunnels.size(), gone_tunnels.size(), changed_tunnels.size());
  std::size_t others = 0;
  for (const ConfigChange& change : changes)
    others += !change.key.starts_with("peer.") && !change.key.starts_with("tunnel.");
  if (others > 0) count(text, "other setting", 0, 0, others);
  if (!text.empty()) return text;
  return changes.empty() ? "nothing has changed" : "nothing has changed but how it is written";
}

std::string to_string(const ConfigChange& change) {
  if (change.kind == Kind::added) return "+ " + change.key;
  if (change.kind == Kind::removed) return "- " + change.key;
  const std::string_view effect = reload_text(change.effect);
  if (change.before.empty() && change.after.empty())
    return fmt::format("~ {}: what stands in its files has changed ({})", change.key, effect);
  const auto text = [](const std::string& value) { return value.empty() ? std::string("(not set)") : value; };
  return fmt::format("~ {}: {} -> {} ({})", change.key, text(change.before), text(change.after), effect);
}

std::string_view reload_text(ReloadEffect effect) {
  switch (effect) {
    case ReloadEffect::rekeys:
      return "rekeys";
    case ReloadEffect::reauthenticates:
      return "reauthenticates";
    case ReloadEffect::renegotiates:
      return "new child SA";
    case ReloadEffect::reconnects:
      return "reconnects";
    case ReloadEffect::remakes:
      return "new device";
    case ReloadEffect::restart:
      return "restart";
    case ReloadEffect::in_place:
      break;
  }
  return "in place";
}

ReloadEffect reload_effect(std::string_view kind, std::string_view key) {
  const auto dot = key.find('.');
  const std::string_view table = key.substr(0, dot), below = dot == key.npos ? "" : key.substr(dot + 1);
  if (table == "auth" && !below.empty()) return effect_in(auth_keys(), below);
  if (table == "peer_auth" && !below.empty()) return effect_in(peer_auth_keys(), below);
  if (kind == "gateway") return effect_in(gateway_keys(), table);
  if (kind == "peer") return effect_in(peer_keys(), table);
  if (kind == "tunnel") return effect_in(tunnel_keys(), table);
  if (kind == "radius") return effect_in(radius_keys(), table);
  return effect_in(pool_keys(), table);
}

}  // namespace culvert::config

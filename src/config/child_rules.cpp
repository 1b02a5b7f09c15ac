// Which tunnels share a child SA.
#include <fmt/format.h>

#include <map>
#include <tuple>

#include "rules.h"

namespace culvert::config {
namespace {

constexpr std::uint8_t protocol_gre = 47;
constexpr std::size_t max_joined_names = 3;

/// The GRE tunnels of one child: same peer, same endpoints.
struct GreGroup {
  const RawTunnel* first = nullptr;
  ike::ChildConfig* child = nullptr;
  std::size_t num_tunnels = 1;
  const RawTunnel* window_from = nullptr;
  std::map<std::optional<std::int64_t>, const RawTunnel*> keys;
};

ike::ModePreference mode_of(const RawTunnel& raw) {
  if (raw.carry.value == tunnel::Carry::ip || raw.source.value) return ike::ModePreference::tunnel;
  switch (raw.mode.value.value_or(TunnelMode::automatic)) {
    case TunnelMode::automatic:
      return ike::ModePreference::prefer_transport;
    case TunnelMode::tunnel:
      return ike::ModePreference::tunnel;
    case TunnelMode::transport:
      break;
  }
  return ike::ModePreference::transport;
}

std::vector<ike::SelectorSpec> gre_selector(const Field<IpAddress>& endpoint) {
  ike::SelectorSpec selector;
  selector.protocol = protocol_gre;
  if (endpoint.value) selector.prefix = IpPrefix{*endpoint.value, static_cast<std::uint8_t>(endpoint.value->bits())};
  return {selector};
}

std::vector<ike::SelectorSpec> net_selectors(const List<IpPrefix>& nets) {
  std::vector<ike::SelectorSpec> selectors;
  if (!nets.value) return selectors;
  for (const auto& net : *nets.value) selectors.push_back({net.value, 0});
  return selectors;
}

ike::ChildConfig child_of(const RawTunnel& raw, ChildId id) {
  ike::ChildConfig child;
  child.id = id;
  child.name = raw.name;
  child.mode = mode_of(raw);
  child.replay_window = static_cast<std::uint32_t>(raw.replay_window.value.value_or(child.replay_window));
  if (raw.carry.value == tunnel::Carry::gre) {
    child.local = gre_selector(raw.source);
    child.remote = gre_selector(raw.destination);
  } else {
    child.local = net_selectors(raw.local);
    child.remote = net_selectors(raw.remote);
    child.virtual_local = raw.virtual_local;
  }
  return child;
}

void check_key(const RawTunnel& raw, GreGroup& group, Findings& findings) {
  if (raw.gre_key.present && !raw.gre_key.value) return;
  const auto [first, is_new] = group.keys.try_emplace(raw.gre_key.value, &raw);
  if (is_new) return;
  const std::string same =
      raw.gre_key.value ? fmt::format("the GRE key {} too", *raw.gre_key.value) : std::string("no GRE key either");
  findings.error(raw.gre_key.present ? raw.gre_key.at : raw.at, raw.key("key"),
                 fmt::format("tunnel {} ({}) to the same peer has {}: packets of the two could not be told apart. "
                             "Give each its own key",
                             first->second->name, findings.place(first->second->at), same));
}

/// A second tunnel of a group: it must fit what the first asked for.
void join(const RawTunnel& raw, GreGroup& group, ike::ChildConfig& child, Findings& findings) {
  if (mode_of(raw) != child.mode) {
    findings.error(raw.mode.present ? raw.mode.at : raw.at, raw.key("mode"),
                   fmt::format("tunnel {} ({}) runs between the same addresses in another mode: GRE tunnels of "
                               "one peer share their SAs. "
                               "Use one mode, or give them different source and destination",
                               group.first->name, findings.place(group.first->at)));
  }
  if (raw.replay_window.value && group.window_from &&
      static_cast<std::uint32_t>(*raw.replay_window.value) != child.replay_window) {
    findings.error(raw.replay_window.at, raw.key("replay_window"),
                   fmt::format("tunnel {} ({}) shares its SAs with this one and says {}: use one window",
                               group.window_from->name, findings.place(group.window_from->at), child.replay_window));
  } else if (raw.replay_window.value) {
    child.replay_window = static_cast<std::uint32_t>(*raw.replay_window.value);
    group.window_from = &raw;
  }
  ++group.num_tunnels;
  if (group.num_tunnels <= max_joined_names) child.name += "," + raw.name;
  if (group.num_tunnels == max_joined_names + 1) child.name += ",…";
}

}  // namespace

void make_children(const std::vector<RawTunnel>& raw, std::vector<TunnelSettings>& tunnels,
                   std::vector<ike::PeerConfig>& peers, Findings& findings) {
  std::map<std::tuple<PeerId, std::optional<IpAddress>, std::optional<IpAddress>>, GreGroup> groups;
  std::uint32_t next_child = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    TunnelSettings& settings = tunnels[i];
    if (settings.peer.value() >= peers.size() || !raw[i].carry.value) continue;
    ike::PeerConfig& peer = peers[settings.peer.value()];
    settings.plane.trap = peer.start == ike::StartMode::on_traffic;
    if (settings.plane.carry == tunnel::Carry::ip) {
      peer.children.push_back(child_of(raw[i], ChildId{next_child++}));
      settings.plane.child = peer.children.back().id;
      continue;
    }
    const auto [found, is_new] = groups.try_emplace({settings.peer, raw[i].source.value, raw[i].destination.value});
    GreGroup& group = found->second;
    if (is_new) {
      group.first = &raw[i];
      if (raw[i].replay_window.value) group.window_from = &raw[i];
      group.child = &peer.children.emplace_back(child_of(raw[i], ChildId{next_child++}));
    } else {
      join(raw[i], group, *group.child, findings);
    }
    check_key(raw[i], group, findings);
    settings.plane.child = group.child->id;
  }
}

}  // namespace culvert::config

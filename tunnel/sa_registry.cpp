#include "sa_registry.h"

#include <algorithm>
#include <utility>

namespace culvert::tunnel {

Result<void> SaRegistry::can_add_port(const TunnelConfig& config) const {
  if (ports_.contains(config.id.value())) return fail(Errc::invalid, "tunnel " + config.name + ": its id is in use");
  const auto child = children_.find(config.child.value());
  if (child == children_.end()) return {};
  for (const Port* other : child->second.ports) {
    const bool told_apart =
        config.carry == Carry::gre && other->config.carry == Carry::gre && other->config.gre_key != config.gre_key;
    if (!told_apart) {
      return fail(Errc::invalid,
                  "tunnel " + config.name + ": nothing tells its packets from those of tunnel " + other->config.name);
    }
  }
  return {};
}

void SaRegistry::add_port(std::shared_ptr<Port> port) {
  change(port->config.child).ports.push_back(port.get());
  ports_.emplace(port->config.id.value(), std::move(port));
}

std::shared_ptr<Port> SaRegistry::remove_port(TunnelId id) {
  auto node = ports_.extract(id.value());
  if (node.empty()) return nullptr;
  std::shared_ptr<Port> port = std::move(node.mapped());
  std::erase(change(port->config.child).ports, port.get());
  tables_.ports.erase(id.value());
  drop_if_unused(port->config.child);
  return port;
}

Port* SaRegistry::port(TunnelId id) const {
  const auto found = ports_.find(id.value());
  return found == ports_.end() ? nullptr : found->second.get();
}

std::vector<const Port*> SaRegistry::ports() const {
  std::vector<const Port*> all;
  for (const auto& [id, port] : ports_) all.push_back(port.get());
  std::ranges::sort(all, {}, [](const Port* port) { return port->config.id; });
  return all;
}

Result<void> SaRegistry::add_pair(SaPair pair, bool use_outbound) {
  const Spi spi = pair.inbound->inbound_spi;
  if (pairs_.contains(spi.value())) return fail(Errc::invalid, "inbound SPI is in use");
  ChildEntry& child = change(pair.inbound->child);
  for (Port* port : child.ports) port->forget_gre_sequence();
  ++child.num_pairs;
  tables_.inbound.add(pair.inbound);
  PairEntry& entry = pairs_.emplace(spi.value(), PairEntry{std::move(pair), 0, 0}).first->second;
  if (use_outbound) make_active(child, entry);
  return {};
}

bool SaRegistry::activate(Spi inbound_spi) {
  const auto found = pairs_.find(inbound_spi.value());
  if (found == pairs_.end()) return false;
  make_active(change(found->second.sas.inbound->child), found->second);
  return true;
}

bool SaRegistry::remove_pair(Spi inbound_spi) {
  const auto found = pairs_.find(inbound_spi.value());
  if (found == pairs_.end()) return false;
  const ChildId id = found->second.sas.inbound->child;
  ChildEntry& child = change(id);
  make_inactive(child, found->second);
  --child.num_pairs;
  pairs_.erase(found);
  tables_.inbound.remove(inbound_spi);
  drop_if_unused(id);
  return true;
}

bool SaRegistry::sends(ChildId child) const {
  const auto found = children_.find(child.value());
  return found != children_.end() && !found->second.active.empty();
}

SaPair* SaRegistry::pair(Spi inbound_spi) {
  const auto found = pairs_.find(inbound_spi.value());
  return found == pairs_.end() ? nullptr : &found->second.sas;
}

const SaPair* SaRegistry::pair(Spi inbound_spi) const {
  return const_cast<SaRegistry*>(this)->pair(inbound_spi);
}

std::vector<ChildSaKeys> SaRegistry::copy_keys(const std::function<bool(PeerId)>& wanted) const {
  std::vector<ChildSaKeys> all;
  for (const auto& [spi, entry] : pairs_) {
    const InboundSa& in = *entry.sas.inbound;
    const OutboundSa& out = *entry.sas.outbound;
    if (!wanted(in.peer)) continue;
    const OuterPath path = out.path.load();
    ChildSaKeys& keys = all.emplace_back();
    keys.peer = in.peer;
    keys.child = in.child;
    keys.inbound_spi = in.spi;
    keys.outbound_spi = out.spi;
    keys.suite = in.key().suite();
    keys.inbound.encryption = in.key().copy_of_encryption();
    keys.outbound.encryption = out.key().copy_of_encryption();
    keys.mode = in.mode;
    keys.encapsulation = path.encapsulation;
    keys.esn = in.esn;
    keys.local_endpoint = path.local;
    keys.remote_endpoint = path.remote;
  }
  return all;
}

bool SaRegistry::first_report(const SaEvent& event) {
  const auto found = pairs_.find(event.inbound_spi.value());
  if (found == pairs_.end()) return false;
  const std::uint8_t bit = EventFlags::bit(event.event);
  const bool first = (found->second.reported & bit) == 0;
  found->second.reported |= bit;
  return first;
}

const PolicyTable* SaRegistry::policy(ChildId child) const {
  const auto found = children_.find(child.value());
  return found == children_.end() ? nullptr : &found->second.policy;
}

std::vector<Port*> SaRegistry::ports_of(ChildId child) const {
  const auto found = children_.find(child.value());
  return found == children_.end() ? std::vector<Port*>{} : found->second.ports;
}

SaRegistry::ChildEntry& SaRegistry::change(ChildId id) {
  ChildEntry& child = children_[id.value()];
  if (!std::exchange(child.changed, true)) changed_.push_back(id);
  return child;
}

/// The first that packets choose from now on, whether it was active before or not.
void SaRegistry::make_active(ChildEntry& child, PairEntry& pair) {
  make_inactive(child, pair);
  pair.activation = ++last_activation_;
  child.active.emplace(pair.activation, pair.sas.outbound);
  child.policy.add(pair.sas.outbound);
}

void SaRegistry::make_inactive(ChildEntry& child, PairEntry& pair) {
  const std::uint64_t activation = std::exchange(pair.activation, 0);
  if (activation == 0) return;
  child.active.erase(activation);
  child.policy.remove(*pair.sas.outbound, child.active.empty() ? nullptr : child.active.rbegin()->second);
}

void SaRegistry::drop_if_unused(ChildId id) {
  const auto found = children_.find(id.value());
  if (found != children_.end() && found->second.ports.empty() && found->second.num_pairs == 0) children_.erase(found);
}

std::shared_ptr<const ChildView> SaRegistry::make_view(ChildId id, const ChildEntry& child) {
  const std::vector<Tunnel*> tunnels(child.ports.begin(), child.ports.end());
  return std::make_shared<ChildView>(
      ChildView{.id = id, .tunnels = ChildTunnels(tunnels), .policy = child.policy, .acquire = child.acquire});
}

std::unique_ptr<const Tables> SaRegistry::make_tables() {
  for (const ChildId id : std::exchange(changed_, {})) {
    const auto found = children_.find(id.value());
    if (found == children_.end()) {
      tables_.children.erase(id.value());
      continue;
    }
    ChildEntry& child = found->second;
    child.changed = false;
    const auto view = make_view(id, child);
    tables_.children.set(id.value(), view);
    for (const Port* port : child.ports) {
      const std::uint32_t number = port->config.id.value();
      tables_.ports.set(number, PortView{ports_.at(number), view});
    }
  }
  return std::make_unique<const Tables>(tables_);
}

}  // namespace culvert::tunnel

// The child SAs of an association: installing, replacing, activating and removing them.
#include <algorithm>

#include "association.h"
#include "lifetime.h"
#include "peer.h"
#include "session.h"
#include "traffic_selector.h"

namespace culvert::ike {
namespace {

/// For our answer to reach the peer, when it has nothing to send on what it asked for.
constexpr Duration hold_time = std::chrono::seconds(3);
constexpr Duration tidy_time = std::chrono::seconds(10);  // for collisions of children to settle by themselves

}  // namespace

ChildSa& Association::install(NewChild made) {
  ChildSa child = child_from(made);
  core_.emit(InstallChild{keys_for(child, made), made.send, echoes_});
  const Spi spi = child.inbound;
  core_.assign_esp_spi(spi, *this);
  ChildSa& installed = children_[spi] = std::move(child);
  if (made.send) peer_.mark_sending(installed);
  if (!made.send && !redundant_ && peer_.sends_elsewhere(*this, *installed.config))
    installed.activate_at = core_.now() + hold_time;
  if (twin_of(installed)) tidy_at_ = core_.now() + tidy_time;
  const bool first = peer_.on_child_up(*installed.config);
  peer_.count(made.rekey ? PeerEvent::child_rekey : PeerEvent::child_up);
  log::Subject about = peer_.about();
  about.tunnel = installed.config->name;
  about.spi = fmt::format("0x{:08x}", installed.inbound.value());
  about.event = first ? EventKind::tunnel_up : made.rekey ? EventKind::child_rekeyed : EventKind::child_up;
  core_.report(log::Level::info, std::move(about),
               fmt::format("{}: child {} {}: {}, {} mode over {}, {} to {}", peer_.label(), installed.config->name,
                           made.rekey ? "rekeyed" : "up", to_string(installed.suite),
                           installed.mode == EspMode::transport ? "transport" : "tunnel",
                           installed.encapsulation == EspEncapsulation::udp ? "UDP" : "raw ESP",
                           to_string(installed.local), to_string(installed.remote)));
  return installed;
}

ChildSa Association::child_from(const NewChild& made) const {
  const PeerConfig& config = peer_.config();
  ChildSa child;
  child.config = made.agreement.config;
  child.inbound = made.agreement.inbound;
  child.outbound = made.agreement.outbound;
  child.suite = made.agreement.suite;
  child.mode = made.agreement.mode;
  child.local = made.agreement.local;
  child.remote = made.agreement.remote;
  child.ours = made.ours;
  child.lowest_nonce = made.lowest_nonce;
  child.path = child_path();
  child.encapsulation = encapsulation_now();
  child.established = core_.now();
  const Lifetime lifetime = lifetime_from(core_.now(), config.child_lifetime, config.jitter, core_.random());
  child.soft_at = lifetime.soft;
  child.hard_at = lifetime.hard;
  return child;
}

/// Takes the keys out of `made`.
ChildSaKeys Association::keys_for(const ChildSa& child, NewChild& made) const {
  const PeerConfig& config = peer_.config();
  ChildSaKeys keys;
  keys.peer = config.id;
  keys.child = child.config->id;
  keys.inbound_spi = child.inbound;
  keys.outbound_spi = child.outbound;
  keys.suite = child.suite.cipher;
  keys.inbound = std::move(made.inbound);
  keys.outbound = std::move(made.outbound);
  keys.mode = child.mode;
  keys.encapsulation = child.encapsulation;
  keys.esn = child.suite.esn;
  keys.local = child.local;
  keys.remote = child.remote;
  keys.local_endpoint = child.path.local;
  keys.remote_endpoint = child.path.remote;
  keys.replay_window = child.config->replay_window;
  const VolumeLimit bytes = volume_limit(config.child_bytes, config.jitter, core_.random());
  const VolumeLimit packets = volume_limit(config.child_packets, config.jitter, core_.random());
  keys.soft_bytes = bytes.soft;
  keys.hard_bytes = bytes.hard;
  keys.soft_packets = packets.soft;
  keys.hard_packets = packets.hard;
  return keys;
}

ChildSa* Association::by_inbound(Spi spi) {
  const auto found = children_.find(spi);
  return found == children_.end() ? nullptr : &found->second;
}

ChildSa* Association::by_outbound(Spi spi) {
  const auto found = std::ranges::find_if(children_, [spi](const auto& entry) { return entry.second.outbound == spi; });
  return found == children_.end() ? nullptr : &found->second;
}

const ChildSa* Association::heir_of(Spi inbound) {
  const ChildSa* child = by_inbound(inbound);
  while (child && child->state != ChildSa::State::live) {
    child = child->successor ? by_inbound(*child->successor) : nullptr;
  }
  return child;
}

const ChildSa* Association::live_child(const ChildConfig& config) const {
  for (const auto& [spi, child] : children_) {
    if (child.config == &config && child.state == ChildSa::State::live) return &child;
  }
  return nullptr;
}

bool Association::may_send_at_once(const ChildConfig& config) const {
  return !redundant_ && !peer_.sends_elsewhere(*this, config);
}

void Association::supersede(ChildSa& old, Spi successor) {
  old.state = ChildSa::State::superseded;
  old.successor = successor;
  old.soft_at.reset();
  old.give_up_at = core_.now() + give_up_time;
}

void Association::activate(ChildSa& child) {
  child.activate_at.reset();
  if (child.sends) return;
  peer_.mark_sending(child);
  core_.emit(ActivateOutbound{child.inbound});
}

void Association::delete_child(ChildSa& child) {
  child.state = ChildSa::State::deleting;
  child.soft_at.reset();
  child.hard_at.reset();
  child.give_up_at.reset();
  Task task;
  task.kind = Task::Kind::delete_child;
  task.spi = child.inbound;
  add_task(std::move(task));
}

void Association::drop_child(Spi inbound) {
  const auto found = children_.find(inbound);
  if (found == children_.end()) return core_.release_esp_spi(inbound);  // never installed here
  ChildSa gone = std::move(found->second);
  children_.erase(found);
  for (Session* session : sessions_) session->on_child_gone(gone);
  drop_tasks(Task::Kind::delete_child, inbound);
  drop_tasks(Task::Kind::rekey_child, inbound);
  ChildSa* successor = gone.successor ? by_inbound(*gone.successor) : nullptr;
  if (successor && successor->state != ChildSa::State::live) successor = nullptr;
  if (gone.sends || (successor && !redundant_)) {
    if (!successor) successor = peer_.best_child(*gone.config, inbound);
    if (successor) activate(*successor);
  }
  const bool has_other = successor != nullptr || peer_.best_child(*gone.config, inbound) != nullptr;
  remove_from_plane(gone, has_other);
  if (has_other) peer_.tell_deleted(*gone.config, inbound);
}

void Association::remove_from_plane(ChildSa& child, bool linger) {
  if (!child.in_plane) return core_.release_esp_spi(child.inbound);
  child.in_plane = false;
  child.sends = false;
  peer_.on_child_gone();
  if (linger) return core_.linger(child.inbound, peer_.config().id);
  core_.emit(RemoveChild{child.inbound});
  core_.release_esp_spi(child.inbound);
}

void Association::remove_all_children(bool linger) {
  std::map<Spi, ChildSa> gone = std::exchange(children_, {});
  for (auto& [spi, child] : gone) {
    if (child.sends) {
      if (ChildSa* other = peer_.best_child(*child.config, spi)) activate(*other);
    }
    remove_from_plane(child, linger);
  }
}

void Association::on_child_event(ChildSa& child, ChildEvent event) {
  const bool live = child.state == ChildSa::State::live;
  switch (event) {
    case ChildEvent::first_inbound:
      heard();
      child.unconfirmed_on.reset();
      if (live && !redundant_) activate(child);  // RFC 7296 §2.8: the peer uses it
      return;
    case ChildEvent::soft_limit:
      if (live && !redundant_) start_rekey(child);
      return;
    case ChildEvent::hard_limit:
      return expire(child);
  }
}

void Association::start_rekey(ChildSa& child) {
  child.soft_at.reset();
  Task task;
  task.kind = Task::Kind::rekey_child;
  task.spi = child.inbound;
  add_task(std::move(task));
}

/// Fail closed: nothing passes a dead SA. The peer hears of it by a Delete.
void Association::expire(ChildSa& child) {
  const ChildConfig& config = *child.config;
  const bool was_live = child.state == ChildSa::State::live;
  if (child.sends) {
    if (ChildSa* other = peer_.best_child(config, child.inbound)) activate(*other);
  }
  if (child.in_plane) core_.emit(RemoveChild{child.inbound});
  peer_.on_child_gone();
  child.in_plane = false;
  child.sends = false;
  drop_tasks(Task::Kind::rekey_child, child.inbound);
  if (child.state != ChildSa::State::deleting) delete_child(child);
  if (was_live && !live_child(config))
    peer_.on_child_down(config, "its lifetime was over and no rekey succeeded", false);
}

EspEncapsulation Association::encapsulation_now() const {
  const bool udp = current_->nat().needs_udp() && child_path().local.port == core_.options().nat_port;
  return udp ? EspEncapsulation::udp : EspEncapsulation::raw;
}

void Association::move_children() {
  const Path path = child_path();
  const EspEncapsulation encapsulation = encapsulation_now();
  for (auto& [spi, child] : children_) {
    if (child.path == path && child.encapsulation == encapsulation) continue;
    child.path = path;
    child.encapsulation = encapsulation;
    if (child.in_plane) core_.emit(MoveChild{spi, path.local, path.remote, encapsulation});
  }
}

// ---- time
// ---------------------------------------------------------------------------------------------------------------------

void Association::child_deadlines() {
  const auto due = [&](const std::optional<TimePoint>& at) { return at && *at <= core_.now(); };
  std::vector<Spi> spis;
  for (const auto& [spi, child] : children_) spis.push_back(spi);
  for (const Spi spi : spis) {
    ChildSa* child = by_inbound(spi);
    if (!child) continue;
    if (due(child->activate_at)) {
      child->activate_at.reset();
      if (child->state == ChildSa::State::live && !redundant_) activate(*child);
    }
    if (due(child->hard_at)) {
      expire(*child);
    } else if (due(child->give_up_at)) {
      delete_child(*child);  // the peer forgot to
    } else if (due(child->soft_at) && !redundant_) {
      start_rekey(*child);
    }
  }
}

ChildSa* Association::twin_of(const ChildSa& child) {
  for (auto& [spi, other] : children_) {
    const bool same = other.config == child.config && other.local == child.local && other.remote == child.remote;
    if (same && &other != &child && other.state == ChildSa::State::live) return &other;
  }
  return nullptr;
}

/// Several collisions on top of each other (a new child of one end, crossed by a rekey of what the other end made) can
/// leave two live children for the same traffic. The rule of §2.8.1 again: the one with the lowest nonce goes, deleted
/// by who asked for it, or by the other end when that takes too long.
void Association::tidy_children() {
  tidy_at_.reset();
  std::vector<Spi> spis;
  for (const auto& [spi, child] : children_) spis.push_back(spi);
  for (const Spi spi : spis) {
    ChildSa* child = by_inbound(spi);
    if (!child || child->state != ChildSa::State::live) continue;
    ChildSa* twin = twin_of(*child);
    if (!twin || child->lowest_nonce > twin->lowest_nonce) continue;
    if (child->ours || core_.now() - child->established > give_up_time) {
      if (child->sends) activate(*twin);
      delete_child(*child);
    } else {
      tidy_at_ = core_.now() + tidy_time;
    }
  }
}

}  // namespace culvert::ike

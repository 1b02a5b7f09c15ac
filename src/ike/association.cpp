#include "association.h"

#include <algorithm>
#include <cassert>

#include "lifetime.h"
#include "peer.h"
#include "session.h"
#include "traffic_selector.h"

namespace culvert::ike {
namespace {

constexpr Duration hint_pause = std::chrono::seconds(10);       // between liveness checks that hints trigger
constexpr Duration tidy_time = std::chrono::seconds(10);        // for collisions of children to settle by themselves
constexpr Duration redundant_time = std::chrono::seconds(30);   // for the peer to delete the loser of two associations

void earliest(std::optional<TimePoint>& so_far, std::optional<TimePoint> other) {
  if (other && (!so_far || *other < *so_far)) so_far = other;
}

}  // namespace

Association::Association(Core& core, Peer& peer, const AuthenticatedPeer& proof, Lineage lineage)
    : core_(core), peer_(peer), proof_(proof), lineage_(std::move(lineage)), established_(core.now()), last_heard_(core.now()) {
  assert(&proof_.config() == &peer.config());
}

Association::~Association() { core_.release_esp_spis_of(*this); }

// ---- IKE SAs -------------------------------------------------------------------------------------------------------------------

void Association::add_session(Session& session, bool current) {
  sessions_.push_back(&session);
  session.become_established(*this);
  if (current) make_current(session);
}

void Association::make_current(Session& session) {
  current_ = &session;
}

void Association::forget(const Session& session) {
  std::erase(sessions_, &session);
  if (current_ == &session) current_ = nullptr;
}

std::size_t Association::num_open_sessions() const {
  return static_cast<std::size_t>(std::ranges::count_if(sessions_, [](const Session* session) { return session->is_open(); }));
}

void Association::on_session_closed(Session& session, const std::string& reason, bool lost) {
  session.close();
  if (ended_ || (current_ && current_ != &session)) return;
  // The loser's end of a collision of rekeys may go first; the survivor then carries on (RFC 7296 §2.25.2).
  const auto survivor = std::ranges::find_if(sessions_, [&](const Session* other) {
    return other != &session && other->state() == Session::State::established && !other->close_wanted();
  });
  if (survivor != sessions_.end()) return make_current(**survivor);
  end(reason, lost);
}

// ---- child SAs -----------------------------------------------------------------------------------------------------------------

ChildSa& Association::install(NewChild made) {
  const PeerConfig& config = peer_.config();
  ChildAgreement& agreement = made.agreement;
  ChildSa child;
  child.config = agreement.config;
  child.inbound = agreement.inbound;
  child.outbound = agreement.outbound;
  child.suite = agreement.suite;
  child.mode = agreement.mode;
  child.local = agreement.local;
  child.remote = agreement.remote;
  child.ours = made.ours;
  child.lowest_nonce = std::move(made.lowest_nonce);
  const Path& path = current_->path();
  const bool udp = current_->nat().needs_udp() && path.local.port == core_.options().nat_port;
  child.encapsulation = udp ? EspEncapsulation::udp : EspEncapsulation::raw;
  child.established = core_.now();
  const Lifetime lifetime = lifetime_from(core_.now(), config.child_lifetime, config.jitter, core_.random());
  child.soft_at = lifetime.soft;
  child.hard_at = lifetime.hard;

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
  keys.local_endpoint = path.local;
  keys.remote_endpoint = path.remote;
  keys.replay_window = child.config->replay_window;
  const VolumeLimit bytes = volume_limit(config.child_bytes, config.jitter, core_.random());
  const VolumeLimit packets = volume_limit(config.child_packets, config.jitter, core_.random());
  keys.soft_bytes = bytes.soft;
  keys.hard_bytes = bytes.hard;
  keys.soft_packets = packets.soft;
  keys.hard_packets = packets.hard;
  core_.emit(InstallChild{std::move(keys), made.send});

  const Spi spi = child.inbound;
  core_.assign_esp_spi(spi, *this);
  ChildSa& installed = children_[spi] = std::move(child);
  if (made.send) peer_.mark_sending(installed);
  if (twin_of(installed)) tidy_at_ = core_.now() + tidy_time;
  peer_.on_child_up(*installed.config);
  core_.report(log::Level::info, fmt::format("{}: child {} {}: {}, {} mode over {}, {} to {}", peer_.label(), installed.config->name,
                                             made.rekey ? "rekeyed" : "up", to_string(installed.suite), installed.mode == EspMode::transport ? "transport" : "tunnel",
                                             udp ? "UDP" : "raw ESP", to_string(installed.local), to_string(installed.remote)));
  return installed;
}

ChildSa* Association::by_inbound(Spi spi) {
  const auto found = children_.find(spi);
  return found == children_.end() ? nullptr : &found->second;
}

ChildSa* Association::by_outbound(Spi spi) {
  const auto found = std::ranges::find_if(children_, [spi](const auto& entry) { return entry.second.outbound == spi; });
  return found == children_.end() ? nullptr : &found->second;
}

const ChildSa* Association::live_child(const ChildConfig& config) const {
  for (const auto& [spi, child] : children_) {
    if (child.config == &config && child.state == ChildSa::State::live) return &child;
  }
  return nullptr;
}

void Association::supersede(ChildSa& old, Spi successor) {
  old.state = ChildSa::State::superseded;
  old.successor = successor;
  old.soft_at.reset();
  old.give_up_at = core_.now() + give_up_time;
}

void Association::activate(ChildSa& child) {
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
  drop_tasks(Task::Kind::delete_child, inbound);
  drop_tasks(Task::Kind::rekey_child, inbound);
  ChildSa* successor = gone.successor ? by_inbound(*gone.successor) : nullptr;
  if (successor && successor->state != ChildSa::State::live) successor = nullptr;
  if (gone.sends || (successor && !redundant_)) {
    if (!successor) successor = peer_.best_child(*gone.config, inbound);
    if (successor) activate(*successor);
  }
  remove_from_plane(gone, successor != nullptr || peer_.best_child(*gone.config, inbound) != nullptr);
}

void Association::remove_from_plane(ChildSa& child, bool linger) {
  if (!child.in_plane) return core_.release_esp_spi(child.inbound);
  child.in_plane = false;
  child.sends = false;
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
    case ChildEvent::hard_limit: return expire(child);
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
  child.in_plane = false;
  child.sends = false;
  drop_tasks(Task::Kind::rekey_child, child.inbound);
  if (child.state != ChildSa::State::deleting) delete_child(child);
  if (was_live && !live_child(config)) peer_.on_child_down(config, "its lifetime was over and no rekey succeeded", false);
}

void Association::move_children(const Path& path) {
  for (const auto& [spi, child] : children_) {
    if (child.in_plane) core_.emit(MoveChild{spi, path.local, path.remote});
  }
  core_.report(log::Level::info, fmt::format("{}: now at {}", peer_.label(), path.remote.to_string()));
}

// ---- tasks ---------------------------------------------------------------------------------------------------------------------

void Association::add_task(Task task, bool first) {
  if (ended_ || std::ranges::any_of(tasks_, [&](const Task& other) { return other.same(task); })) return;
  if (first) {
    tasks_.push_front(std::move(task));
  } else {
    tasks_.push_back(std::move(task));
  }
}

void Association::retry_task(Task task) {
  const Duration cap = std::chrono::seconds(30);
  Duration base = std::min<Duration>(cap, std::chrono::seconds(1) * (1 << std::min(task.attempts, 5)));
  // A short lifetime leaves no room for long pauses.
  std::optional<TimePoint> end = current_ ? current_->hard_at() : std::nullopt;
  if (task.kind == Task::Kind::rekey_child) {
    const ChildSa* child = by_inbound(task.spi);
    end = child ? child->hard_at : std::nullopt;
  }
  if (end) base = std::clamp<Duration>((*end - core_.now()) / 10, std::chrono::milliseconds(100), base);
  task.not_before = core_.now() + spread(base, 0.5, 1.5, core_.random());
  add_task(std::move(task));
}

void Association::drop_tasks(Task::Kind kind, Spi spi) {
  std::erase_if(tasks_, [&](const Task& task) { return task.kind == kind && task.spi == spi; });
}

bool Association::has_task(Task::Kind kind, Spi spi) const {
  return std::ranges::any_of(tasks_, [&](const Task& task) { return task.kind == kind && task.spi == spi; });
}

bool Association::is_creating(const ChildConfig& config) const {
  const bool queued = std::ranges::any_of(
      tasks_, [&](const Task& task) { return task.kind == Task::Kind::create_child && task.config == &config; });
  return queued || std::ranges::any_of(sessions_, [&](const Session* session) { return session->is_creating(config); });
}

void Association::run() {
  for (Session* session : sessions_) {
    if (session->close_wanted() && session->is_open() && session->idle()) session->send_delete();
  }
  while (!ended_ && current_ && current_->ready()) {
    const auto due = [&](const Task& task) {
      const bool fits = !redundant_ || task.kind == Task::Kind::delete_child || task.kind == Task::Kind::probe;
      return fits && task.not_before <= core_.now();
    };
    auto next = std::ranges::find_if(tasks_, [&](const Task& task) { return due(task) && task.kind == Task::Kind::delete_child; });
    if (next == tasks_.end()) next = std::ranges::find_if(tasks_, due);
    if (next == tasks_.end()) return;
    Task task = std::move(*next);
    tasks_.erase(next);
    if (current_->begin(std::move(task))) return;
  }
}

// ---- life ----------------------------------------------------------------------------------------------------------------------

void Association::heard() noexcept { last_heard_ = core_.now(); }

void Association::check_liveness() {
  Task task;
  task.kind = Task::Kind::probe;
  add_task(std::move(task));
}

/// Hints are never trusted: they may cause one liveness check now and then (RFC 7296 §2.4).
void Association::on_hint() {
  if (hinted_at_ && core_.now() - *hinted_at_ < hint_pause) return;
  hinted_at_ = core_.now();
  core_.touch();
  check_liveness();
}

void Association::make_redundant(Ending ending) {
  redundant_ = true;
  redundant_since_ = core_.now();
  ending_ = ending;
  redundant_at_.reset();
  if (ending == Ending::await_delete) redundant_at_ = core_.now() + redundant_time;
}

void Association::promote() {
  redundant_ = false;
  ending_ = Ending::none;
  redundant_at_.reset();
  for (auto& [spi, child] : children_) {
    if (child.state == ChildSa::State::live) activate(child);
  }
}

void Association::settle() {
  const Ending ending = std::exchange(ending_, Ending::none);
  if (ending == Ending::with_delete) close_with_delete("replaced by another IKE SA with the same peer");
  if (ending == Ending::silent) end("the peer has restarted (INITIAL_CONTACT)", false);
}

void Association::close_with_delete(const std::string& reason) {
  if (ended_) return;
  ended_ = true;
  tasks_.clear();
  const std::vector<Session*> sessions = sessions_;
  for (Session* session : sessions) session->close_with_delete();
  remove_all_children(redundant_);
  peer_.on_association_ended(*this, reason, false);
}

void Association::end(const std::string& reason, bool lost) {
  if (ended_) return;
  ended_ = true;
  tasks_.clear();
  const std::vector<Session*> sessions = sessions_;
  for (Session* session : sessions) session->close();
  remove_all_children(redundant_);
  peer_.on_association_ended(*this, reason, lost);
}

std::optional<TimePoint> Association::deadline() const {
  if (ended_) return std::nullopt;
  std::optional<TimePoint> first = redundant_at_;
  earliest(first, tidy_at_);
  if (current_ && current_->ready()) {
    for (const Task& task : tasks_) {
      if (!redundant_ || task.kind == Task::Kind::delete_child || task.kind == Task::Kind::probe) earliest(first, task.not_before);
    }
    const Duration liveness = peer_.config().liveness;
    if (liveness > Duration::zero()) earliest(first, last_heard_ + liveness);
  }
  for (const auto& [spi, child] : children_) {
    if (!redundant_) earliest(first, child.soft_at);
    earliest(first, child.hard_at);
    earliest(first, child.give_up_at);
  }
  return first;
}

void Association::on_deadline() {
  if (ended_) return;
  child_deadlines();
  if (tidy_at_ && *tidy_at_ <= core_.now()) tidy_children();
  if (redundant_at_ && *redundant_at_ <= core_.now()) resolve_redundancy();
  const Duration liveness = peer_.config().liveness;
  if (ended_ || liveness <= Duration::zero() || !current_ || !current_->ready()) return;
  if (last_heard_ + liveness <= core_.now()) check_liveness();
}

void Association::child_deadlines() {
  const auto due = [&](const std::optional<TimePoint>& at) { return at && *at <= core_.now(); };
  std::vector<Spi> spis;
  for (const auto& [spi, child] : children_) spis.push_back(spi);
  for (const Spi spi : spis) {
    ChildSa* child = by_inbound(spi);
    if (!child) continue;
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

/// Several collisions on top of each other (a new child of one end, crossed by a rekey of what the other end made) can leave two live
/// children for the same traffic. The rule of §2.8.1 again: the one with the lowest nonce goes, deleted by who asked for it, or by the
/// other end when that takes too long.
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

/// The peer should have deleted this one. If the other one lives, we do; if it doesn't, this may be the one to keep.
void Association::resolve_redundancy() {
  Association* kept = peer_.preferred();
  if (!kept || kept == this) return promote();
  if (kept->last_heard() > redundant_since_) return close_with_delete("replaced by another IKE SA with the same peer");
  kept->check_liveness();
  redundant_at_ = core_.now() + redundant_time / 3;
}

}  // namespace culvert::ike

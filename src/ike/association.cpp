#include "association.h"

#include <algorithm>
#include <cassert>

#include "clients.h"
#include "lifetime.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr Duration hint_pause = std::chrono::seconds(10);      // between liveness checks that hints trigger
constexpr Duration handover_time = std::chrono::seconds(20);   // for the children of the IKE SA that takes over
constexpr Duration arrival_time = std::chrono::milliseconds(500);  // for what the peer has sent on old children
constexpr Duration redundant_time = std::chrono::seconds(30);  // for the peer to delete the loser of two associations

void earliest(std::optional<TimePoint>& so_far, std::optional<TimePoint> other) {
  if (other && (!so_far || *other < *so_far)) so_far = other;
}

}  // namespace

Association::Association(Core& core, Peer& peer, const AuthenticatedPeer& proof, Lineage lineage)
    : core_(core),
      peer_(peer),
      proof_(proof),
      lineage_(std::move(lineage)),
      established_(core.now()),
      last_heard_(core.now()),
      authentication_(authentication_lifetime()) {
  assert(&proof_.config() == (peer.client() ? &peer.client()->of->config() : &peer.config()));
}

Association::~Association() {
  core_.release_esp_spis_of(*this);
}

// ---- the user
// -------------------------------------------------------------------------------------------------------------------

void Association::log_in(UserSession user, Duration timeout) {
  user.id = core_.next_login();
  login_ = user.id;
  core_.emit(std::move(user));
  if (timeout <= Duration::zero()) return;
  const TimePoint end = core_.now() + timeout;  // Session-Timeout, RFC 2865 §5.27
  if (!authentication_.hard || *authentication_.hard > end) authentication_.hard = end;
}

void Association::log_out(UserSessionEnd::Cause cause) {
  if (login_) core_.emit(UserSessionEnd{cause, *std::exchange(login_, std::nullopt)});
}

// ---- IKE SAs
// -------------------------------------------------------------------------------------------------------------------

void Association::add_session(Session& session, bool current) {
  sessions_.push_back(&session);
  session.become_established(*this);
  if (current) make_current(session);
}

void Association::make_current(Session& session) {
  // Where the peer is counts for the association; what an IKE SA has heard that was not the current one does not.
  if (current_ && current_->path() != session.path()) session.adopt_path(current_->path());
  current_ = &session;
}

void Association::succeed_by(Session& session) {
  make_current(session);
  peer_.note_handshake(PeerEvent::ike_rekey);
  core_.report(log::Level::info, peer_.about().as(EventKind::ike_rekeyed),
               fmt::format("{}: IKE SA rekeyed{} ({})", peer_.label(), session.initiator() ? "" : " by the peer",
                           to_string(session.suite())));
}

void Association::forget(const Session& session) {
  std::erase(sessions_, &session);
  if (current_ == &session) current_ = nullptr;
}

std::size_t Association::num_open_sessions() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(sessions_, [](const Session* session) { return session->is_open(); }));
}

void Association::on_session_closed(Session& session, const std::string& reason, bool lost) {
  session.close();
  if (ended_ || (current_ && current_ != &session)) return;
  // The loser's end of a collision of rekeys may go first; the survivor then carries on (RFC 7296 §2.25.2).
  const auto survivor = std::ranges::find_if(sessions_, [&](const Session* other) {
    return other != &session && other->state() == Session::State::established && !other->close_wanted();
  });
  if (survivor != sessions_.end()) return succeed_by(**survivor);
  end(reason, lost);
}

// ---- tasks
// ---------------------------------------------------------------------------------------------------------------------

void Association::add_task(Task task, bool first) {
  core_.touch(peer_);
  if (task.kind != Task::Kind::probe_path && current_ && !ended_) current_->hurry();
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
      if (task.kind == Task::Kind::update_addresses && !session_for_update()) return false;
      const bool fits = !redundant_ || task.kind == Task::Kind::delete_child || task.kind == Task::Kind::probe;
      return fits && task.not_before <= core_.now();
    };
    auto next = std::ranges::find_if(
        tasks_, [&](const Task& task) { return due(task) && task.kind == Task::Kind::delete_child; });
    if (next == tasks_.end())
      next = std::ranges::find_if(tasks_,
                                  [&](const Task& task) { return due(task) && task.kind != Task::Kind::probe_path; });
    if (next == tasks_.end()) next = std::ranges::find_if(tasks_, due);
    if (next == tasks_.end()) return;
    Session* by = next->kind == Task::Kind::update_addresses ? session_for_update() : current_;
    Task task = std::move(*next);
    tasks_.erase(next);
    if (by->begin(std::move(task))) return;
  }
}

// ---- life
// ----------------------------------------------------------------------------------------------------------------------

void Association::heard() noexcept {
  last_heard_ = core_.now();
}

void Association::check_liveness() {
  peer_.count(PeerEvent::liveness_check);
  Task task;
  task.kind = Task::Kind::probe;
  add_task(std::move(task));
}

/// Hints are never trusted: they may cause one liveness check now and then (RFC 7296 §2.4).
void Association::on_hint() {
  if (hinted_at_ && core_.now() - *hinted_at_ < hint_pause) return;
  hinted_at_ = core_.now();
  core_.touch(peer_);
  check_liveness();
}

void Association::make_redundant(Ending ending) {
  core_.touch(peer_);
  redundant_ = true;
  redundant_since_ = core_.now();
  ending_ = ending;
  redundant_at_.reset();
  if (ending == Ending::await_delete) redundant_at_ = core_.now() + redundant_time;
  if (ending == Ending::handover) redundant_at_ = core_.now() + handover_time;
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
  if (ending_ == Ending::handover) {
    if (ended_ || !peer_.has_taken_over(*this)) return;
    ending_ = Ending::handed_over;
    redundant_at_ = core_.now() + arrival_time;
  }
  if (ending_ == Ending::handed_over) return;
  const Ending ending = std::exchange(ending_, Ending::none);
  if (ending == Ending::with_delete) close_with_delete("replaced by another IKE SA with the same peer");
  if (ending == Ending::silent) end("the peer has restarted (INITIAL_CONTACT)", false);
}

void Association::close_with_delete(const std::string& reason) {
  if (ended_) return;
  ended_ = true;
  log_out(UserSessionEnd::Cause::administrator);
  tasks_.clear();
  const std::vector<Session*> sessions = sessions_;
  for (Session* session : sessions) session->close_with_delete();
  remove_all_children(redundant_);
  peer_.on_association_ended(*this, reason, false);
}

void Association::end(const std::string& reason, bool lost) {
  if (ended_) return;
  ended_ = true;
  log_out(lost ? UserSessionEnd::Cause::lost : UserSessionEnd::Cause::user);
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
      if (task.kind == Task::Kind::update_addresses && !session_for_update()) continue;  // its answer runs it
      if (!redundant_ || task.kind == Task::Kind::delete_child || task.kind == Task::Kind::probe)
        earliest(first, task.not_before);
    }
    earliest(first, mobility_.prefer_at);
    const Duration liveness = peer_.config().liveness;
    if (liveness > Duration::zero()) earliest(first, last_heard_ + liveness);
  }
  if (!redundant_) {
    earliest(first, authentication_.soft);
    earliest(first, authentication_.hard);
  }
  for (const auto& [spi, child] : children_) {
    if (!redundant_) earliest(first, child.soft_at);
    earliest(first, child.hard_at);
    earliest(first, child.give_up_at);
    earliest(first, child.activate_at);
  }
  return first;
}

void Association::on_deadline() {
  if (ended_) return;
  child_deadlines();
  if (tidy_at_ && *tidy_at_ <= core_.now()) tidy_children();
  if (redundant_at_ && *redundant_at_ <= core_.now()) resolve_redundancy();
  if (!ended_ && !redundant_) reauthenticate_when_due();
  if (!ended_ && current_ && current_->ready() && mobility_.prefer_at && *mobility_.prefer_at <= core_.now()) {
    return_later();
    queue(Task::Kind::test_path);
  }
  const Duration liveness = peer_.config().liveness;
  if (ended_ || liveness <= Duration::zero() || !current_ || !current_->ready()) return;
  if (last_heard_ + liveness <= core_.now()) check_liveness();
}

/// The peer should have deleted this one. If the other one lives, we do; if it doesn't, this may be the one to keep.
void Association::resolve_redundancy() {
  Association* kept = peer_.preferred();
  if (!kept || kept == this) return promote();
  if (ending_ == Ending::handover || ending_ == Ending::handed_over)
    return close_with_delete("another IKE SA with the same peer has taken over");
  if (kept->last_heard() > redundant_since_) return close_with_delete("replaced by another IKE SA with the same peer");
  kept->check_liveness();
  redundant_at_ = core_.now() + redundant_time / 3;
}

}  // namespace culvert::ike

#include "peer.h"

#include <algorithm>

#include "clients.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_associations = 8;                  // of one peer, those being deleted included
constexpr Duration resolve_time = std::chrono::seconds(30);  // for the daemon to answer ResolveAddresses
constexpr Duration stable_time =
    std::chrono::seconds(30);  // up for so long: the next failure starts with a short pause again
/// The peer was there a moment ago, and may be back already: one try soon, and if that fails at a growing pace.
constexpr Duration return_time = std::chrono::milliseconds(200);
constexpr Duration responder_grace = std::chrono::seconds(3);  // for the initiator to ask for its other children

}  // namespace

Peer::Peer(Core& core, PeerConfig config)
    : core_(core), config_(std::move(config)), backoff_(std::chrono::seconds(1), std::chrono::seconds(60)) {
  read_addresses();
  for (const ChildConfig& child : config_.children) needs_.push_back(need_for(child));
}

void Peer::read_addresses() {
  any_address_ = config_.addresses.empty();
  has_names_ = false;
  literal_addresses_.clear();
  for (const std::string& text : config_.addresses) {
    if (const auto address = IpAddress::parse(text)) {
      literal_addresses_.push_back(*address);
    } else {
      has_names_ = true;
    }
  }
}

Peer::ChildNeed Peer::need_for(const ChildConfig& child) const {
  const bool wanted = config_.start == StartMode::always;
  return {&child, wanted,       false, std::nullopt, Backoff(std::chrono::seconds(5), std::chrono::minutes(5)),
          {},     std::nullopt, {}};
}

Peer::Peer(Core& core, PeerConfig config, std::unique_ptr<ClientRole> role) : Peer(core, std::move(config)) {
  client_ = std::move(role);
  tally_ = client_->of->tally_;
}

Peer::~Peer() = default;

std::string Peer::label() const {
  return "peer " + config_.name;
}

log::Subject Peer::about(std::string reason) const {
  return {.peer = config_.name, .reason = std::move(reason)};
}

// ---- events
// --------------------------------------------------------------------------------------------------------------------

void Peer::start() {
  if (config_.start == StartMode::always) want();
}

void Peer::want() {
  wanted_ = true;
  if (any_address_ || admin_down_ || phase_ != Phase::idle || has_association()) return;
  const TimePoint at = core_.initiation_pace().reserve(core_.now());
  has_turn_ = at > core_.now();
  if (!has_turn_) return resolve();
  phase_ = Phase::backing_off;
  retry_at_ = at;
}

void Peer::resolve() {
  redirected_from_.reset();
  phase_ = Phase::resolving;
  retry_at_ = core_.now() + resolve_time;
  core_.emit(ResolveAddresses{config_.id, {}});
}

void Peer::on_addresses(std::vector<Path> paths, std::string why) {
  if (!paths.empty()) {
    paths_ = std::move(paths);
    core_.on_peer_addresses();
  }
  if (phase_ != Phase::resolving) return;
  path_index_ = 0;
  // When names cannot be resolved right now, what they meant last time is still worth a try.
  if (paths_.empty())
    return attempt_over(fmt::format("cannot resolve its address: {}", why.empty() ? "no usable address" : why));
  connect();
}

void Peer::connect() {
  retry_at_.reset();
  if (has_association()) {
    phase_ = Phase::idle;
    return;
  }
  Path path = paths_[path_index_];
  if (path.remote.port == 0) path.remote.port = config_.port;
  // RFC 7296 §2.23: IKE may start there. The non-ESP marker is a matter of both ends' ports.
  if (path.remote.port == config_.nat_port) path.local.port = core_.options().nat_port;
  phase_ = Phase::connecting;
  Session::Origin origin{.initiator = true, .spi_i = core_.new_ike_spi(), .spi_r = IkeSpi(0), .path = path, .nat = {}};
  attempt_ = &core_.add_session(std::make_unique<Session>(core_, origin, Session::State::init_sent, MessageId(0)));
  core_.report(log::Level::debug, about().as(EventKind::connecting),
               fmt::format("{}: connecting to {}", label(), path.remote.to_string()));
  const std::unique_ptr<StoredTicket> ticket = std::move(ticket_);  // each is used once
  if (ticket && ticket->expires > core_.now()) return attempt_->start_resuming(*this, std::move(*ticket));
  attempt_->start(*this);
}

void Peer::keep_ticket(StoredTicket ticket) {
  ticket_ = std::make_unique<StoredTicket>(std::move(ticket));
}

void Peer::on_attempt_failed(const Session& session, std::string reason) {
  if (&session != attempt_) return;
  attempt_ = nullptr;
  count(PeerEvent::handshake_failed);
  if (has_association()) {
    phase_ = Phase::idle;
    if (Association* association = preferred()) association->on_reauthentication_failed(reason);
    return;
  }
  if (path_index_ + 1 < paths_.size()) {
    note(std::move(reason));
    core_.report_limited("attempt " + config_.name, log::Level::warn, about(reason_).as(EventKind::attempt_failed),
                         fmt::format("{}: {}; trying its next address", label(), reason_));
    ++path_index_;
    return connect();
  }
  attempt_over(std::move(reason));
}

void Peer::attempt_over(std::string reason) {
  note(std::move(reason));
  core_.report_limited("attempt " + config_.name, log::Level::warn, about(reason_).as(EventKind::attempt_failed),
                       fmt::format("{}: {}", label(), reason_));
  if (config_.start == StartMode::on_traffic) wanted_ = false;  // the next packet asks again
  retry_later(backoff_.next(core_.random()));
}

void Peer::retry_later(Duration delay) {
  phase_ = Phase::backing_off;
  retry_at_ = core_.now() + delay;
}

void Peer::abandon_attempt() {
  if (Session* session = std::exchange(attempt_, nullptr)) session->close();
  if (phase_ == Phase::connecting) phase_ = Phase::idle;
}

void Peer::on_deadline() {
  if (!retry_at_ || *retry_at_ > core_.now()) return;
  retry_at_.reset();
  if (phase_ == Phase::resolving) return attempt_over("cannot resolve its address: no answer from the resolver");
  if (phase_ != Phase::backing_off) return;
  phase_ = Phase::idle;
  if (!std::exchange(has_turn_, false)) {
    if (wanted_) want();
  } else if (wanted_ && !admin_down_ && !has_association()) {
    resolve();
  }
}

std::optional<TimePoint> Peer::deadline() const {
  std::optional<TimePoint> first = retry_at_;
  for (const Retired& retired : retired_) {
    const TimePoint at = retired_until(retired);
    if (at > core_.now() && (!first || at < *first)) first = at;
  }
  if (!preferred()) return first;
  for (const ChildNeed& need : needs_) {
    if (need.wanted && need.retry_at && (!first || *need.retry_at < *first)) first = need.retry_at;
  }
  return first;
}

void Peer::on_acquire(const ChildConfig& config, Trigger trigger) {
  ChildNeed* need = need_of(config);
  if (admin_down_ || !need) return;
  need->wanted = true;
  need->trigger = std::move(trigger);
  if (!has_association()) want();
}

void Peer::on_hint(const Path& path) {
  Association* association = preferred();
  const Session* session = association ? association->current() : nullptr;
  if (session && session->path().remote.address == path.remote.address) association->on_hint();
}

// ---- commands
// ------------------------------------------------------------------------------------------------------------------

Result<void> Peer::up() {
  const bool was_down = std::exchange(admin_down_, false);
  if (any_address_) {
    if (was_down || has_association()) return {};
    return fail(Errc::invalid, fmt::format("{} has address = \"any\": it has to call us", label()));
  }
  for (ChildNeed& need : needs_) {
    need.wanted = true;
    need.retry_at.reset();
  }
  if (phase_ == Phase::backing_off) {
    phase_ = Phase::idle;
    retry_at_.reset();
  }
  want();
  return {};
}

Result<void> Peer::down() {
  if (!admin_down_) stop("administratively down");
  return {};
}

void Peer::stop(const std::string& reason) {
  admin_down_ = true;
  wanted_ = false;
  retry_at_.reset();
  if (attempt_) {
    // Once IKE_AUTH is out the peer may already believe in the IKE SA: it is finished, and then deleted properly.
    if (attempt_->state() == Session::State::auth_sent) {
      attempt_->mark_unwanted();
      attempt_ = nullptr;
    } else {
      abandon_attempt();
    }
  }
  phase_ = Phase::idle;
  for (ChildNeed& need : needs_) need.wanted = config_.start == StartMode::always;
  for (std::size_t i = 0; i < associations_.size(); ++i) associations_[i]->close_with_delete(reason);
  core_.end_lingering(config_.id);
  forget_virtual_net();
  note(reason);
}

Result<void> Peer::rekey(IkeEndpoint::RekeyWhat what) {
  Association* association = preferred();
  if (!association)
    return fail(Errc::invalid,
                fmt::format("{} is not up: {}", label(), reason_.empty() ? "it was not started" : reason_));
  if (what != IkeEndpoint::RekeyWhat::ike) {
    for (const auto& [spi, child] : association->children()) {
      if (child.state != ChildSa::State::live) continue;
      Task task;
      task.kind = Task::Kind::rekey_child;
      task.spi = spi;
      association->add_task(std::move(task));
    }
  }
  if (what != IkeEndpoint::RekeyWhat::children) {
    Task task;
    task.kind = Task::Kind::rekey_ike;
    association->add_task(std::move(task));
  }
  return {};
}

void Peer::shut_down() {
  admin_down_ = true;
  wanted_ = false;
  phase_ = Phase::idle;
  retry_at_.reset();
  abandon_attempt();
  for (const auto& association : associations_) {
    const std::vector<Session*> sessions = association->sessions();
    for (Session* session : sessions) session->send_last_delete();
    association->end("the gateway is going down", false);
  }
  core_.end_lingering(config_.id);
}

// ---- what its sessions tell it
// -------------------------------------------------------------------------------------------------

Association& Peer::establish(Session& session, const AuthenticatedPeer& proof, Association::Lineage lineage,
                             bool initial_contact) {
  const bool ours = lineage.ours;
  associations_.push_back(std::make_unique<Association>(core_, *this, proof, std::move(lineage)));
  Association& association = *associations_.back();
  association.add_session(session, true);
  note_handshake(PeerEvent::handshake);
  const Path& path = session.path();
  core_.report(log::Level::info, about().as(EventKind::peer_up),
               fmt::format("{}: up: IKE SA with {} ({}), {}{}", label(), path.remote.to_string(),
                           log::sanitize(proof.identity().to_string()), to_string(session.suite()),
                           session.nat().local || session.nat().remote ? ", NAT on the path" : ""));
  if (attempt_ == &session) {
    attempt_ = nullptr;
    phase_ = Phase::idle;
  } else if (attempt_ && attempt_->state() == Session::State::init_sent) {
    // Ours has not authenticated itself yet, so the peer cannot have it: this one is enough. That each end drops its
    // own unfinished attempt here is what makes both ends see two finished ones as simultaneous (duplicates.cpp).
    abandon_attempt();
  }
  if (phase_ != Phase::connecting) {
    phase_ = Phase::idle;
    retry_at_.reset();
  }
  for (ChildNeed& need : needs_) {
    need.backoff.reset();
    need.retry_at.reset();
    if (!ours && need.wanted) need.retry_at = core_.now() + spread(responder_grace, 1.0, 2.0, core_.random());
  }
  reason_.clear();
  settle_duplicates(association, initial_contact);
  limit_associations();
  return association;
}

void Peer::limit_associations() {
  if (config_.unique == UniquePolicy::never) return;  // bounded by refuses_second
  std::size_t num = associations_.size();
  for (std::size_t i = 0; i + 1 < associations_.size() && num > max_associations; ++i, --num) {
    const std::vector<Session*> sessions = associations_[i]->sessions();
    associations_[i]->end("too many IKE SAs with the same peer", false);
    for (Session* session : sessions) session->close();
  }
}

void Peer::on_association_ended(Association& association, const std::string& reason, bool lost) {
  Association* kept = preferred();
  if (!kept) {
    // The one that was to go is all that is left: it stays.
    for (const auto& other : associations_) {
      if (other.get() != &association && !other->ended()) kept = other.get();
    }
    if (kept) kept->promote();
  }
  if (kept) {
    core_.report(log::Level::info, about(reason).as(EventKind::ike_closed),
                 fmt::format("{}: one of several IKE SAs closed: {}", label(), reason));
    return;
  }
  if (!lost) ticket_.reset();  // RFC 5723 §4.1: what was closed on purpose is not resumed
  note(reason);
  count(PeerEvent::down);
  last_down_ = std::make_unique<const Down>(reason, core_.now());
  if (lost) count(PeerEvent::lost);
  core_.report(lost ? log::Level::warn : log::Level::info, about(reason).as(EventKind::peer_down),
               fmt::format("{}: down: {}", label(), reason));
  for (ChildNeed& need : needs_) need.reason.clear();
  if (config_.start == StartMode::on_traffic) {
    wanted_ = false;
    for (ChildNeed& need : needs_) need.wanted = false;
  }
  if (core_.now() - association.established() >= stable_time) backoff_.reset();
  if (!wanted_ || admin_down_ || phase_ != Phase::idle) return;
  const bool first = backoff_.failures() == 0;
  const Duration pause = backoff_.next(core_.random());
  retry_later(first ? spread(return_time, 0.5, 1.5, core_.random()) : pause);
}

bool Peer::on_child_up(const ChildConfig& config) {
  ChildNeed* need = need_of(config);
  if (!need) return false;
  need->backoff.reset();
  need->retry_at.reset();
  need->reason.clear();
  need->declined.clear();
  need->trigger.reset();
  return !std::exchange(need->up, true);
}

void Peer::on_child_down(const ChildConfig& config, std::string reason, bool refused) {
  ChildNeed* need = need_of(config);
  if (!need) return;
  core_.report_limited("child " + config.name, log::Level::warn,
                       {.peer = config_.name,
                        .tunnel = config.name,
                        .reason = reason,
                        .event = refused ? EventKind::child_failed : EventKind::none},
                       fmt::format("{}: child {}: {}", label(), config.name, reason));
  need->reason = std::move(reason);
  if (config_.start == StartMode::on_traffic) need->wanted = false;
  const Duration pause =
      refused ? need->backoff.next(core_.random()) : spread(std::chrono::seconds(1), 0.5, 1.5, core_.random());
  need->retry_at = core_.now() + pause;
}

void Peer::on_bad_credentials(std::string reason) {
  if (!has_association()) note(std::move(reason));
}

void Peer::on_turned_away(std::string reason) {
  if (has_association()) return;
  turned_away_ = std::move(reason);
  turned_away_at_ = core_.now();
}

void Peer::on_child_declined(const std::string& reason) {
  const Association* association = preferred();
  for (ChildNeed& need : needs_)
    if (!association || !association->live_child(*need.config)) need.declined = reason;
}

void Peer::note(std::string reason) {
  reason_ = std::move(reason);
  reason_at_ = core_.now();
}

// ---- what they ask
// -------------------------------------------------------------------------------------------------------------

bool Peer::names_address(const IpAddress& address) const {
  return std::ranges::find(literal_addresses_, address) != literal_addresses_.end() ||
         std::ranges::any_of(paths_, [&](const Path& path) { return path.remote.address == address; });
}

void Peer::add_addresses(std::set<IpAddress>& all) const {
  all.insert(literal_addresses_.begin(), literal_addresses_.end());
  for (const Path& path : paths_) all.insert(path.remote.address);
}

/// A name may mean another address today than when it was resolved; the identity and the key decide.
bool Peer::may_come_from(const IpAddress& address) const {
  return any_address_ || has_names_ || names_address(address);
}

bool Peer::has_association() const {
  return std::ranges::any_of(associations_, [](const auto& association) { return !association->ended(); });
}

Association* Peer::preferred() const {
  for (const auto& association : associations_) {
    if (!association->ended() && !association->redundant()) return association.get();
  }
  return nullptr;
}

const ChildConfig* Peer::first_wanted() const {
  for (const ChildNeed& need : needs_) {
    if (need.wanted && need.trigger) return need.config;
  }
  for (const ChildNeed& need : needs_) {
    if (need.wanted) return need.config;
  }
  return needs_.empty() ? nullptr : needs_.front().config;
}

std::optional<Trigger> Peer::trigger_of(const ChildConfig& config) const {
  const auto found = std::ranges::find_if(needs_, [&](const ChildNeed& need) { return need.config == &config; });
  return found == needs_.end() ? std::nullopt : found->trigger;
}

Peer::ChildNeed* Peer::need_of(const ChildConfig& config) {
  const auto found = std::ranges::find_if(needs_, [&](const ChildNeed& need) { return need.config == &config; });
  return found == needs_.end() ? nullptr : &*found;
}

ChildSa* Peer::best_child(const ChildConfig& config, Spi gone) const {
  ChildSa* best = nullptr;
  bool best_counts = false;
  for (const auto& association : associations_) {
    if (association->ended()) continue;
    for (auto& [spi, child] : association->children()) {
      if (child.config != &config || spi == gone || child.state != ChildSa::State::live || !child.in_plane) continue;
      const bool counts = !association->redundant();
      const bool better =
          !best || (counts && !best_counts) || (counts == best_counts && child.established >= best->established);
      if (!better) continue;
      best = &child;
      best_counts = counts;
    }
  }
  return best;
}

void Peer::mark_sending(ChildSa& child) {
  for (const auto& association : associations_) {
    for (auto& [spi, other] : association->children()) {
      if (other.config == child.config) other.sends = false;
    }
  }
  child.sends = true;
}

void Peer::ensure_children() {
  Association* association = preferred();
  if (!association || admin_down_) return;
  for (ChildNeed& need : needs_) {
    if (association->live_child(*need.config) || association->is_creating(*need.config)) need.retry_at.reset();
    if (!need.wanted || association->live_child(*need.config) || association->is_creating(*need.config)) continue;
    if (need.retry_at && *need.retry_at > core_.now()) continue;
    need.retry_at.reset();
    Task task;
    task.kind = Task::Kind::create_child;
    task.config = need.config;
    task.trigger = need.trigger;
    association->add_task(std::move(task));
  }
}

void Peer::finish() {
  if (!retired_.empty()) settle_retired();
  for (std::size_t i = 0; i < associations_.size(); ++i) associations_[i]->settle();
  ensure_children();
  for (std::size_t i = 0; i < associations_.size(); ++i) associations_[i]->run();
  if (child_gone_) tell_children();
}

void Peer::sweep() {
  std::erase_if(associations_, [](const auto& association) { return association->is_over(); });
}

}  // namespace culvert::ike

#include "core.h"

#include <algorithm>
#include <cassert>

#include "association.h"
#include "clients.h"
#include "peer.h"
#include "session.h"
#include "trace.h"

namespace culvert::ike {
namespace {

constexpr std::size_t nonce_len = 32;  // §2.10: at least half the key size of the PRF; 16…256 bytes
constexpr std::size_t max_topics = 256;
constexpr Duration topic_pause = std::chrono::seconds(10);

void earliest(std::optional<TimePoint>& so_far, std::optional<TimePoint> other) {
  if (other && (!so_far || *other < *so_far)) so_far = other;
}

Secret random_secret(crypto::RandomSource& random, std::size_t len) {
  Secret secret(len);
  random.fill(secret.mutable_view());
  return secret;
}

}  // namespace

Core::Core(EndpointOptions options, std::vector<PeerConfig> configs, crypto::RandomSource& random)
    : options_(options),
      random_(random),
      trace_(std::make_unique<Trace>()),
      cookies_(random),
      cookie_budget_seed_(random.u64()),
      admission_({options.max_half_open, options.cookie_threshold, options.busy_rate}),
      decoy_psk_(random_secret(random, 32)),
      clients_(std::make_unique<Clients>(*this, std::move(options_.pools), std::exchange(options_.leases, {}))),
      crash_tokens_(options.crash_secret) {
  redirect_ = options.redirect;
  users_ = options.users;
  for (PeerConfig& config : configs) peers_.push_back(std::make_unique<Peer>(*this, std::move(config)));
  enter_peers();
}

Core::~Core() {
  // Associations give their SPIs back to a table that must still be there.
  clients_.reset();
  leaving_.clear();
  peers_.clear();
}

// ---- one public call
// -----------------------------------------------------------------------------------------------------------

void Core::touch(Session& session) {
  if (!std::exchange(session.agenda_mark().touched, true)) touched_sessions_.push_back(&session);
}

void Core::touch(Peer& peer) {
  if (!std::exchange(peer.agenda_mark().touched, true)) touched_peers_.push_back(&peer);
}

void Core::touch() {
  for (const auto& peer : peers_) touch(*peer);
  for (const Leaving& leaving : leaving_) touch(*leaving.peer);
  clients_->for_each([this](Peer& client) { touch(client); });
  for (const auto& [spi, session] : sessions_) touch(*session);
}

Actions Core::finish() {
  const auto flood_due = admission_.deadline();
  if (flood_due && *flood_due <= now_) {
    if (auto news = admission_.news(now_)) report(log::Level::warn, std::move(*news));
    if (!admission_.wants_cookies()) cookie_budget_.forget();
  }
  run_touched();
  sweep();
  forget_leaving();
  assert(nobody_is_forgotten());
  return std::exchange(actions_, {});
}

/// What runs for a peer may touch more.
void Core::run_touched() {
  for (std::size_t sessions = 0, peers = 0;;) {
    if (sessions < touched_sessions_.size()) {
      if (Peer* peer = touched_sessions_[sessions++]->peer()) touch(*peer);
    } else if (peers < touched_peers_.size()) {
      Peer& peer = *touched_peers_[peers++];
      peer.finish();
      // Which of its sessions is the current one decides about their deadlines, too.
      for (const auto& association : peer.associations())
        for (Session* session : association->sessions()) touch(*session);
    } else {
      return;
    }
  }
}

/// Drops what has ended, and enters into the agenda when the others want to be called.
void Core::sweep() {
  num_looks_ += touched_sessions_.size() + touched_peers_.size();
  for (Session* session : std::exchange(touched_sessions_, {})) {
    session->agenda_mark().touched = false;
    const bool over = session->is_over();
    agenda_.set({Agenda::Kind::session, session->our_spi().value()}, session->agenda_mark(),
                over ? std::nullopt : session->deadline());
    if (over) erase_session(*session);
  }
  for (Peer* peer : std::exchange(touched_peers_, {})) {
    peer->agenda_mark().touched = false;
    peer->sweep();
    std::optional<TimePoint> first = peer->deadline();
    for (const auto& association : peer->associations()) earliest(first, association->deadline());
    if (peer->client() && !peer->has_association()) clients_->release(*peer);
    const bool gone = peer->client() && peer->associations().empty();
    agenda_.set({Agenda::Kind::peer, peer->config().id.value()}, peer->agenda_mark(), gone ? std::nullopt : first);
    if (gone) clients_->erase(*peer);
  }
}

void Core::remember_init_request(const InitKey& key, const Session& session) {
  init_requests_.emplace(key, session.our_spi());
  init_request_of_.emplace(session.our_spi(), key);
}

/// Whatever changed has been touched: nobody waits for a time that is not in the agenda. For debug builds: it looks at
/// everybody.
bool Core::nobody_is_forgotten() const {
  const auto is_early_enough = [](const AgendaMark& mark, std::optional<TimePoint> wanted) {
    return !wanted || (mark.due && *mark.due <= *wanted);
  };
  for (const auto& [spi, session] : sessions_)
    if (!is_early_enough(session->agenda_mark(), session->deadline())) return false;
  const auto is_remembered = [&](Peer& peer) {
    if (!is_early_enough(peer.agenda_mark(), peer.deadline())) return false;
    return std::ranges::all_of(peer.associations(), [&](const auto& association) {
      return !association->is_over() && is_early_enough(peer.agenda_mark(), association->deadline());
    });
  };
  for (const auto& peer : peers_)
    if (!is_remembered(*peer)) return false;
  for (const auto& [id, client] : clients_->all())
    if (!is_remembered(*client)) return false;
  return touched_sessions_.empty() && touched_peers_.empty();
}

void Core::erase_session(Session& session) {
  if (Association* association = session.association()) association->forget(session);
  if (const auto key = init_request_of_.extract(session.our_spi())) init_requests_.erase(key.mapped());
  sessions_.erase(session.our_spi());
}

std::optional<TimePoint> Core::deadline() const {
  std::optional<TimePoint> first = agenda_.first();
  if (!lingering_.empty()) earliest(first, lingering_.front().until);
  earliest(first, admission_.deadline());
  return first;
}

void Core::on_deadline() {
  while (!lingering_.empty() && lingering_.front().until <= now_) {
    emit(RemoveChild{lingering_.front().spi});
    release_esp_spi(lingering_.front().spi);
    lingering_.pop_front();
  }
  for (const Agenda::Entry& entry : agenda_.take_due(now_)) {
    if (entry.kind == Agenda::Kind::peer) {
      Peer& peer = *find_peer(PeerId(static_cast<std::uint32_t>(entry.number)));
      peer.agenda_mark().due.reset();
      touch(peer);
    } else if (Session* session = find_session(IkeSpi(entry.number))) {
      session->agenda_mark().due.reset();
      touch(*session);
      session->on_deadline();
      // What ends with it may make another association of its peer count, whose time has come long ago.
      if (session->peer()) touch(*session->peer());
    }
  }
  for (std::size_t i = 0; i < touched_peers_.size(); ++i) {
    Peer& peer = *touched_peers_[i];
    std::vector<Association*> associations;  // the list may grow meanwhile
    for (const auto& association : peer.associations()) associations.push_back(association.get());
    for (Association* association : associations) association->on_deadline();
    peer.on_deadline();
  }
}

// ---- effects
// -------------------------------------------------------------------------------------------------------------------

void Core::report_limited(const std::string& topic, log::Level level, log::Subject about, std::string text) {
  auto found = topics_.find(topic);
  if (found == topics_.end()) {
    if (topics_.size() >= max_topics)
      std::erase_if(topics_, [&](const auto& entry) { return entry.second.next <= now_; });
    if (topics_.size() >= max_topics) return;
    found = topics_.emplace(topic, Topic{}).first;
  } else if (now_ < found->second.next) {
    ++found->second.left_out;
    note_in_trace(about, text);
    if (watched_ && about.event != EventKind::none) emit(Report{level, std::move(text), std::move(about), true});
    return;
  }
  if (found->second.left_out > 0) text += fmt::format(" ({} times more meanwhile)", found->second.left_out);
  found->second = {now_ + topic_pause, 0};
  report(level, std::move(about), std::move(text));
}

std::uint64_t Core::expect(const Session& owner, decltype(Computation::then) then) {
  const std::uint64_t id = ++last_computation_;
  computations_.emplace(id, Computation{owner.our_spi(), std::move(then)});
  return id;
}

void Core::on_computed(std::uint64_t id, std::unique_ptr<Computed> result) {
  auto found = computations_.extract(id);
  if (found.empty()) return;
  if (!result) count(DropReason::ike_busy);
  Session* owner = find_session(found.mapped().owner);
  if (!owner || owner->state() == Session::State::closed) return;  // nobody waits for it any more
  touch(*owner);
  found.mapped().then(owner, std::move(result));
}

// ---- numbers
// -------------------------------------------------------------------------------------------------------------------

Bytes Core::new_nonce() {
  Bytes nonce(nonce_len);
  random_.fill(nonce);
  return nonce;
}

IkeSpi Core::new_ike_spi() {
  for (;;) {
    const IkeSpi spi(random_.u64());
    if (spi.value() != 0 && !sessions_.contains(spi)) return spi;
  }
}

Spi Core::new_esp_spi(Association* owner) {
  for (;;) {
    const Spi spi(random_.u32());
    if (spi.value() < 256 || esp_spis_.contains(spi)) continue;
    esp_spis_.emplace(spi, nullptr);
    if (owner) assign_esp_spi(spi, *owner);
    return spi;
  }
}

void Core::assign_esp_spi(Spi spi, Association& owner) {
  Association*& known = esp_spis_[spi];
  if (known == &owner) return;
  disown(spi, known);
  known = &owner;
  owner.esp_spis().push_back(spi);
}

void Core::release_esp_spi(Spi spi) {
  const auto found = esp_spis_.find(spi);
  if (found == esp_spis_.end()) return;
  disown(spi, found->second);
  esp_spis_.erase(found);
}

void Core::release_esp_spis_of(Association& owner) {
  for (const Spi spi : std::exchange(owner.esp_spis(), {})) esp_spis_.erase(spi);
}

void Core::disown(Spi spi, Association* owner) {
  if (owner) std::erase(owner->esp_spis(), spi);
}

Association* Core::owner_of(Spi inbound) const {
  const auto found = esp_spis_.find(inbound);
  return found == esp_spis_.end() ? nullptr : found->second;
}

void Core::linger(Spi inbound, PeerId peer) {
  disown(inbound, std::exchange(esp_spis_[inbound], nullptr));
  lingering_.push_back({inbound, peer, now_ + linger_time});
}

void Core::end_lingering(PeerId peer) {
  std::erase_if(lingering_, [&](const Lingering& lingering) {
    if (lingering.peer != peer) return false;
    emit(RemoveChild{lingering.spi});
    release_esp_spi(lingering.spi);
    return true;
  });
}

UnixSeconds Core::unix_now() const {
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()) + options_.unix_at_zero;
  return static_cast<UnixSeconds>(std::max<std::int64_t>(0, now.count()));
}

TicketBox* Core::tickets() {
  if (!tickets_) return nullptr;
  if (tickets_->rotate(unix_now())) emit(KeepTicketKeys{tickets_->save()});
  return &*tickets_;
}

// ---- tables
// --------------------------------------------------------------------------------------------------------------------

namespace {

Peer* found_in(const auto& table, const auto& key) {
  const auto found = table.find(key);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace

Peer* Core::find_peer(std::string_view name) const {
  Peer* found = found_in(peer_by_name_, name);
  return found ? found : clients_->find(name);
}

Peer* Core::find_peer(PeerId id) const {
  if (Peer* found = found_in(peer_by_id_, id)) return found;
  const auto leaving = std::ranges::find_if(leaving_, [&](const Leaving& one) { return one.peer->config().id == id; });
  return leaving != leaving_.end() ? leaving->peer.get() : clients_->find(id);
}

Peer* Core::find_peer(ChildId child) const {
  return found_in(peer_by_child_, child);
}

Session& Core::add_session(std::unique_ptr<Session> session) {
  const IkeSpi spi = session->our_spi();
  Session& added = *(sessions_[spi] = std::move(session));
  touch(added);
  return added;
}

Session* Core::find_session(IkeSpi ours) const {
  const auto found = sessions_.find(ours);
  return found == sessions_.end() ? nullptr : found->second.get();
}

}  // namespace culvert::ike

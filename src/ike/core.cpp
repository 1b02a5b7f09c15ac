#include "core.h"

#include <algorithm>

#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t nonce_len = 32;  // §2.10: at least half the key size of the PRF; 16…256 bytes
constexpr std::size_t max_topics = 256;
constexpr Duration topic_pause = std::chrono::seconds(10);

Secret random_secret(crypto::RandomSource& random, std::size_t len) {
  Secret secret(len);
  random.fill(secret.mutable_view());
  return secret;
}

}  // namespace

Core::Core(EndpointOptions options, std::vector<PeerConfig> configs, crypto::RandomSource& random)
    : options_(options),
      random_(random),
      cookies_(random),
      decoy_psk_(random_secret(random, 32)),
      crash_tokens_(options.crash_secret) {
  redirect_ = options.redirect;
  const bool resumes = std::ranges::any_of(configs, [](const PeerConfig& config) { return config.resumption; });
  if (resumes) tickets_.emplace(random, options.ticket_keys ? options.ticket_keys->view() : ByteView{});
  for (const PeerConfig& config : configs) {
    if (std::holds_alternative<PreSharedKey>(decoy_auth_)) decoy_auth_ = config.auth.theirs;
  }
  if (std::holds_alternative<PreSharedKey>(decoy_auth_)) decoy_auth_ = PreSharedKey{};
  for (PeerConfig& config : configs) peers_.push_back(std::make_unique<Peer>(*this, std::move(config)));
}

Core::~Core() {
  peers_.clear();
}  // associations give their SPIs back to a table that must still be there

// ---- one public call
// -----------------------------------------------------------------------------------------------------------

Actions Core::finish() {
  if (!std::exchange(touched_, false)) return std::exchange(actions_, {});
  for (const auto& peer : peers_) peer->finish();
  sweep();
  deadline_.reset();
  return std::exchange(actions_, {});
}

void Core::sweep() {
  std::erase_if(sessions_, [&](const auto& entry) {
    if (!entry.second->is_over()) return false;
    if (Association* association = entry.second->association()) association->forget(*entry.second);
    return true;
  });
  std::erase_if(init_requests_, [&](const auto& entry) { return !sessions_.contains(entry.second); });
  for (const auto& peer : peers_) peer->sweep();
}

namespace {

void earliest(std::optional<TimePoint>& so_far, std::optional<TimePoint> other) {
  if (other && (!so_far || *other < *so_far)) so_far = other;
}

}  // namespace

std::optional<TimePoint> Core::deadline() const {
  if (deadline_) return *deadline_;
  std::optional<TimePoint> first;
  for (const auto& [spi, session] : sessions_) earliest(first, session->deadline());
  for (const auto& peer : peers_) {
    earliest(first, peer->deadline());
    for (const auto& association : peer->associations()) earliest(first, association->deadline());
  }
  for (const Lingering& lingering : lingering_) earliest(first, lingering.until);
  deadline_ = first;
  return first;
}

void Core::on_deadline() {
  std::erase_if(lingering_, [&](const Lingering& lingering) {
    if (now_ < lingering.until) return false;
    emit(RemoveChild{lingering.spi});
    release_esp_spi(lingering.spi);
    return true;
  });
  // The tables may grow while they are walked (a rekey, a restart), so the ones that are due are picked first.
  std::vector<Session*> due;
  for (const auto& [spi, session] : sessions_) {
    const auto at = session->deadline();
    if (at && *at <= now_) due.push_back(session.get());
  }
  for (Session* session : due) session->on_deadline();
  for (const auto& peer : peers_) {
    std::vector<Association*> associations;
    for (const auto& association : peer->associations()) associations.push_back(association.get());
    for (Association* association : associations) association->on_deadline();
    peer->on_deadline();
  }
}

// ---- effects
// -------------------------------------------------------------------------------------------------------------------

void Core::report_limited(const std::string& topic, log::Level level, std::string text) {
  auto found = topics_.find(topic);
  if (found == topics_.end()) {
    if (topics_.size() >= max_topics)
      std::erase_if(topics_, [&](const auto& entry) { return entry.second.next <= now_; });
    if (topics_.size() >= max_topics) return;
    found = topics_.emplace(topic, Topic{}).first;
  } else if (now_ < found->second.next) {
    ++found->second.left_out;
    return;
  }
  if (found->second.left_out > 0) text += fmt::format(" ({} times more meanwhile)", found->second.left_out);
  found->second = {now_ + topic_pause, 0};
  report(level, std::move(text));
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
  touch();
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
    esp_spis_.emplace(spi, owner);
    return spi;
  }
}

void Core::release_esp_spis_of(const Association& owner) {
  std::erase_if(esp_spis_, [&](const auto& entry) { return entry.second == &owner; });
}

Association* Core::owner_of(Spi inbound) const {
  const auto found = esp_spis_.find(inbound);
  return found == esp_spis_.end() ? nullptr : found->second;
}

void Core::linger(Spi inbound, PeerId peer) {
  esp_spis_[inbound] = nullptr;
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

Peer* Core::find_peer(std::string_view name) const {
  const auto found = std::ranges::find_if(peers_, [&](const auto& peer) { return peer->config().name == name; });
  return found == peers_.end() ? nullptr : found->get();
}

Peer* Core::find_peer(PeerId id) const {
  const auto found = std::ranges::find_if(peers_, [&](const auto& peer) { return peer->config().id == id; });
  return found == peers_.end() ? nullptr : found->get();
}

Session& Core::add_session(std::unique_ptr<Session> session) {
  const IkeSpi spi = session->our_spi();
  touch();
  return *(sessions_[spi] = std::move(session));
}

Session* Core::find_session(IkeSpi ours) const {
  const auto found = sessions_.find(ours);
  return found == sessions_.end() ? nullptr : found->second.get();
}

Core::HalfOpen Core::count_half_open(const IpAddress& address) const {
  HalfOpen num;
  for (const auto& [spi, session] : sessions_) {
    if (!session->is_half_open()) continue;
    ++num.all;
    if (session->path().remote.address == address) ++num.of_address;
  }
  return num;
}

}  // namespace culvert::ike

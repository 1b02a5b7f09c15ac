// Another configuration while the gateway runs. Who has not changed is not touched: no SA, no timer, no counter.
//
// A peer that is gone leaves: Deletes go out, and it is kept until they are answered and no handshake names it any
// more. One that has changed stays the object that it is, and what lives keeps referring to it; its SAs are renewed as
// far as the change asks for it, make before break wherever IKEv2 has a way for that.
#include <algorithm>
#include <map>

#include "association.h"
#include "clients.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr Duration leaving_time = std::chrono::minutes(2);    // longer than any handshake that has begun
constexpr Duration replaced_time = std::chrono::seconds(30);  // for a changed child to come up in its new shape
constexpr Duration retired_time = std::chrono::minutes(1);    // before anybody asks whether it is still referred to
constexpr Duration changed_grace = std::chrono::seconds(3);   // for who initiated the IKE SA to ask for new children

/// What is negotiated; of what the peer assigns, nothing stands in the configuration.
bool negotiates_the_same(const ChildConfig& a, const ChildConfig& b) {
  return a.mode == b.mode && a.virtual_local == b.virtual_local && (a.virtual_local || a.local == b.local) &&
         a.remote == b.remote;
}

}  // namespace

// ---- Core
// ----------------------------------------------------------------------------------------------------------------------

/// What is known about the peers beside themselves.
void Core::enter_peers() {
  peer_by_id_.clear();
  peer_by_name_.clear();
  peer_by_child_.clear();
  decoy_auth_ = PreSharedKey{};
  for (const auto& peer : peers_) {
    const PeerConfig& config = peer->config();
    if (config.resumption && !tickets_)
      tickets_.emplace(random_, options_.ticket_keys ? options_.ticket_keys->view() : ByteView{});
    if (std::holds_alternative<PreSharedKey>(decoy_auth_) && !config.auth.peer_eap()) decoy_auth_ = config.auth.theirs;
    peer_by_id_.emplace(config.id, peer.get());
    peer_by_name_.emplace(config.name, peer.get());
    for (const ChildConfig& child : config.children) peer_by_child_.emplace(child.id, peer.get());
  }
  if (std::holds_alternative<PreSharedKey>(decoy_auth_)) decoy_auth_ = PreSharedKey{};
  directory_.enter();
}

void Core::reconfigure(Reconfiguration next) {
  std::map<PeerId, std::unique_ptr<Peer>> before;
  for (auto& peer : std::exchange(peers_, {})) before.emplace(peer->config().id, std::move(peer));
  std::vector<Peer*> fresh;
  for (auto& [config, renewal] : next.peers) {
    const auto known = before.extract(config.id);
    if (known.empty()) {
      fresh.push_back(peers_.emplace_back(std::make_unique<Peer>(*this, std::move(config))).get());
      continue;
    }
    Peer& peer = *peers_.emplace_back(std::move(known.mapped()));
    peer.reconfigure(std::move(config), renewal);
    if (peer.is_template()) clients_->reconfigure(peer);
  }
  clients_->set_pools(std::move(next.pools));
  users_ = std::move(next.users);
  enter_peers();
  for (auto& [id, peer] : before) {
    touch(*peer);
    clients_->dismiss(*peer);
    peer->leave();
    leaving_.push_back({std::move(peer), now_ + leaving_time});
  }
  for (Peer* peer : fresh) {
    touch(*peer);
    peer->start();
  }
  if (next.redirect && *next.redirect != redirect_) redirect_to(std::move(*next.redirect));
}

bool Core::is_used(const Peer& peer) const {
  if (clients_->has_any(peer)) return true;
  return std::ranges::any_of(sessions_, [&](const auto& entry) {
    const Peer* of = entry.second->peer();
    return of == &peer || (of && of->client() && of->client()->of == &peer);
  });
}

void Core::forget_leaving() {
  while (!leaving_.empty() && leaving_.front().until <= now_) {
    Leaving first = std::move(leaving_.front());
    leaving_.pop_front();
    if (first.peer->associations().empty() && !is_used(*first.peer)) {
      agenda_.set({Agenda::Kind::peer, first.peer->config().id.value()}, first.peer->agenda_mark(), std::nullopt);
      clients_->forget(*first.peer);
      continue;
    }
    first.until = now_ + leaving_time;
    leaving_.push_back(std::move(first));
  }
}

// ---- Peer
// ----------------------------------------------------------------------------------------------------------------------

void Peer::leave() {
  stop("no longer configured");
}

void Peer::reconfigure(PeerConfig next, const Renewal& renewal) {
  std::list<ChildConfig> children = std::exchange(next.children, std::move(config_.children));
  const StartMode before = config_.start;
  config_ = std::move(next);
  if (!renewal.changed) return;  // but for what names others: credentials that were loaded anew, places of pools
  core_.touch(*this);
  read_addresses();
  adopt_children(std::move(children));
  if (admin_down_) return;
  adopt_start(before);
  renew(renewal);
}

void Peer::adopt_start(StartMode before) {
  if (config_.start == before) return;
  if (config_.start == StartMode::always) {
    for (ChildNeed& need : needs_) need.wanted = true;
    return want();
  }
  wanted_ = false;
  if (has_association()) return;
  for (ChildNeed& need : needs_) need.wanted = false;
  retry_at_.reset();
  abandon_attempt();
  phase_ = Phase::idle;
}

/// What failed, or is under way, may go another way now.
void Peer::try_again() {
  if (!wanted_ || any_address_ || has_association()) return;
  abandon_attempt();
  phase_ = Phase::idle;
  retry_at_.reset();
  has_turn_ = false;
  backoff_.reset();
  want();
}

void Peer::renew(const Renewal& renewal) {
  if (renewal.addresses || renewal.ports) {
    paths_.clear();
    path_index_ = 0;
  }
  Association* association = preferred();
  const Session* session = association ? association->current() : nullptr;
  if (!session) return try_again();
  const bool elsewhere =
      renewal.addresses && !any_address_ && !has_names_ && !names_address(session->path().remote.address);
  if (elsewhere || renewal.ports) {
    const bool calls = wanted_ || (config_.start != StartMode::wait && !any_address_);
    for (std::size_t i = 0; i < associations_.size(); ++i)
      associations_[i]->close_with_delete("it is somewhere else in the new configuration");
    wanted_ = calls;
    return try_again();
  }
  if (renewal.paths) association->on_network_change();
  if (renewal.reauthenticate) return association->authenticate_again(core_.initiation_pace().reserve(core_.now()));
  using What = IkeEndpoint::RekeyWhat;
  if (!renewal.rekey_ike && !renewal.rekey_children) return;
  const What what = !renewal.rekey_children ? What::ike : !renewal.rekey_ike ? What::children : What::both;
  (void)rekey(what);  // it is up
}

// ---- children
// ------------------------------------------------------------------------------------------------------------------

void Peer::adopt_children(std::list<ChildConfig> next) {
  std::vector<ChildNeed> needs;
  const Association* association = preferred();
  const bool asks_later = association && !association->lineage().ours;
  std::list<ChildConfig> adopted;
  while (!next.empty()) {
    ChildConfig& wanted = next.front();
    const auto known = std::ranges::find(config_.children, wanted.id, &ChildConfig::id);
    if (known != config_.children.end() && negotiates_the_same(*known, wanted)) {
      known->name = std::move(wanted.name);
      known->replay_window = wanted.replay_window;
      needs.push_back(std::move(*need_of(*known)));
      adopted.splice(adopted.end(), config_.children, known);
      next.pop_front();
      continue;
    }
    adopted.splice(adopted.end(), next, next.begin());
    ChildNeed& need = needs.emplace_back(need_for(adopted.back()));
    if (known == config_.children.end()) {
      if (asks_later && need.wanted) need.retry_at = core_.now() + spread(changed_grace, 1.0, 2.0, core_.random());
      continue;
    }
    need.wanted = need.wanted || need_of(*known)->wanted || (association && association->live_child(*known));
    if (asks_later && need.wanted) need.retry_at = core_.now() + spread(changed_grace, 1.0, 2.0, core_.random());
    retire(known, true);
  }
  while (!config_.children.empty()) retire(config_.children.begin(), false);
  config_.children = std::move(adopted);
  needs_ = std::move(needs);
}

void Peer::retire(std::list<ChildConfig>::iterator child, bool replaced) {
  for (const auto& association : associations_) association->forget_wishes(*child);
  Retired& retired = retired_.emplace_back();
  retired.config.splice(retired.config.end(), config_.children, child);
  retired.since = core_.now();
  retired.replaced = replaced;
}

TimePoint Peer::retired_until(const Retired& retired) const {
  return retired.replaced ? retired.since + replaced_time : retired.since;
}

/// Its SAs go as soon as what takes its place carries packets, and in any case in a while.
void Peer::settle_retired() {
  const Association* association = preferred();
  for (auto at = retired_.begin(); at != retired_.end();) {
    const ChildConfig& config = at->config.front();
    const auto successor = std::ranges::find(config_.children, config.id, &ChildConfig::id);
    const ChildSa* made =
        association && successor != config_.children.end() ? association->live_child(*successor) : nullptr;
    const bool goes = core_.now() >= retired_until(*at) || (made && !made->activate_at);
    for (const auto& of : associations_) {
      for (auto& [spi, child] : of->children()) {
        if (goes && !of->ended() && child.config == &config && child.state == ChildSa::State::live)
          of->delete_child(child);
      }
    }
    const bool is_over = core_.now() >= at->since + retired_time && !is_used(config);
    at = is_over ? retired_.erase(at) : std::next(at);
  }
}

bool Peer::is_used(const ChildConfig& retired) const {
  return std::ranges::any_of(associations_,
                             [&](const auto& association) {
                               const auto has_it = [&](const auto& entry) { return entry.second.config == &retired; };
                               if (std::ranges::any_of(association->children(), has_it)) return true;
                               return std::ranges::any_of(association->sessions(), [&](const Session* session) {
                                 return session->refers_to(retired);
                               });
                             }) ||
         (attempt_ && attempt_->refers_to(retired));
}

// ---- Association
// ---------------------------------------------------------------------------------------------------------------

void Association::authenticate_again(TimePoint at) {
  if (!lineage_.ours && peer_.may_only_call())
    return core_.report(
        log::Level::info,
        fmt::format("{}: what is new about its authentication counts when it calls next", peer_.label()));
  if (!authentication_.soft || *authentication_.soft > at) authentication_.soft = at;
}

void Association::forget_wishes(const ChildConfig& child) {
  std::erase_if(tasks_, [&](const Task& task) { return task.config == &child; });
}

bool Session::refers_to(const ChildConfig& child) const {
  const auto* exchange = underway<CreatingChild>();
  if (exchange && (exchange->task.config == &child || exchange->offer.config == &child)) return true;
  if (preparing_ && preparing_->config == &child) return true;
  return handshake_ && handshake_->offer && handshake_->offer->config == &child;
}

// ---- Clients
// -------------------------------------------------------------------------------------------------------------------

void Clients::reconfigure(const Peer& of) {
  for (const auto& [id, client] : clients_) {
    if (client->client()->of != &of) continue;
    PeerConfig config = of.config();
    config.id = id;
    config.name = client->config().name;
    client->reconfigure(std::move(config), {});
  }
}

void Clients::dismiss(const Peer& of) {
  for (const auto& [id, client] : clients_)
    if (client->client()->of == &of) client->kick("no longer configured");
}

bool Clients::has_any(const Peer& of) const {
  const auto found = counts_.find(&of);
  return found != counts_.end() && found->second.all > 0;
}

void Clients::forget(const Peer& of) {
  counts_.erase(&of);
}

void Clients::set_pools(std::vector<PoolConfig> pools) {
  std::vector<std::unique_ptr<AddressPool>> before = std::exchange(pools_, {});
  std::ranges::move(std::exchange(old_pools_, {}), std::back_inserter(before));
  for (PoolConfig& pool : pools) {
    const auto known =
        std::ranges::find_if(before, [&](const auto& one) { return one && one->config().name == pool.name; });
    if (known == before.end()) {
      pools_.push_back(std::make_unique<AddressPool>(std::move(pool)));
      continue;
    }
    if ((*known)->config() != pool) (*known)->reconfigure(std::move(pool));
    pools_.push_back(std::move(*known));
  }
  for (auto& pool : before)
    if (pool && pool->num_leases() > pool->num_kept()) old_pools_.push_back(std::move(pool));
}

}  // namespace culvert::ike

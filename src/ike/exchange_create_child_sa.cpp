// CREATE_CHILD_SA for children, RFC 7296 §1.3.1, §1.3.3, §2.8, §2.17, §2.25.1.
//
//   HDR, SK {[N(REKEY_SA),] [N(USE_TRANSPORT_MODE),] SA, Ni, [KEi,] TSi, TSr}  -->
//                                           <--  HDR, SK {[N(USE_TRANSPORT_MODE),] SA, Nr, [KEr,] TSi, TSr}
//   HDR, SK {D(old)}                        -->                              (a rekey: make before break)
//                                           <--  HDR, SK {D(old)}
//
// Both ends at once (§2.8.1): four nonces, two new SAs. The one made with the lowest nonce is deleted by who asked for
// it; who asked for the other one deletes the old SA.
#include <algorithm>

#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_children = 128;  // of one association
constexpr int max_ke_retries = 2;

}  // namespace

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

bool Session::begin_child(Task task) {
  const bool rekey = task.kind == Task::Kind::rekey_child;
  const ChildSa* old = rekey ? association_->by_inbound(task.spi) : nullptr;
  if (rekey && (!old || old->state != ChildSa::State::live)) return false;
  if (!rekey && association_->live_child(*task.config)) return false;

  const auto method = task.ke ? task.ke : preferred_ke(config().esp_proposals);
  if (method && (!task.prepared || task.prepared->method() != *method)) return prepare(std::move(task), *method);

  const ChildContext context = child_context(EspNegotiation::create_child);
  const Spi spi = core_.new_esp_spi(association_);
  ChildOffer offer =
      rekey ? make_rekey_offer(context, *old, spi) : make_offer(context, *task.config, task.trigger, spi);
  offer.nonce = core_.new_nonce();
  offer.ke = std::exchange(task.prepared, nullptr);
  std::vector<Payload> payloads;
  if (rekey) {
    // §1.3.3: the SPI is the one that the sender of this request would expect in inbound packets.
    NotifyPayload rekeys{NotifyType::rekey_sa, ProtocolId::esp, Bytes(4), {}};
    store_be(rekeys.spi.data(), old->inbound.value());
    payloads.emplace_back(std::move(rekeys));
  }
  for (Payload& payload : offer_payloads(offer)) payloads.push_back(std::move(payload));
  send_request(ExchangeType::create_child_sa, payloads,
               CreatingChild{std::move(task), std::move(offer), std::nullopt, {}});
  return true;
}

void Session::on_child_response(CreatingChild exchange, const Message& message) {
  const NotifyPayload* error = message.first_error();
  if (error && !message.find<SaPayload>()) return on_child_refused(std::move(exchange), *error);
  on_child_made(std::move(exchange), message);
}

void Session::on_child_refused(CreatingChild exchange, const NotifyPayload& error) {
  core_.release_esp_spi(exchange.offer.spi);
  Task& task = exchange.task;
  const bool rekey = task.kind == Task::Kind::rekey_child;
  const ChildConfig& child = *exchange.offer.config;
  const ChildSa* old = rekey ? association_->by_inbound(task.spi) : nullptr;
  // §2.8.1: when the peer's own request has made the SA meanwhile, ours was in vain, whatever the answer.
  if (exchange.rival || (rekey && (!old || old->state != ChildSa::State::live))) return;

  if (error.type == NotifyType::invalid_ke_payload) {
    const auto wanted = wanted_ke(error);
    if (wanted && task.ke_retries < max_ke_retries && offers_ke(config().esp_proposals, *wanted)) {
      task.ke = wanted;
      ++task.ke_retries;
      return association_->add_task(std::move(task), true);
    }
  }
  // A child that we answered for may be unknown to the peer only because the answer has not arrived.
  const bool early = error.type == NotifyType::child_sa_not_found && old && old->unconfirmed_on;
  if (error.type == NotifyType::child_sa_not_found && rekey && !early) {
    // §2.25: the peer has lost it: forget ours, and start from scratch.
    association_->drop_child(old->inbound);
    return peer_->on_child_down(child, "the peer no longer had the SA that we wanted to rekey", false);
  }
  const std::string why = PeerRefusal{error.type}.to_string();
  if (rekey || error.type == NotifyType::temporary_failure) {
    ++task.attempts;
    if (error.type != NotifyType::temporary_failure && !early) {
      task.attempts += 4;
      core_.report(
          log::Level::warn,
          log::Subject{.peer = config().name, .tunnel = child.name, .reason = why, .event = EventKind::rekey_failed},
          fmt::format("{}: rekey of child {} refused: {}", label(), child.name, why));
    }
    return association_->retry_task(std::move(task));
  }
  peer_->on_child_down(child, "peer refused: " + why, true);
}

void Session::on_child_made(CreatingChild exchange, const Message& message) {
  ChildOffer& offer = exchange.offer;
  auto agreement = accept_child(child_context(EspNegotiation::create_child), offer, message);
  const auto g_ir = agreement ? offered_secret(offer, agreement->suite, message)
                              : std::expected<Secret, std::string>(std::unexpected(agreement.error()));
  if (!g_ir) {
    Task orphan;
    orphan.kind = Task::Kind::delete_child;  // the responder has installed it
    orphan.spi = offer.spi;
    association_->add_task(std::move(orphan));
    if (exchange.rival) return;
    if (exchange.task.kind == Task::Kind::create_child) return peer_->on_child_down(*offer.config, g_ir.error(), true);
    core_.report(log::Level::warn,
                 log::Subject{.peer = config().name,
                              .tunnel = offer.config->name,
                              .reason = g_ir.error(),
                              .event = EventKind::rekey_failed},
                 fmt::format("{}: rekey of child {} failed: {}", label(), offer.config->name, g_ir.error()));
    exchange.task.attempts += 4;
    return association_->retry_task(std::move(exchange.task));
  }
  if (was_deleted(exchange, agreement->outbound)) {
    core_.release_esp_spi(offer.spi);
    return peer_->on_child_down(*offer.config, "deleted by the peer", false);
  }
  const Bytes& nr = message.find<NoncePayload>()->data;
  const Bytes lowest = lower(offer.nonce, nr);
  const ChildSa* rival = exchange.rival ? association_->heir_of(exchange.rival->inbound) : nullptr;
  const bool loses = rival && lowest < exchange.rival->lowest_nonce;
  ChildKeys keys = derive_child_keys(suite_.prf, agreement->suite.cipher, sk_d_.view(), g_ir->view(), offer.nonce, nr);
  ChildSa& made = association_->install(
      {std::move(*agreement), std::move(keys.responder_to_initiator), std::move(keys.initiator_to_responder), true,
       lowest, !loses && !association_->redundant(), exchange.task.kind == Task::Kind::rekey_child});
  settle_child(exchange, made, loses);
}

/// The peer's Delete for what it made for us was faster than its answer.
bool Session::was_deleted(const CreatingChild& exchange, Spi peer_spi) {
  return std::ranges::find(exchange.deleted, peer_spi) != exchange.deleted.end();
}

/// A new request shows that the peer has our last answer: its window is 1 (§2.3).
void Session::confirm_children() {
  for (auto& [spi, child] : association_->children()) {
    if (child.unconfirmed_on == our_spi()) child.unconfirmed_on.reset();
  }
}

/// The PFS secret of the answer to `offer`; empty without PFS.
std::expected<Secret, std::string> Session::offered_secret(ChildOffer& offer, const EspSuite& suite,
                                                           const Message& message) {
  if (!message.find<NoncePayload>()) return std::unexpected("its answer has no nonce");
  if (!suite.ke) return Secret{};
  if (!offer.g_ir || offer.ke->method() != *suite.ke) {
    return std::unexpected("its answer has not the key exchange that it selected");
  }
  if (!*offer.g_ir) return std::unexpected("its key exchange value is invalid: " + offer.g_ir->error().detail);
  return std::move(**offer.g_ir);
}

void Session::settle_child(const CreatingChild& exchange, ChildSa& made, bool loses) {
  // §2.8.1: the redundant SA is closed by the end that created it, the old one by the end that created the survivor.
  if (loses) return association_->delete_child(made);
  ChildSa* rival = exchange.rival ? association_->by_inbound(exchange.rival->inbound) : nullptr;
  if (rival && rival->state == ChildSa::State::live) association_->supersede(*rival, made.inbound);
  if (exchange.task.kind != Task::Kind::rekey_child) return;
  if (ChildSa* old = association_->by_inbound(exchange.task.spi)) {
    old->successor = made.inbound;
    association_->delete_child(*old);
  }
}

/// The peer has rekeyed what it made in a collision before the answer to our own request was here: what came of it
/// stays our rival.
void Session::on_child_gone(const ChildSa& gone) {
  auto* ours = underway<CreatingChild>();
  if (ours && ours->rival && ours->rival->inbound == gone.inbound && gone.successor)
    ours->rival->inbound = *gone.successor;
}

// ---- responder
// -----------------------------------------------------------------------------------------------------------------

Session::Reply Session::answer_create_child(const Message& message) {
  const auto& proposals = message.find<SaPayload>()->proposals;
  const bool for_ike = !proposals.empty() && proposals.front().protocol == ProtocolId::ike;
  if (for_ike) return answer_rekey_ike(message);
  // §2.25.2: while an IKE SA is being rekeyed or deleted, children have to wait.
  if (state_ != State::established || close_wanted_ || is_rekeying_ike()) {
    return reply_with(refusal(NotifyType::temporary_failure, "the IKE SA is being rekeyed or deleted"));
  }
  auto reply = answer_child_request(message);
  if (reply) return std::move(*reply);
  Refusal& refused = reply.error();
  if (refused.notify.type == NotifyType::invalid_syntax) return invalid_syntax(refused.why);
  if (!refused.why.empty()) {
    core_.report_limited("child " + config().name, log::Level::warn, about(refused.why).as(EventKind::child_failed),
                         fmt::format("{}: {}", label(), refused.why));
    peer_->on_child_declined(refused.why);
  }
  return reply_with(std::move(refused));
}

/// The child that REKEY_SA names; nullptr for a new one (§2.25.1 for what is refused).
std::expected<ChildSa*, Refusal> Session::rekeyed_child(const Message& message) {
  const NotifyPayload* rekeys = message.find_notify(NotifyType::rekey_sa);
  if (!rekeys) return nullptr;
  ChildSa* old = nullptr;
  if (rekeys->protocol == ProtocolId::esp && rekeys->spi.size() == 4) {
    old = association_->by_outbound(Spi(load_be<std::uint32_t>(rekeys->spi.data())));
  }
  if (!old && underway<CreatingChild>()) {
    // It may be the one that the answer to our own request makes, not arrived yet: certain only after that.
    return std::unexpected(refusal(NotifyType::temporary_failure, {}));
  }
  if (!old) {
    Refusal refused = refusal(NotifyType::child_sa_not_found, {});
    refused.notify.protocol = rekeys->protocol;
    refused.notify.spi = rekeys->spi;
    return std::unexpected(std::move(refused));
  }
  if (old->state != ChildSa::State::live) return std::unexpected(refusal(NotifyType::temporary_failure, {}));
  return old;
}

std::expected<Session::Reply, Refusal> Session::answer_child_request(const Message& message) {
  const auto old = rekeyed_child(message);
  if (!old) return std::unexpected(old.error());
  if (association_->children().size() >= max_children) {
    return std::unexpected(refusal(NotifyType::no_additional_sas, "it has too many child SAs"));
  }
  if (auto allowed = check_encapsulation(); !allowed) return std::unexpected(std::move(allowed.error()));
  const Spi spi = core_.new_esp_spi(association_);
  auto answer = answer_child(child_context(EspNegotiation::create_child), message, *old, spi);
  auto exchanged = answer ? answer_ke(answer->agreement.suite, message)
                          : std::expected<Exchanged, Refusal>(std::unexpected(answer.error()));
  if (!exchanged) {
    core_.release_esp_spi(spi);
    return std::unexpected(std::move(exchanged.error()));
  }
  const Bytes& ni = message.find<NoncePayload>()->data;
  const Bytes nr = core_.new_nonce();
  install_answered(std::move(answer->agreement), *old, exchanged->secret, ni, nr);

  Reply reply;
  reply.payloads = std::move(answer->head);
  reply.payloads.emplace_back(NoncePayload{nr});
  if (exchanged->ours) reply.payloads.emplace_back(std::move(*exchanged->ours));
  for (Payload& payload : answer->tail) reply.payloads.push_back(std::move(payload));
  return reply;
}

/// Our half of the PFS key exchange, when one was selected.
std::expected<Exchanged, Refusal> Session::answer_ke(const EspSuite& suite, const Message& message) {
  const auto* theirs = message.find<KePayload>();
  switch (ke_fit(suite.ke, theirs)) {
    case KeFit::unused:
      return Exchanged{};
    case KeFit::wrong:
      return std::unexpected(Refusal{invalid_ke_payload(*suite.ke), {}});
    case KeFit::fits:
      break;
  }
  std::optional<Result<Exchanged>>& exchanged = answering_->exchanged;
  if (!exchanged || !*exchanged)
    return std::unexpected(refusal(NotifyType::invalid_syntax, "an invalid key exchange value"));
  return std::move(**exchanged);
}

/// Inbound is ready before the answer leaves; outbound stays on the old SA until the peer shows that it uses the new
/// one (§2.8).
void Session::install_answered(ChildAgreement agreement, ChildSa* old, const Secret& g_ir, const Bytes& ni,
                               const Bytes& nr) {
  const ChildConfig& child = *agreement.config;
  const Bytes lowest = lower(ni, nr);
  const Spi spi = agreement.inbound;
  bool has_twin = old != nullptr;
  for (const auto& [other_spi, other] : association_->children()) {
    const bool same = other.config == &child && other.local == agreement.local && other.remote == agreement.remote;
    has_twin = has_twin || (same && other.state == ChildSa::State::live);
  }
  const bool send = !has_twin && association_->may_send_at_once(child);
  ChildKeys keys = derive_child_keys(suite_.prf, agreement.suite.cipher, sk_d_.view(), g_ir.view(), ni, nr);
  ChildSa& made = association_->install({std::move(agreement), std::move(keys.initiator_to_responder),
                                         std::move(keys.responder_to_initiator), false, lowest, send, old != nullptr});
  made.unconfirmed_on = our_spi();
  if (auto* ours = underway<CreatingChild>()) {
    const bool collides = old ? ours->task.kind == Task::Kind::rekey_child && ours->task.spi == old->inbound
                              : ours->task.kind == Task::Kind::create_child && ours->task.config == &child;
    if (collides) ours->rival = RivalChild{spi, lowest};
  }
  // A new child for traffic that has one already is the peer's way to start from scratch (§2.25): the newest counts.
  ChildSa* replaced = old ? old : association_->twin_of(made);
  if (replaced) association_->supersede(*replaced, spi);
}

}  // namespace culvert::ike

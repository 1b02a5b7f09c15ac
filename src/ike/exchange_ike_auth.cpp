// IKE_AUTH, RFC 7296 §1.2, §2.15, §2.21.2. What it computes is in authenticating.cpp.
//
//   HDR, SK {IDi, [CERT+,] [N(INITIAL_CONTACT),] [CERTREQ,] [IDr,] AUTH, [N(USE_TRANSPORT_MODE),] SAi2, TSi, TSr}  -->
//                                           <--  HDR, SK {IDr, [CERT+,] AUTH, [N(USE_TRANSPORT_MODE),] SAr2, TSi, TSr}
//                                           <--  HDR, SK {IDr, AUTH, N(TS_UNACCEPTABLE)}         (the IKE SA stays, the
//                                           child fails)
//                                           <--  HDR, SK {N(AUTHENTICATION_FAILED)}              (there is no IKE SA)
#include "association.h"
#include "authentication.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

std::string address_of(const Path& path) {
  return path.remote.address.to_string();
}

}  // namespace

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

/// nullopt: EAP follows (§2.16).
void Session::send_auth(std::optional<AuthPayload> ours) {
  move_to(State::auth_sent);
  const AuthConfig& auth = config().auth;
  std::vector<Payload> payloads;
  payloads.emplace_back(id_payload(config().local_id, true));
  if (!handshake_->resumed)
    for (Payload& payload : cert_payloads(auth.ours)) payloads.push_back(std::move(payload));
  // §2.4: we know of no other IKE SA with this peer: what it still has is from before a crash.
  // With unique = "never" it may belong to somebody else who has our identity, too.
  if (!peer_->has_association() && config().unique != UniquePolicy::never)
    payloads.emplace_back(make_notify(NotifyType::initial_contact));
  if (!handshake_->resumed)
    for (Payload& payload : certreq_payloads({&auth.theirs})) payloads.push_back(std::move(payload));
  if (!config().remote_id.has_wildcard()) payloads.emplace_back(id_payload(config().remote_id, false));
  if (ours) payloads.emplace_back(std::move(*ours));
  if (!ours && config().auth.eap_only) payloads.emplace_back(make_notify(NotifyType::eap_only_authentication));
  add_auth_notifies(payloads);
  offer_mobike(payloads);
  ask_configuration(payloads);
  const bool childless = handshake_->childless_supported && config().childless == ChildlessPolicy::prefer;
  if (const ChildConfig* child = childless ? nullptr : peer_->first_wanted()) {
    const ChildContext context = child_context(EspNegotiation::ike_auth);
    handshake_->offer = make_offer(context, *child, peer_->trigger_of(*child), core_.new_esp_spi(nullptr));
    widen_offer(*handshake_->offer);
    for (Payload& payload : offer_payloads(*handshake_->offer)) payloads.push_back(std::move(payload));
  }
  send_request(ExchangeType::ike_auth, payloads, Handshaking{});
}

void Session::on_auth_response(const Message& message) {
  if (handshake_->eap) return on_eap_response(message);
  const IdPayload* id = message.find_id(false);
  const auto* auth = message.find<AuthPayload>();
  if (!id || !auth) {
    const NotifyPayload* error = message.first_error();
    const std::string why = error ? PeerRefusal{error->type}.to_string() : "its answer has no AUTH payload";
    return fail_attempt(fmt::format("{} refused: {}", address_of(origin_.path), why));
  }
  auto& peer = handshake_->verification.peer;
  if (!peer || !*peer) return refuse_responder(refusal_reason(message, claimed_config(message)));
  come_up(message, std::move((*peer)->proof));
}

void Session::come_up(const Message& message, AuthenticatedPeer proof) {
  const bool unwanted = handshake_->unwanted;
  Association& association =
      peer_->establish(*this, proof, {true, created_, lower(handshake_->ni, handshake_->nr), false}, false);
  agree_on_mobike(message);
  if (unwanted) {
    core_.release_esp_spi(handshake_->offer ? handshake_->offer->spi : Spi(0));
    handshake_.reset();
    return association.close_with_delete("administratively down");
  }
  read_auth_notifies(message);
  if (!read_configuration(message)) return;
  accept_first_child(message);
  handshake_.reset();
  on_redirect(message);
}

/// §2.21.2: the responder believes that all is well, so it is told by an exchange of its own.
void Session::refuse_responder(std::string why) {
  send_request(ExchangeType::informational, {make_notify(NotifyType::authentication_failed)}, Probing{});
  fail_attempt(std::move(why));
}

/// A failed child leaves the IKE SA up (§1.2).
void Session::accept_first_child(const Message& message) {
  if (!handshake_->offer) return;
  const ChildOffer offer = std::move(*handshake_->offer);
  handshake_->offer.reset();
  const ChildConfig& child = *offer.config;
  if (!message.find<SaPayload>()) {
    core_.release_esp_spi(offer.spi);
    const NotifyPayload* error = message.first_error();
    const std::string why = error ? PeerRefusal{error->type}.to_string() : "its answer has no SA payload";
    return peer_->on_child_down(child, "peer refused: " + why, true);
  }
  auto agreement = accept_child(child_context(EspNegotiation::ike_auth), offer, message);
  check_own_addresses(agreement);
  if (!agreement) {
    Task task;
    task.kind = Task::Kind::delete_child;  // the responder has installed it
    task.spi = offer.spi;
    association_->add_task(std::move(task));
    return peer_->on_child_down(child, agreement.error(), true);
  }
  ChildKeys keys =
      derive_child_keys(suite_.prf, agreement->suite.cipher, sk_d_.view(), {}, handshake_->ni, handshake_->nr);
  association_->install({std::move(*agreement), std::move(keys.responder_to_initiator),
                         std::move(keys.initiator_to_responder), true, lower(handshake_->ni, handshake_->nr),
                         !association_->redundant(), false});
}

// ---- responder
// -----------------------------------------------------------------------------------------------------------------

namespace {

/// The peer that IDi (and IDr, if it came) names, an exact identity before one with wildcards; nullptr when there is
/// none.
Peer* claimed_peer(const Core& core, const IdPayload& id_i, const IdPayload* id_r, const IpAddress& from) {
  const auto theirs = identity_from(id_i);
  const auto ours = id_r ? identity_from(*id_r) : std::nullopt;
  if (!theirs) return nullptr;
  Peer* best = nullptr;
  int best_rank = 0;
  for (Peer* peer : core.directory().claimed_by(*theirs)) {
    const PeerConfig& config = peer->config();
    if (!may_be(config, *theirs)) continue;
    if (id_r && !(ours && config.local_id.matches(*ours))) continue;
    const int rank = 1 + 2 * config.remote_id.matches(*theirs) + peer->may_come_from(from);
    if (rank <= best_rank) continue;
    best = peer;
    best_rank = rank;
  }
  return best;
}

/// Whether the suite that IKE_SA_INIT agreed on, before anybody knew who it is, is one that this peer may use.
bool allows(const PeerConfig& config, const Handshake& handshake) {
  return choose_ike(config.ike_proposals, SaPayload{handshake.offered}, IkeNegotiation::initial).has_value();
}

}  // namespace

/// Whom the peer says it is, when that may be: as initiator the one that we called. nullptr: nobody.
const PeerConfig* Session::claimed_config(const Message& message) const {
  const IdPayload* id = message.find_id(!origin_.initiator);
  if (!id) return nullptr;
  if (origin_.initiator) {
    const auto identity = identity_from(*id);
    return identity && may_be(config(), *identity) ? &config() : nullptr;
  }
  const IpAddress& from = origin_.path.remote.address;
  const Peer* peer = claimed_peer(core_, *id, message.find_id(false), from);
  return peer && peer->may_come_from(from) ? &peer->config() : nullptr;
}

/// With EAP: `message` is the first request, with the AUTH of the last one.
Session::Reply Session::answer_auth(const Message& message) {
  if (const PeerConfig* user_of = begins_eap(message)) return begin_eap(message, *user_of);
  const PeerConfig* config_of_claimed = claimed_config(message);
  Peer* claimed = config_of_claimed ? core_.find_peer(config_of_claimed->id) : nullptr;
  Verification done = std::exchange(handshake_->verification, {});
  // The work may have taken a while: the proof must be that of who is meant now.
  const bool proven = claimed && done.peer && *done.peer && &(*done.peer)->proof.config() == config_of_claimed;
  if (!proven) {
    handshake_->verification.peer = std::move(done.peer);
    return refuse_initiator(message, refusal_reason(message, config_of_claimed));
  }
  const AuthenticatedPeer proof = std::move((*done.peer)->proof);
  const UserGrant who = grant_of(proof, done.grant);
  Peer* const peer = admit_client(*claimed, who, message);
  if (auto refused = unwelcome(*claimed, peer, message)) return std::move(*refused);
  if (!allows(claimed->config(), *handshake_)) {
    core_.report_limited(
        "suite " + claimed->config().name, log::Level::warn, claimed->about(),
        fmt::format("{}: {} is not what `ike` of this peer allows; give peers that share an address the same `ike`",
                    claimed->label(), to_string(suite_)));
    Reply reply =
        reply_with(refusal(NotifyType::no_proposal_chosen, "its algorithms are not allowed for this identity"));
    reply.close = true;
    return reply;
  }
  if (!done.ours || !*done.ours)
    return refuse_initiator(message,
                            "we cannot authenticate ourselves to it: " + (done.ours ? done.ours->error() : ""));
  if (!no_nat_between(message, answering_->path)) {  // RFC 4555 §3.9
    Reply reply = reply_with(refusal(NotifyType::unexpected_nat_detected, "a NAT is on the path, and it allows none"));
    reply.close = true;
    return reply;
  }
  const bool initial_contact = message.find_notify(NotifyType::initial_contact) != nullptr;
  peer->establish(*this, proof, {false, created_, lower(handshake_->ni, handshake_->nr), origin_.follows_redirects},
                  initial_contact);
  agree_on_mobike(message);
  Reply reply;
  if (!handshake_->eap) reply.payloads.emplace_back(id_payload(config().local_id, false));
  if (!handshake_->resumed && !handshake_->eap)
    for (Payload& payload : cert_payloads(config().auth.ours)) reply.payloads.push_back(std::move(payload));
  reply.payloads.emplace_back(std::move(**done.ours));
  read_auth_notifies(message);
  add_auth_notifies(reply.payloads);
  if (association_->mobility().supported) offer_mobike(reply.payloads);
  if (!add_redirect(reply.payloads) && answer_configuration(who, message, reply.payloads))
    answer_first_child(message, reply.payloads);
  note_login();
  handshake_.reset();
  return reply;
}

/// §2.21.2: AUTHENTICATION_FAILED, protected by keys that nobody has proved to own. Which part failed is for the
/// operator alone.
Session::Reply Session::refuse_initiator(const Message& message, std::string why) {
  const PeerConfig* claimed = claimed_config(message);
  core_.report_limited("auth " + (claimed ? claimed->name : address_of(origin_.path)), log::Level::warn,
                       {.peer = claimed ? claimed->name : "", .reason = why, .event = EventKind::auth_failed},
                       fmt::format("peer {} ({}): {}", address_of(origin_.path), identity_text(*message.find_id(true)),
                                   log::sanitize(why)));
  if (Peer* peer = claimed ? core_.find_peer(claimed->id) : nullptr) {
    peer->count(PeerEvent::handshake_failed);
    peer->on_bad_credentials(fmt::format("{}: {}", address_of(origin_.path), why));
  } else {
    core_.turn_away(origin_.path.remote.address,
                    fmt::format("{} ({}): {}", address_of(origin_.path), identity_text(*message.find_id(true)), why));
  }
  core_.admission().on_failed_authentication(core_.now(), origin_.path.remote.address);
  Reply reply = reply_with(refusal(NotifyType::authentication_failed, std::move(why)));
  reply.close = true;
  return reply;
}

/// Why the peer's proof does not hold, in either role.
std::string Session::refusal_reason(const Message& message, const PeerConfig* claimed) const {
  const IdPayload& id = *message.find_id(!origin_.initiator);
  const auto* auth = message.find<AuthPayload>();
  if (!claimed && origin_.initiator) {
    return fmt::format("{} says it is {}, we expect {}", address_of(origin_.path), identity_text(id),
                       log::sanitize(config().remote_id.to_string()));
  }
  if (!claimed) {
    const IpAddress& from = origin_.path.remote.address;
    const IdPayload* wanted = message.find_id(false);
    const Peer* of_other_address = claimed_peer(core_, id, wanted, from);
    if (of_other_address)
      return fmt::format(
          "it claims to be [peer.{}], which does not have this address; `address = \"any\"` would allow that",
          of_other_address->config().name);
    if (wanted && claimed_peer(core_, id, nullptr, from))
      return fmt::format("it wants to talk to {}, which is not our identity towards it; compare `id` there with ours",
                         identity_text(*wanted));
    return "no configured peer has this identity";
  }
  const auto& peer = handshake_->verification.peer;
  const std::string who =
      origin_.initiator ? fmt::format("{} ({}): ", address_of(origin_.path), identity_text(id)) : "";
  if ((handshake_->resumed || handshake_->eap) && peer && !*peer) return who + peer->error();
  const bool shared = !auth || auth->method == auth_method_shared_key;
  const bool shared_expected = claimed->auth.peer_psk() != nullptr;
  if (!auth || shared != shared_expected) {
    return fmt::format("it authenticates by {}, [peer.{}] expects {}", auth ? auth_method_text(auth->method) : "EAP",
                       claimed->name, expected_auth_text(claimed->auth.theirs));
  }
  return who + (peer && !*peer ? peer->error() : "its proof does not hold");
}

void Session::answer_first_child(const Message& message, std::vector<Payload>& payloads) {
  if (!message.find<SaPayload>()) return;  // RFC 6023: an IKE SA without a child
  const Spi spi = core_.new_esp_spi(association_);
  auto answer = check_encapsulation();
  if (answer) {
    auto agreed = answer_child(child_context(EspNegotiation::ike_auth), message, nullptr, spi);
    if (agreed) {
      const bool may_send = association_->may_send_at_once(*agreed->agreement.config);
      ChildKeys keys = derive_child_keys(suite_.prf, agreed->agreement.suite.cipher, sk_d_.view(), {}, handshake_->ni,
                                         handshake_->nr);
      association_->install({std::move(agreed->agreement), std::move(keys.initiator_to_responder),
                             std::move(keys.responder_to_initiator), false, lower(handshake_->ni, handshake_->nr),
                             may_send, false});
      for (Payload& payload : agreed->head) payloads.push_back(std::move(payload));
      for (Payload& payload : agreed->tail) payloads.push_back(std::move(payload));
      return;
    }
    answer = std::unexpected(std::move(agreed.error()));
  }
  core_.release_esp_spi(spi);
  core_.report_limited("child " + config().name, log::Level::warn,
                       about(answer.error().why).as(EventKind::child_failed),
                       fmt::format("{}: {}", label(), answer.error().why));
  peer_->on_child_declined(answer.error().why);
  payloads.emplace_back(std::move(answer.error().notify));
}

std::expected<void, Refusal> Session::check_encapsulation() const {
  if (config().encapsulation != EncapsulationPreference::raw || !origin_.nat.needs_udp()) return {};
  return std::unexpected(
      refusal(NotifyType::no_proposal_chosen,
              "a NAT is on the path (or an end asks for UDP encapsulation), and encapsulation = \"raw\" forbids UDP"));
}

}  // namespace culvert::ike

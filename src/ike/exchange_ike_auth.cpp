// IKE_AUTH with pre-shared keys, RFC 7296 §1.2, §2.15, §2.21.2.
//
//   HDR, SK {IDi, [N(INITIAL_CONTACT),] IDr, AUTH, [N(USE_TRANSPORT_MODE),] SAi2, TSi, TSr}  -->
//                                           <--  HDR, SK {IDr, AUTH, [N(USE_TRANSPORT_MODE),] SAr2, TSi, TSr}
//                                           <--  HDR, SK {IDr, AUTH, N(TS_UNACCEPTABLE)}         (the IKE SA stays, the
//                                           child fails)
//                                           <--  HDR, SK {N(AUTHENTICATION_FAILED)}              (there is no IKE SA)
#include "association.h"
#include "authentication.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

NotifyPayload notify(NotifyType type) {
  return {type, ProtocolId::none, {}, {}};
}

std::string address_of(const Path& path) {
  return path.remote.address.to_string();
}

}  // namespace

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

void Session::send_auth() {
  move_to(State::auth_sent);
  const IdPayload id = id_payload(config().local_id, true);
  const Secret* key = config().auth.our_psk();
  const ByteView psk = key ? key->view() : ByteView{};
  std::vector<Payload> payloads;
  payloads.emplace_back(id);
  // §2.4: we know of no other IKE SA with this peer: what it still has is from before a crash.
  // With unique = "never" it may belong to somebody else who has our identity, too.
  if (!peer_->has_association() && config().unique != UniquePolicy::never)
    payloads.emplace_back(notify(NotifyType::initial_contact));
  payloads.emplace_back(id_payload(config().remote_id, false));
  payloads.emplace_back(AuthPayload{
      auth_method_shared_key,
      handshake_->resumed
          ? resumed_auth(suite_.prf, handshake_->sk_pi.view(), handshake_->init_request)
          : psk_auth(suite_.prf, psk, handshake_->init_request, handshake_->nr, handshake_->sk_pi.view(), id.body())});
  add_auth_notifies(payloads);
  const bool childless = handshake_->childless_supported && config().childless == ChildlessPolicy::prefer;
  if (const ChildConfig* child = childless ? nullptr : peer_->first_wanted()) {
    const ChildContext context = child_context(EspNegotiation::ike_auth);
    handshake_->offer = make_offer(context, *child, peer_->trigger_of(*child), core_.new_esp_spi(nullptr));
    for (Payload& payload : offer_payloads(*handshake_->offer)) payloads.push_back(std::move(payload));
  }
  send_request(ExchangeType::ike_auth, payloads, Handshaking{});
}

void Session::on_auth_response(const Message& message) {
  const IdPayload* id = message.find_id(false);
  const auto* auth = message.find<AuthPayload>();
  if (!id || !auth) {
    const NotifyPayload* error = message.first_error();
    const std::string why = error ? PeerRefusal{error->type}.to_string() : "its answer has no AUTH payload";
    return fail_attempt(fmt::format("{} refused: {}", address_of(origin_.path), why));
  }
  const auto identity = identity_from(*id);
  if (!identity || !config().remote_id.matches(*identity)) {
    return refuse_responder(fmt::format("{} says it is {}, we expect {}", address_of(origin_.path), identity_text(*id),
                                        log::sanitize(config().remote_id.to_string())));
  }
  const auto proof =
      handshake_->resumed
          ? verify_resumed(&config(), suite_.prf, handshake_->init_response, handshake_->sk_pr.view(), auth)
          : verify_psk(&config(), core_.decoy_psk(), suite_.prf, handshake_->init_response, handshake_->ni,
                       handshake_->sk_pr.view(), *id, auth);
  if (!proof) {
    return refuse_responder(fmt::format("{} ({}): the pre-shared key does not match; compare psk_file of both sides",
                                        address_of(origin_.path), identity_text(*id)));
  }
  const bool unwanted = handshake_->unwanted;
  Association& association =
      peer_->establish(*this, *proof, {true, created_, lower(handshake_->ni, handshake_->nr)}, false);
  if (unwanted) {
    core_.release_esp_spi(handshake_->offer ? handshake_->offer->spi : Spi(0));
    handshake_.reset();
    return association.close_with_delete("administratively down");
  }
  read_auth_notifies(message);
  accept_first_child(message);
  handshake_.reset();
}

/// §2.21.2: the responder believes that all is well, so it is told by an exchange of its own.
void Session::refuse_responder(std::string why) {
  send_request(ExchangeType::informational, {notify(NotifyType::authentication_failed)}, Probing{});
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

/// The peer that IDi (and IDr, if it came) names; nullptr when there is none.
Peer* claimed_peer(const Core& core, const IdPayload& id_i, const IdPayload* id_r) {
  const auto theirs = identity_from(id_i);
  const auto ours = id_r ? identity_from(*id_r) : std::nullopt;
  if (!theirs) return nullptr;
  for (const auto& peer : core.peers()) {
    if (!peer->config().remote_id.matches(*theirs)) continue;
    if (!id_r || (ours && peer->config().local_id.matches(*ours))) return peer.get();
  }
  return nullptr;
}

/// Whether the suite that IKE_SA_INIT agreed on, before anybody knew who it is, is one that this peer may use.
bool allows(const PeerConfig& config, const Handshake& handshake) {
  return choose_ike(config.ike_proposals, SaPayload{handshake.offered}, IkeNegotiation::initial).has_value();
}

}  // namespace

Session::Reply Session::answer_auth(const Message& message) {
  const IdPayload& id_i = *message.find_id(true);
  const IdPayload* id_r = message.find_id(false);
  const auto* auth = message.find<AuthPayload>();
  Peer* claimed = claimed_peer(core_, id_i, id_r);
  if (claimed && !claimed->may_come_from(origin_.path.remote.address)) {
    core_.report_limited(
        "address " + claimed->config().name, log::Level::warn,
        fmt::format("{}: {} claims to be it, which is not one of its addresses; `address = \"any\"` would allow that",
                    claimed->label(), address_of(origin_.path)));
    claimed = nullptr;
  }
  if (claimed && handshake_->resumed && !ticket_names(claimed->config(), id_i, id_r)) claimed = nullptr;
  const PeerConfig* config_of = claimed ? &claimed->config() : nullptr;
  const auto proof =
      handshake_->resumed
          ? verify_resumed(config_of, suite_.prf, handshake_->init_request, handshake_->sk_pi.view(), auth)
          : verify_psk(config_of, core_.decoy_psk(), suite_.prf, handshake_->init_request, handshake_->nr,
                       handshake_->sk_pi.view(), id_i, auth);
  if (!proof) return refuse_initiator(id_i, id_r, claimed ? &claimed->config() : nullptr, auth);
  if (auto refused = unwelcome(*claimed, message)) return std::move(*refused);
  if (!allows(claimed->config(), *handshake_)) {
    core_.report_limited(
        "suite " + claimed->config().name, log::Level::warn,
        fmt::format("{}: {} is not what `ike` of this peer allows; give peers that share an address the same `ike`",
                    claimed->label(), to_string(suite_)));
    Reply reply =
        reply_with(refusal(NotifyType::no_proposal_chosen, "its algorithms are not allowed for this identity"));
    reply.close = true;
    return reply;
  }
  const bool initial_contact = message.find_notify(NotifyType::initial_contact) != nullptr;
  claimed->establish(*this, *proof, {false, created_, lower(handshake_->ni, handshake_->nr)}, initial_contact);

  const IdPayload id = id_payload(config().local_id, false);
  const Secret* key = config().auth.our_psk();
  const ByteView psk = key ? key->view() : ByteView{};
  Reply reply;
  reply.payloads.emplace_back(id);
  reply.payloads.emplace_back(AuthPayload{
      auth_method_shared_key,
      handshake_->resumed
          ? resumed_auth(suite_.prf, handshake_->sk_pr.view(), handshake_->init_response)
          : psk_auth(suite_.prf, psk, handshake_->init_response, handshake_->ni, handshake_->sk_pr.view(), id.body())});
  read_auth_notifies(message);
  add_auth_notifies(reply.payloads);
  answer_first_child(message, reply.payloads);
  handshake_.reset();
  return reply;
}

/// §2.21.2: AUTHENTICATION_FAILED, protected by keys that nobody has proved to own. Which part failed is for the
/// operator alone.
Session::Reply Session::refuse_initiator(const IdPayload& id, const IdPayload* wanted, const PeerConfig* claimed,
                                         const AuthPayload* auth) {
  const std::string from = fmt::format("peer {} ({})", address_of(origin_.path), identity_text(id));
  std::string why;
  if (!claimed && wanted && claimed_peer(core_, id, nullptr)) {
    why = fmt::format("it wants to talk to {}, which is not our identity towards it; compare `id` there with ours",
                      identity_text(*wanted));
  } else if (!claimed) {
    why = "no configured peer has this identity";
  } else if (!auth || auth->method != auth_method_shared_key) {
    why = "it does not authenticate with a pre-shared key, the only way that is configured";
  } else {
    why = fmt::format("the pre-shared key does not match that of [peer.{}]; compare psk_file of both sides",
                      claimed->name);
  }
  core_.report_limited("auth " + (claimed ? claimed->name : address_of(origin_.path)), log::Level::warn,
                       from + ": " + why);
  if (Peer* peer = claimed ? core_.find_peer(claimed->id) : nullptr)
    peer->on_bad_credentials(fmt::format("{}: {}", address_of(origin_.path), why));
  Reply reply = reply_with(refusal(NotifyType::authentication_failed, std::move(why)));
  reply.close = true;
  return reply;
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
  core_.report_limited("child " + config().name, log::Level::warn, fmt::format("{}: {}", label(), answer.error().why));
  payloads.emplace_back(std::move(answer.error().notify));
}

std::expected<void, Refusal> Session::check_encapsulation() const {
  if (config().encapsulation != EncapsulationPreference::raw || !origin_.nat.needs_udp()) return {};
  return std::unexpected(
      refusal(NotifyType::no_proposal_chosen,
              "a NAT is on the path (or an end asks for UDP encapsulation), and encapsulation = \"raw\" forbids UDP"));
}

}  // namespace culvert::ike

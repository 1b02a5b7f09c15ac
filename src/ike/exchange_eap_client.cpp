// EAP in IKE_AUTH, RFC 7296 §2.16, as initiator; see exchange_eap.cpp for the messages.
#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {

/// False: our configuration has no EAP.
bool Session::begin_eap_login() {
  const OwnEap* own = config().auth.our_eap();
  if (!own) return false;
  handshake_->eap = std::make_unique<EapExchange>();
  handshake_->eap->only = config().auth.eap_only;
  handshake_->eap->client = std::make_shared<eap::Client>(own->client, core_.random());
  return true;
}

void Session::on_eap_response(const Message& message) {
  EapExchange& eap = *handshake_->eap;
  if (!eap.begun && !meet_gateway(message)) return;
  if (eap.login) return finish_eap_login(message);
  const std::string gateway = origin_.path.remote.address.to_string();
  if (!eap.step) {
    const NotifyPayload* error = message.first_error();
    return fail_attempt(fmt::format("{} refused: {}", gateway,
                                    error ? PeerRefusal{error->type}.to_string()
                                          : "it let us in, or went silent, without asking for our EAP login"));
  }
  eap::Step step = std::move(*std::exchange(eap.step, std::nullopt));
  if (step.kind == eap::Step::Kind::send)
    return send_request(ExchangeType::ike_auth, {EapPayload{std::move(step.packet)}}, Handshaking{});
  if (step.kind == eap::Step::Kind::failed) return fail_attempt(fmt::format("login at {}: {}", gateway, step.why));
  eap::Proof proof = eap.client->take_proof();
  if (proof.msk.empty()) return fail_attempt(fmt::format("login at {}: the EAP method has made no key", gateway));
  const Handshake& of = *handshake_;
  const IdPayload ours = id_payload(config().local_id, true);
  Bytes mac = psk_auth(suite_.prf, proof.msk.view(), of.init_request, of.nr, of.sk_pi.view(), ours.body());
  eap.login = EapLogin{std::move(proof.msk), config().remote_id, eap_text(proof.method) + " alone", proof.until};
  send_request(ExchangeType::ike_auth, {AuthPayload{auth_method_shared_key, std::move(mac)}}, Handshaking{});
}

/// The first response: the gateway proves itself before we show anything of ours. False: it does not.
bool Session::meet_gateway(const Message& message) {
  EapExchange& eap = *handshake_->eap;
  const IdPayload* id = message.find_id(false);
  const auto* auth = message.find<AuthPayload>();
  auto& peer = handshake_->verification.peer;
  if (!id || (!auth && !eap.only)) {
    const NotifyPayload* error = message.first_error();
    fail_attempt(fmt::format(
        "{} refused: {}", origin_.path.remote.address.to_string(),
        error ? PeerRefusal{error->type}.to_string() : "it wants our login without proving first who it is"));
    return false;
  }
  const PeerConfig* claimed = claimed_config(message);
  if (auth ? !peer || !*peer : !claimed) {
    refuse_responder(refusal_reason(message, claimed));
    return false;
  }
  if (auth) eap.gateway = std::move(**peer);
  eap.first.payloads.emplace_back(*id);
  eap.begun = true;
  return true;
}

void Session::finish_eap_login(const Message& message) {
  EapExchange& eap = *handshake_->eap;
  const auto* auth = message.find<AuthPayload>();
  if (!auth || message.find<EapPayload>()) {
    const NotifyPayload* error = message.first_error();
    return fail_attempt(fmt::format("{} refused behind our login: {}", origin_.path.remote.address.to_string(),
                                    error ? PeerRefusal{error->type}.to_string() : "its answer has no AUTH payload"));
  }
  const Handshake& of = *handshake_;
  const IdPayload id = *eap.first.find_id(false);
  auto proof = verify_eap(config(), *eap.login, suite_.prf, of.init_response, of.ni, of.sk_pr.view(), id, auth);
  if (!proof)
    return refuse_responder(
        fmt::format("{}: its AUTH is not made by the key of our login: somebody stands between it and "
                    "who checks users",
                    origin_.path.remote.address.to_string()));
  Message whole = message;
  if (!whole.find_id(false)) whole.payloads.emplace_back(id);
  come_up(whole, eap.gateway ? std::move(eap.gateway->proof) : std::move(*proof));
}

}  // namespace culvert::ike

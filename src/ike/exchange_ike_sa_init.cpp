// IKE_SA_INIT, RFC 7296 §1.2, §2.6, §2.7, §2.14, §2.23.
//
//   HDR, SAi1, KEi, Ni, N(NAT_DETECTION_*)  -->
//                                           <--  HDR, N(COOKIE)                                  (§2.6, when the
//                                           responder is busy)
//   HDR, N(COOKIE), SAi1, KEi, Ni, …        -->
//                                           <--  HDR, N(INVALID_KE_PAYLOAD)                      (§1.2, when it wants
//                                           another group)
//   HDR, N(COOKIE), SAi1, KEi', Ni, …       -->
//                                           <--  HDR, SAr1, KEr, Nr, N(NAT_DETECTION_*)
#include <algorithm>

#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

/// RFC 7383 §2.3.
NotifyPayload fragmentation_supported() {
  return make_notify(NotifyType::ikev2_fragmentation_supported);
}

bool wants_udp(const PeerConfig& config) {
  return config.encapsulation == EncapsulationPreference::udp;
}

}  // namespace

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

void Session::start(Peer& peer) {
  peer_ = &peer;
  handshake_ = std::make_unique<Handshake>();
  handshake_->ni = core_.new_nonce();
  handshake_->offered = offer_ike(config().ike_proposals, IkeNegotiation::initial);
  const auto method = preferred_ke(config().ike_proposals);
  if (!method) return fail_attempt("`ike` of the configuration has no usable key exchange");
  choose_ke(*method);
}

/// Makes a key pair, and sends IKE_SA_INIT with it.
void Session::choose_ke(crypto::KeMethod method) {
  requests_.hold();
  using Pair = std::shared_ptr<const crypto::KeyExchange>;
  core_.compute(
      *this, rank(), [method](auto) -> Result<Pair> { return crypto::KeyExchange::generate(method); },
      [](Session& session, std::optional<Result<Pair>> made) {
        if (!made) return session.fail_attempt("this gateway has too much to compute at the moment");
        if (!*made) return session.fail_attempt("no key exchange: " + made->error().detail);
        session.handshake_->ke = std::move(**made);
        session.send_init();
      });
}

void Session::send_init() {
  std::vector<Payload> payloads;
  if (!handshake_->cookie.empty()) {
    payloads.emplace_back(make_notify(NotifyType::cookie, handshake_->cookie));  // first of all, §2.6
  }
  payloads.emplace_back(SaPayload{handshake_->offered});
  payloads.emplace_back(ke_payload(*handshake_->ke));
  payloads.emplace_back(NoncePayload{handshake_->ni});
  for (Payload& payload : nat_payloads(origin_.spi_i, IkeSpi(0), origin_.path, wants_udp(config()), core_.random())) {
    payloads.push_back(std::move(payload));
  }
  if (config().fragment_size != 0) payloads.emplace_back(fragmentation_supported());
  add_redirect_support(payloads);
  handshake_->hashes_announced = announces_hashes(config().auth);
  if (handshake_->hashes_announced) payloads.emplace_back(hashes_payload());
  handshake_->init_request = build(header(ExchangeType::ike_sa_init, false, MessageId(0)), payloads);
  exchange_ = std::make_unique<Exchange>(Handshaking{});
  requests_.sent(core_.now(), ExchangeType::ike_sa_init, {handshake_->init_request}, retransmit_policy());
  trace_sent(origin_.path, header(ExchangeType::ike_sa_init, false, MessageId(0)), payloads, requests_.datagrams());
  core_.send(origin_.path, handshake_->init_request);
}

void Session::on_init_response(const Path& path, ByteView datagram, const Message& message) {
  // Nothing here is authenticated; what does not come from where we sent to, or does not answer, is dropped.
  core_.touch(*this);
  const bool plausible =
      path.remote.address == origin_.path.remote.address && !message.encrypted && requests_.answers(message.header);
  if (!plausible) return core_.count(DropReason::ike_malformed);
  trace_received(path, datagram.size(), message, message.payloads);
  core_.count_received_errors(message);
  if (handshake_->resuming) return on_resume_response(path, datagram, message);
  if (on_init_redirect(message)) return;
  if (check_payloads(MessageKind::init_response, message.payloads)) return core_.count(DropReason::ike_malformed);
  if (message.find_notify(NotifyType::cookie) || message.find_notify(NotifyType::invalid_ke_payload)) {
    if (handshake_->restarts >= Handshake::max_restarts)
      return fail_attempt("it asks for a COOKIE or another key exchange again and again");
    return restart_init(message);
  }
  if (const NotifyPayload* error = message.first_error()) {
    return fail_attempt(
        fmt::format("{} refused: {}", path.remote.address.to_string(), PeerRefusal{error->type}.to_string()));
  }
  accept_init(path, datagram, message);
}

/// COOKIE (§2.6) and INVALID_KE_PAYLOAD (§1.2): the same request again, still message ID 0, with all that earlier
/// rounds asked for. The nonce stays, because the cookie covers it. A late copy of what was answered already changes
/// nothing.
void Session::restart_init(const Message& message) {
  if (const NotifyPayload* cookie = message.find_notify(NotifyType::cookie)) {
    if (cookie->data == handshake_->cookie) return;
    handshake_->cookie = cookie->data;
    ++handshake_->restarts;
    return send_init();
  }
  const auto wanted = wanted_ke(*message.find_notify(NotifyType::invalid_ke_payload));
  if (!wanted || !offers_ke(config().ike_proposals, *wanted)) {
    return fail_attempt(fmt::format("{} wants a key exchange that `ike` does not allow ({})",
                                    origin_.path.remote.address.to_string(),
                                    wanted ? crypto::ke_method_name(*wanted) : "one that this build does not have"));
  }
  if (*wanted == handshake_->ke->method()) return;
  ++handshake_->restarts;
  choose_ke(*wanted);
}

void Session::accept_init(const Path& path, ByteView datagram, const Message& message) {
  const IkeSpi spi_r = message.header.spi_r;
  const auto* sa = message.find<SaPayload>();
  const auto* ke = message.find<KePayload>();
  const auto* nonce = message.find<NoncePayload>();
  if (spi_r.value() == 0 || !sa || !ke || !nonce) return core_.count(DropReason::ike_malformed);
  const Result<IkeChoice> choice = accept_ike(handshake_->offered, *sa, IkeNegotiation::initial);
  if (!choice) return fail_attempt(choice.error().detail);
  if (choice->suite.ke != handshake_->ke->method() || ke->method != static_cast<std::uint16_t>(choice->suite.ke)) {
    return fail_attempt("it answered with another key exchange than the one we sent");
  }
  requests_.hold();
  core_.compute(
      *this, rank(), [ours = handshake_->ke, value = ke->data](auto) { return ours->shared_secret(value); },
      [accepted = AcceptedInit{choice->suite, path, message, Bytes(datagram.begin(), datagram.end())}](
          Session& session, std::optional<Result<Secret>> g_ir) mutable {
        if (!g_ir) return session.requests_.release();
        if (!*g_ir)
          return session.fail_attempt(fmt::format("its key exchange value is invalid: {}", g_ir->error().detail));
        session.finish_init(std::move(accepted), (*g_ir)->view());
      });
}

void Session::finish_init(AcceptedInit accepted, ByteView g_ir) {
  const Message& message = accepted.message;
  requests_.answered();
  origin_.spi_r = message.header.spi_r;
  origin_.nat = read_nat(message.payloads, origin_.spi_i, origin_.spi_r, accepted.path);
  origin_.nat.announced = wants_udp(config()) && origin_.nat.supported;
  origin_.fragmentation =
      config().fragment_size != 0 && message.find_notify(NotifyType::ikev2_fragmentation_supported) != nullptr;
  suite_ = accepted.suite;
  handshake_->nr = message.find<NoncePayload>()->data;
  handshake_->childless_supported = message.find_notify(NotifyType::childless_ikev2_supported) != nullptr;
  handshake_->peer_hashes = announced_hashes(message);
  handshake_->init_response = std::move(accepted.datagram);
  handshake_->ke.reset();
  derive_keys(g_ir);
  if (!in_) return fail_attempt("the cipher refused its keys");
  if (config().encapsulation == EncapsulationPreference::raw && origin_.nat.needs_udp()) {
    return fail_attempt(
        "a NAT is on the path (or the peer asks for UDP encapsulation), and encapsulation = \"raw\" forbids UDP");
  }
  float_to_nat_port();
  begin_auth();
}

/// §2.23: with a NAT on the path (or one that an end says to be there) the initiator goes on from port 4500 to port
/// 4500; either end's may be configured to be another.
void Session::float_to_nat_port() {
  // RFC 4555 §3.3: with MOBIKE always, so that a NAT on some later path changes no ports.
  if (!origin_.nat.needs_udp() && !(config().mobike && uses_nat_traversal())) return;
  origin_.path.local.port = core_.options().nat_port;
  origin_.path.remote.port = config().nat_port;
}

void Session::derive_keys(ByteView g_ir) {
  install_handshake_keys(skeyseed(suite_.prf, handshake_->ni, handshake_->nr, g_ir));
}

void Session::install_handshake_keys(const Secret& seed) {
  IkeKeys keys = derive_ike_keys(suite_, seed.view(), handshake_->ni, handshake_->nr, origin_.spi_i, origin_.spi_r);
  handshake_->sk_pi = std::move(keys.sk_pi);
  handshake_->sk_pr = std::move(keys.sk_pr);
  install_keys(keys);
}

void Session::fail_attempt(std::string reason) {
  close();
  if (peer_) peer_->on_attempt_failed(*this, std::move(reason));
}

// ---- responder (admission is in endpoint.cpp)
// ------------------------------------------------------------------------------------

void Session::answer_init(const IkeChoice& choice, const Message& message, ByteView datagram,
                          std::vector<Payload> extras) {
  suite_ = choice.suite;
  trace_received(origin_.path, datagram.size(), message, message.payloads);
  handshake_ = std::make_unique<Handshake>();
  handshake_->ni = message.find<NoncePayload>()->data;
  handshake_->nr = core_.new_nonce();
  handshake_->offered = {choice.answer};
  handshake_->peer_hashes = announced_hashes(message);
  handshake_->hashes_announced = std::ranges::any_of(extras, [](const Payload& payload) {
    const auto* notify = std::get_if<NotifyPayload>(&payload);
    return notify && notify->type == NotifyType::signature_hash_algorithms;
  });
  handshake_->init_extras = std::move(extras);
  handshake_->init_request.assign(datagram.begin(), datagram.end());
  answering_ = std::make_unique<Answering>(origin_.path, header(ExchangeType::ike_sa_init, false, MessageId(0)),
                                           crypto::sha256({datagram}));
  exchange_keys(choice.suite.ke, *message.find<KePayload>(),
                [](Session& session, std::optional<Result<Exchanged>> exchanged) {
                  if (exchanged && *exchanged) return session.send_init_response(**exchanged);
                  if (exchanged) session.core_.count(DropReason::ike_malformed);
                  session.close();
                });
}

void Session::send_init_response(const Exchanged& exchanged) {
  derive_keys(exchanged.secret.view());
  if (!in_) return close();

  std::vector<Payload> payloads;
  payloads.emplace_back(SaPayload{handshake_->offered});  // §3.3.1: no SPI in IKE_SA_INIT
  payloads.emplace_back(*exchanged.ours);
  payloads.emplace_back(NoncePayload{handshake_->nr});
  if (origin_.nat.supported) {
    for (Payload& payload :
         nat_payloads(origin_.spi_i, origin_.spi_r, origin_.path, origin_.nat.announced, core_.random())) {
      payloads.push_back(std::move(payload));
    }
  }
  for (Payload& payload : handshake_->init_extras) payloads.push_back(std::move(payload));
  if (origin_.announce_childless) payloads.emplace_back(make_notify(NotifyType::childless_ikev2_supported));
  if (origin_.fragmentation) payloads.emplace_back(fragmentation_supported());
  Bytes response = build(header(ExchangeType::ike_sa_init, true, MessageId(0)), payloads);
  handshake_->init_response = response;
  responses_.answered(std::move(answering_->digest), {response});
  answering_.reset();
  trace_sent(origin_.path, header(ExchangeType::ike_sa_init, true, MessageId(0)), payloads, responses_.cached());
  core_.send(origin_.path, std::move(response));
}

}  // namespace culvert::ike

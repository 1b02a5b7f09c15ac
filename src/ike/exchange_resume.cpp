// Session resumption, RFC 5723: an IKE SA from a ticket of an earlier one, without a key exchange and its public-key
// work.
//
//   earlier: IKE_AUTH {…, N(TICKET_REQUEST)}  -->   <--  {…, N(TICKET_LT_OPAQUE)}
//
//   HDR, [N(COOKIE),] Ni, N(TICKET_OPAQUE), N(NAT_DETECTION_*)  -->
//                                       <--  HDR, Nr, N(NAT_DETECTION_*)     or  HDR, N(COOKIE)  or  HDR,
//                                       N(TICKET_NACK)
//   IKE_AUTH with AUTH = prf(SK_px, the sender's message above)
//
// After TICKET_NACK, and after silence, the same attempt goes on with IKE_SA_INIT. What the ticket says is checked
// against the configuration of now: the peer, its key, its algorithms, how old its authentication may be. Keys come
// from the old SK_d, so an end that has resumed rekeys the IKE SA at once: with that, later secrets are forward secret
// again.
#include <algorithm>

#include "association.h"
#include "authentication.h"
#include "culvert/crypto/prf.h"
#include "payloads.h"
#include "peer.h"
#include "session.h"
#include "ticket.h"

namespace culvert::ike {
namespace {

constexpr int resume_tries = 3;  // sends before silence is an answer: IKE_SA_INIT then gets its own
constexpr Duration fresh_keys_after = std::chrono::seconds(2);
constexpr std::size_t lifetime_len = 4;

Bytes sa_bytes(const std::vector<Proposal>& chosen) {
  return build_payloads({SaPayload{chosen}}).bytes;
}

std::optional<SaPayload> sa_from(ByteView bytes) {
  auto payloads = parse_payloads(PayloadType::sa, bytes);
  if (!payloads || payloads->size() != 1) return std::nullopt;
  auto* sa = std::get_if<SaPayload>(&payloads->front());
  return sa ? std::optional(std::move(*sa)) : std::nullopt;
}

std::optional<Identity> identity_of(ByteView body) {
  if (body.size() < 4) return std::nullopt;
  IdPayload payload;
  payload.type = body[0];
  payload.data.assign(body.begin() + 4, body.end());
  return identity_from(payload);
}

}  // namespace

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

void Session::start_resuming(Peer& peer, StoredTicket ticket) {
  peer_ = &peer;
  handshake_ = std::make_unique<Handshake>();
  handshake_->ni = core_.new_nonce();
  handshake_->resuming = std::move(ticket);
  send_resume();
}

void Session::send_resume() {
  std::vector<Payload> payloads;
  if (!handshake_->cookie.empty()) payloads.emplace_back(make_notify(NotifyType::cookie, handshake_->cookie));
  payloads.emplace_back(NoncePayload{handshake_->ni});
  payloads.emplace_back(make_notify(NotifyType::ticket_opaque, handshake_->resuming->ticket));
  const bool udp = config().encapsulation == EncapsulationPreference::udp;
  for (Payload& payload : nat_payloads(origin_.spi_i, IkeSpi(0), origin_.path, udp, core_.random()))
    payloads.push_back(std::move(payload));
  // RFC 7383 §2.3: what the old IKE SA could says nothing about this one.
  if (config().fragment_size != 0) payloads.emplace_back(make_notify(NotifyType::ikev2_fragmentation_supported));
  add_redirect_support(payloads);
  handshake_->init_request = build(header(ExchangeType::ike_session_resume, false, MessageId(0)), payloads);
  exchange_ = std::make_unique<Exchange>(Handshaking{});
  RetransmitPolicy policy = retransmit_policy();
  policy.tries = std::min(policy.tries, resume_tries);
  requests_.sent(core_.now(), ExchangeType::ike_session_resume, {handshake_->init_request}, policy);
  trace_sent(origin_.path, header(ExchangeType::ike_session_resume, false, MessageId(0)), payloads,
             requests_.datagrams());
  core_.send(origin_.path, handshake_->init_request);
}

/// Nothing here is authenticated: whoever says NACK makes us do what we would do without a ticket.
void Session::on_resume_response(const Path& path, ByteView datagram, const Message& message) {
  if (check_payloads(MessageKind::resume_response, message.payloads)) return core_.count(DropReason::ike_malformed);
  if (const NotifyPayload* cookie = message.find_notify(NotifyType::cookie)) {
    if (cookie->data == handshake_->cookie) return;
    if (++handshake_->restarts > Handshake::max_restarts) return fall_back("it asks for a COOKIE again and again");
    handshake_->cookie = cookie->data;
    return send_resume();
  }
  if (message.find_notify(NotifyType::ticket_nack)) return fall_back("the peer does not take our ticket");
  if (const NotifyPayload* error = message.first_error()) return fall_back(PeerRefusal{error->type}.to_string());
  if (message.header.spi_r.value() == 0) return core_.count(DropReason::ike_malformed);
  finish_resume(path, datagram, message);
}

/// RFC 5723 §4.3.2: a full IKE_SA_INIT, in the same attempt.
void Session::fall_back(const std::string& why) {
  core_.report(log::Level::info, about(why),
               fmt::format("{}: cannot resume: {}; a full IKE_SA_INIT instead", label(), why));
  handshake_->resuming.reset();
  handshake_->cookie.clear();
  handshake_->restarts = 0;
  origin_.spi_r = IkeSpi(0);
  requests_.abandon();
  start(*peer_);
}

void Session::finish_resume(const Path& path, ByteView datagram, const Message& message) {
  requests_.answered();
  const StoredTicket ticket = std::move(*handshake_->resuming);
  handshake_->resuming.reset();
  origin_.spi_r = message.header.spi_r;
  origin_.nat = read_nat(message.payloads, origin_.spi_i, origin_.spi_r, path);
  origin_.nat.announced = config().encapsulation == EncapsulationPreference::udp && origin_.nat.supported;
  origin_.fragmentation =
      config().fragment_size != 0 && message.find_notify(NotifyType::ikev2_fragmentation_supported) != nullptr;
  suite_ = ticket.suite;
  handshake_->nr = message.find<NoncePayload>()->data;
  handshake_->childless_supported = message.find_notify(NotifyType::childless_ikev2_supported) != nullptr;
  handshake_->init_response.assign(datagram.begin(), datagram.end());
  handshake_->resumed = Resumed{config().id, {}, {}, {}, core_.now() - ticket.authenticated};
  install_handshake_keys(skeyseed_resume(suite_.prf, ticket.sk_d.view(), handshake_->ni, handshake_->nr));
  if (!in_) return fail_attempt("the cipher refused its keys");
  if (config().encapsulation == EncapsulationPreference::raw && origin_.nat.needs_udp())
    return fall_back("a NAT is on the path, and encapsulation = \"raw\" forbids UDP");
  float_to_nat_port();
  begin_auth();
}

// ---- responder
// -----------------------------------------------------------------------------------------------------------------

namespace {

/// The peer that a ticket is about, as it is configured now; nullptr when it would not be let in.
const Peer* ticket_peer(const Core& core, const TicketState& state, const IpAddress& from) {
  const auto theirs = identity_of(state.id_i), ours = identity_of(state.id_r);
  if (!theirs || !ours) return nullptr;
  for (const Peer* peer : core.directory().claimed_by(*theirs)) {
    const PeerConfig& config = peer->config();
    if (!config.remote_id.matches(*theirs) || !config.local_id.matches(*ours)) continue;
    const Secret credential = credential_digest(config, state.sk_d.view());
    const auto age = std::chrono::seconds(core.unix_now() - state.authenticated);
    const bool too_old = config.reauth_lifetime > Duration::zero() && age >= config.reauth_lifetime;
    const bool allowed = config.resumption && !peer->admin_down() && peer->may_come_from(from) && !credential.empty() &&
                         credential.equals(state.credential.view()) && !too_old;
    if (allowed) return peer;
  }
  return nullptr;
}

}  // namespace

void Core::admit_resumption(const Path& path, ByteView datagram, const Message& message,
                            const Admission::Asking& asking) {
  const NotifyPayload* ticket = message.find_notify(NotifyType::ticket_opaque);
  TicketBox* box = tickets();
  // While it drains, who comes back is to say IKE_SA_INIT, which can be sent elsewhere (RFC 5685).
  const bool welcome = box && ticket && !sends_away(path);
  auto state = welcome ? box->open(unix_now(), ticket->data) : std::nullopt;
  const Peer* peer = state ? ticket_peer(*this, *state, path.remote.address) : nullptr;
  const auto sa = peer ? sa_from(state->sa) : std::nullopt;
  const auto choice = sa ? choose_ike(peer->config().ike_proposals, *sa, IkeNegotiation::initial)
                         : Result<IkeChoice>(fail(Errc::no_match, "no ticket"));
  if (!choice) {
    report_limited(
        "ticket", log::Level::info,
        fmt::format("{}: a ticket that is not (or no longer) good; told so", path.remote.address.to_string()));
    // RFC 5723 §4.3.2: TICKET_NACK. Shorter than its request.
    return answer_stateless(path, message.header, {make_notify(NotifyType::ticket_nack)});
  }
  Session::Origin origin{false, message.header.spi_i, new_ike_spi(), path,
                         read_nat(message.payloads, message.header.spi_i, IkeSpi(0), path)};
  const PeerConfig& config = peer->config();
  origin.nat.announced = origin.nat.supported && config.encapsulation == EncapsulationPreference::udp;
  origin.fragmentation =
      config.fragment_size != 0 && message.find_notify(NotifyType::ikev2_fragmentation_supported) != nullptr;
  origin.announce_childless = config.childless != ChildlessPolicy::never;
  origin.follows_redirects = announces_redirects(message);
  Session& session = add_session(std::make_unique<Session>(*this, origin, Session::State::half_open, MessageId(0)));
  session.take_slot(admission_.enter(asking));
  remember_init_request(init_key(path, datagram, message.header.spi_i), session);
  const auto age = std::chrono::seconds(unix_now() - state->authenticated);
  session.answer_resume(*choice, state->sk_d,
                        Resumed{config.id, ticket->data, std::move(state->id_i), std::move(state->id_r), age},
                        message.find<NoncePayload>()->data, datagram);
}

void Session::answer_resume(const IkeChoice& choice, const Secret& sk_d, Resumed resumed, Bytes ni, ByteView request) {
  suite_ = choice.suite;
  handshake_ = std::make_unique<Handshake>();
  handshake_->ni = std::move(ni);
  handshake_->nr = core_.new_nonce();
  handshake_->offered = {choice.answer};
  handshake_->init_request.assign(request.begin(), request.end());
  handshake_->resumed = std::move(resumed);
  install_handshake_keys(skeyseed_resume(suite_.prf, sk_d.view(), handshake_->ni, handshake_->nr));
  if (!in_) return close();
  std::vector<Payload> payloads{NoncePayload{handshake_->nr}};
  if (origin_.nat.supported) {
    for (Payload& payload :
         nat_payloads(origin_.spi_i, origin_.spi_r, origin_.path, origin_.nat.announced, core_.random()))
      payloads.push_back(std::move(payload));
  }
  if (origin_.announce_childless) payloads.emplace_back(make_notify(NotifyType::childless_ikev2_supported));
  if (origin_.fragmentation) payloads.emplace_back(make_notify(NotifyType::ikev2_fragmentation_supported));
  Bytes response = build(header(ExchangeType::ike_session_resume, true, MessageId(0)), payloads);
  handshake_->init_response = response;
  responses_.answered(crypto::sha256({request}), {response});
  trace_sent(origin_.path, header(ExchangeType::ike_session_resume, true, MessageId(0)), payloads,
             responses_.cached());
  core_.send(origin_.path, std::move(response));
}

/// The responder's check of IKE_AUTH: exactly the ends of the ticket, which has not been used meanwhile.
bool Session::ticket_names(const PeerConfig& claimed, const IdPayload& id_i, const IdPayload* id_r) const {
  const Resumed& resumed = *handshake_->resumed;
  const auto is_it = [](const IdPayload& said, ByteView body) {
    const auto here = identity_from(said), there = identity_of(body);
    return here && there && there->matches(*here);
  };
  return claimed.id == resumed.peer && claimed.resumption && is_it(id_i, resumed.id_i) &&
         (!id_r || is_it(*id_r, resumed.id_r)) && core_.tickets() &&
         core_.tickets()->open(core_.unix_now(), resumed.ticket).has_value();
}

// ---- both, in IKE_AUTH
// ---------------------------------------------------------------------------------------------------------

/// A resumption proves nothing anew: what was proved before gets older.
void Session::settle_resumption() {
  if (!handshake_->resumed) return;
  const Duration age = handshake_->resumed->age;
  association_->age_authentication(age);
  core_.report(log::Level::info, about(),
               fmt::format("{}: resumed from a ticket; authenticated {} s ago", label(),
                           std::chrono::duration_cast<std::chrono::seconds>(age).count()));
  if (!origin_.initiator) return core_.tickets()->spend(handshake_->resumed->ticket);
  Task task;
  task.kind = Task::Kind::rekey_ike;  // the key exchange that the resumption has saved
  task.not_before = core_.now() + spread(fresh_keys_after, 0.5, 1.5, core_.random());
  association_->add_task(std::move(task));
}

void Session::add_ticket(std::vector<Payload>& payloads) {
  // A ticket knows of peers, not of their users: who logs in by EAP does it again.
  if (!config().resumption || handshake_->eap) return;
  if (origin_.initiator) {
    payloads.emplace_back(make_notify(NotifyType::ticket_request));
  } else if (handshake_->wants_ticket) {
    const Bytes ticket = make_ticket();
    Bytes data(lifetime_len);
    store_be(data.data(), static_cast<std::uint32_t>(ticket_lifetime));
    append(data, ticket);
    payloads.emplace_back(ticket.empty() ? make_notify(NotifyType::ticket_nack)
                                         : make_notify(NotifyType::ticket_lt_opaque, std::move(data)));
  }
}

Bytes Session::make_ticket() {
  TicketBox* box = core_.tickets();
  if (!box) return {};
  const UnixSeconds now = core_.unix_now();
  const Duration age = handshake_->resumed ? handshake_->resumed->age : Duration::zero();
  TicketState state;
  state.sk_d = sk_d_.clone();
  state.sa = sa_bytes(handshake_->offered);
  state.id_i = id_payload(association_->proof().identity(), true).body();
  state.id_r = id_payload(config().local_id, false).body();
  state.credential = credential_digest(config(), sk_d_.view());
  state.authenticated = now - static_cast<UnixSeconds>(std::chrono::duration_cast<std::chrono::seconds>(age).count());
  state.expires = now + ticket_lifetime;
  return state.credential.empty() ? Bytes{} : box->seal(state);
}

void Session::read_ticket(const Message& message) {
  handshake_->wants_ticket = message.find_notify(NotifyType::ticket_request) != nullptr;
  const NotifyPayload* notify = message.find_notify(NotifyType::ticket_lt_opaque);
  if (!origin_.initiator || !config().resumption || !notify || notify->data.size() <= lifetime_len) return;
  if (notify->data.size() > lifetime_len + max_ticket_len) return;
  const std::uint64_t lifetime = std::min<std::uint64_t>(load_be<std::uint32_t>(notify->data.data()), ticket_lifetime);
  StoredTicket ticket;
  ticket.ticket.assign(notify->data.begin() + lifetime_len, notify->data.end());
  ticket.sk_d = sk_d_.clone();
  ticket.suite = suite_;
  ticket.authenticated = core_.now() - (handshake_->resumed ? handshake_->resumed->age : Duration::zero());
  ticket.expires = core_.now() + std::chrono::seconds(lifetime);
  peer_->keep_ticket(std::move(ticket));
}

}  // namespace culvert::ike

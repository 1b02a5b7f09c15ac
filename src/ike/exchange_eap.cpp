// EAP in IKE_AUTH, RFC 7296 §2.16, as responder. The gateway proves itself first, so that nobody shows a password's
// hash to a stranger; not with EAP_ONLY_AUTHENTICATION (RFC 5998), where the method proves both.
//
//   HDR, SK {IDi, [CERTREQ,] [IDr,] [N(EAP_ONLY_AUTHENTICATION),] [CP,] SAi2, TSi, TSr}  -->
//                                           <--  HDR, SK {IDr, [CERT,] [AUTH,] EAP(Request/Identity)}
//   HDR, SK {EAP}                           -->
//                                           <--  HDR, SK {EAP}                                      (as often as it
//                                           takes)
//   HDR, SK {EAP}                           -->
//                                           <--  HDR, SK {EAP(Success)}
//   HDR, SK {AUTH}                          -->                                                     (a MAC by the MSK)
//                                           <--  HDR, SK {AUTH, [CP,] SAr2, TSi, TSr}
//
// The first request waits until the last one is there; then both are answered as if they were one IKE_AUTH request.
// Each packet is handled like other messages that take work on other threads (computing.cpp): looked at again when its
// Step is there.
#include "association.h"
#include "clients.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

/// Nobody takes longer for a login, and a half-open IKE SA is a place that others want.
constexpr Duration longest_login = std::chrono::seconds(120);

}  // namespace

std::shared_ptr<const eap::User> UserDesk::find(std::string_view name) {
  if (!core_.guesses().take(core_.now(), name, from_)) {
    core_.count(DropReason::ike_guessing);
    core_.report_limited("guesses " + std::string(name), log::Level::warn,
                         fmt::format("user {}: too many failed logins; those from new addresses wait (last from {})",
                                     log::sanitize(std::string(name)), from_.to_string()));
    return nullptr;
  }
  const eap::UserEntry* entry = core_.users() ? core_.users()->find(name) : nullptr;
  if (!entry || !entry->may_log_in(crypto::WallTime(std::chrono::seconds(core_.unix_now())))) return nullptr;
  return entry->user;
}

// ---- the first request
// ------------------------------------------------------------------------------------------------------------------

/// Responder: the peer whose users log in by EAP, when this is such a user's first request.
const PeerConfig* Session::begins_eap(const Message& message) const {
  if (origin_.initiator || handshake_->eap || handshake_->resumed || message.find<AuthPayload>()) return nullptr;
  const PeerConfig* claimed = claimed_config(message);
  return claimed && claimed->auth.peer_eap() ? claimed : nullptr;
}

bool Session::proves_by_eap_alone(const Message& message, const PeerConfig& peer) const {
  return peer.auth.eap_only && message.find_notify(NotifyType::eap_only_authentication);
}

Session::Reply Session::begin_eap(const Message& message, const PeerConfig& peer) {
  Verification done = std::exchange(handshake_->verification, {});
  const bool alone = proves_by_eap_alone(message, peer);
  if (!alone && (!done.ours || !*done.ours))
    return refuse_initiator(message,
                            "we cannot authenticate ourselves to it: " + (done.ours ? done.ours->error() : ""));
  auto eap = std::make_unique<EapExchange>();
  eap->begun = true;
  eap->only = alone;
  eap->peer = &peer;
  eap->first = message;
  Bytes request;
  if (const auto& local = peer.auth.peer_eap()->server) {
    auto desk = std::make_shared<UserDesk>(core_, origin_.path.remote.address);
    eap->server = std::make_shared<eap::Server>(local, std::move(desk), core_.random());
    request = eap->server->start();
  } else {
    eap->relay.emplace().servers = peer.auth.peer_eap()->radius;
    eap->relay->identifier = static_cast<std::uint8_t>(core_.random().u32());
    request = eap::build({eap::Code::request, eap->relay->identifier, eap::Type::identity, {}});
  }
  handshake_->eap = std::move(eap);
  Reply reply;
  reply.payloads.emplace_back(id_payload(peer.local_id, false));
  if (!alone) {
    for (Payload& payload : cert_payloads(peer.auth.ours)) reply.payloads.push_back(std::move(payload));
    reply.payloads.emplace_back(std::move(**done.ours));
  }
  reply.payloads.emplace_back(EapPayload{std::move(request)});
  return reply;
}

// ---- one packet after the other
// ---------------------------------------------------------------------------------------------------------

/// Starts what this packet needs, and takes the message; false: its Step is there, or it has none. In either role.
bool Session::compute_for_eap(Message& opened) {
  EapExchange& eap = *handshake_->eap;
  const auto* payload = opened.find<EapPayload>();
  if (eap.step || eap.login || !payload) return false;
  // The first response has our peer's own AUTH beside EAP; all others have either.
  if (eap.begun && opened.find<AuthPayload>()) return false;
  const Bytes packet = payload->data;
  if (eap.relay) return ask_radius(opened, packet);
  const bool slow = eap.server ? eap.server->is_slow(packet) : eap.client->is_slow(packet);
  if (slow) {
    run_eap(opened, packet);
    return true;
  }
  const crypto::WallTime now(std::chrono::seconds(core_.unix_now()));
  eap.step = eap.server ? eap.server->on_response(packet, now) : eap.client->on_packet(packet, now);
  return false;
}

void Session::run_eap(Message& opened, ByteView packet) {
  if (origin_.initiator) requests_.hold();
  core_.compute(
      *this, rank(),
      [server = handshake_->eap->server, client = handshake_->eap->client, bytes = Bytes(packet.begin(), packet.end())](
          auto now) { return server ? server->on_response(bytes, now) : client->on_packet(bytes, now); },
      [opened = std::move(opened)](Session& session, std::optional<eap::Step> step) mutable {
        // The conversation has not seen it: it comes again.
        if (!step) return session.origin_.initiator ? session.requests_.release() : session.answering_.reset();
        session.handshake_->eap->step = std::move(step);
        session.resume_auth(std::move(opened));
      });
}

namespace {

eap::Step failure_of(const EapRelay& relay, Bytes packet, std::string why) {
  const auto parsed = eap::parse(packet);
  if (!parsed || parsed->code != eap::Code::failure)
    packet = eap::build({eap::Code::failure, relay.identifier, {}, {}});
  return {eap::Step::Kind::failed, std::move(packet), std::move(why)};
}

/// What a server's answer means for the peer. RFC 3579 §2.6.3: the packet and the verdict must agree.
eap::Step step_of(EapRelay& relay, RadiusAnswer& answer) {
  using Verdict = RadiusAnswer::Verdict;
  relay.server = answer.server;
  relay.state = std::move(answer.state);
  const auto packet = eap::parse(answer.eap);
  switch (answer.verdict) {
    case Verdict::challenge:
      if (!packet || packet->code != eap::Code::request)
        return failure_of(relay, {}, "the RADIUS server's challenge has no EAP request");
      relay.identifier = packet->identifier;
      return {eap::Step::Kind::send, std::move(answer.eap), {}};
    case Verdict::accept:
      if (answer.msk.empty())
        return failure_of(relay, {},
                          "the RADIUS server accepts the user, but gives no key (MS-MPPE-Recv-Key, "
                          "MS-MPPE-Send-Key): its method makes none");
      if (!packet || packet->code != eap::Code::success)
        return failure_of(relay, {}, "the RADIUS server accepts the user without EAP-Success");
      return {eap::Step::Kind::succeeded, std::move(answer.eap), {}};
    case Verdict::reject:
      return failure_of(relay, std::move(answer.eap), "the RADIUS server refuses it");
    case Verdict::silence:
      break;
  }
  return failure_of(relay, {}, "RADIUS: " + answer.why);
}

/// Why this packet goes to no server; empty: it goes.
std::string check_relayed(EapRelay& relay, ByteView bytes) {
  const auto packet = eap::parse(bytes);
  if (!packet) return packet.error().detail;
  if (packet->code != eap::Code::response || packet->identifier != relay.identifier)
    return "it sent what is no response to the request";
  if (++relay.rounds > eap::max_rounds) return "it goes on without end";
  if (!relay.identity.empty()) return {};
  if (packet->type != eap::Type::identity || !eap::is_usable_identity(packet->data))
    return "its EAP identity is missing, too long or not text";
  relay.identity = as_text(packet->data);
  return {};
}

}  // namespace

bool Session::ask_radius(Message& opened, ByteView packet) {
  EapExchange& eap = *handshake_->eap;
  EapRelay& relay = *eap.relay;
  const bool first = relay.identity.empty();
  std::string why = check_relayed(relay, packet);
  if (why.empty() && first && !core_.guesses().take(core_.now(), relay.identity, origin_.path.remote.address)) {
    core_.count(DropReason::ike_guessing);
    why = "too many failed logins of this user from new addresses";
  }
  if (!why.empty()) {
    eap.step = failure_of(relay, {}, std::move(why));
    return false;
  }
  AskRadius ask{0,           relay.servers, relay.identity, Bytes(packet.begin(), packet.end()),
                relay.state, relay.server,  origin_.path};
  ask.id = core_.await<RadiusAnswer>(
      *this, [opened = std::move(opened)](Session& session, std::optional<RadiusAnswer> answer) mutable {
        EapExchange& of = *session.handshake_->eap;
        of.step = step_of(*of.relay, *answer);
        of.not_its_fault = answer->verdict == RadiusAnswer::Verdict::silence;
        if (of.step->kind == eap::Step::Kind::succeeded) of.accepted = std::move(answer);
        session.resume_auth(std::move(opened));
      });
  core_.emit(std::move(ask));
  return true;
}

Session::Reply Session::answer_eap(const Message& message) {
  EapExchange& eap = *handshake_->eap;
  if (eap.login) return finish_eap(message);
  if (!eap.step) return refuse_user("it sent AUTH, or nothing at all, before EAP was over", {});
  eap::Step step = std::move(*std::exchange(eap.step, std::nullopt));
  // The next packet may wait for a person; the whole must not take for ever.
  give_up_at_ = std::min(core_.now() + half_open_time, created_ + longest_login);
  switch (step.kind) {
    case eap::Step::Kind::send:
      // Many clients go away without another word.
      if (!step.why.empty()) note_wrong_try(step.why);
      break;
    case eap::Step::Kind::succeeded:
      if (std::string why = judge_user(); !why.empty())
        return refuse_user(std::move(why), eap::build({eap::Code::failure, step.packet[1], {}, {}}));
      break;
    case eap::Step::Kind::failed:
      return refuse_user(std::move(step.why), std::move(step.packet));
  }
  Reply reply;
  reply.payloads.emplace_back(EapPayload{std::move(step.packet)});
  return reply;
}

void Session::note_wrong_try(const std::string& why) {
  const EapExchange& eap = *handshake_->eap;
  core_.admission().on_failed_authentication(core_.now(), origin_.path.remote.address);
  core_.report_limited("auth " + eap.peer->name, log::Level::warn,
                       {.peer = eap.peer->name, .reason = why, .event = EventKind::auth_failed},
                       fmt::format("peer {} ({}): {}", origin_.path.remote.address.to_string(),
                                   identity_text(*eap.first.find_id(true)), log::sanitize(why)));
}

/// Who has logged in, and as whom; or why he must not.
std::string Session::judge_user() {
  EapExchange& eap = *handshake_->eap;
  EapLogin login;
  if (eap.accepted) {
    eap.user = eap::is_usable_identity(as_bytes(eap.accepted->user)) ? eap.accepted->user : eap.relay->identity;
    eap.groups = eap.accepted->groups;
    login.msk = std::move(eap.accepted->msk);
    login.how = "EAP by RADIUS, user " + eap.user;
  } else {
    eap::Proof proof = eap.server->take_proof();
    eap.user = proof.user;
    login.msk = std::move(proof.msk);
    login.how = fmt::format("{}, user {}", eap_text(proof.method), eap.user);
    login.until = proof.until;
    const eap::UserEntry* entry = core_.users() ? core_.users()->find(eap.user) : nullptr;
    if (entry && !entry->may_log_in(crypto::WallTime(std::chrono::seconds(core_.unix_now()))))
      return fmt::format("user {} is not enabled, or has expired", eap.user);
    if (entry && !entry->user->group.empty()) eap.groups = {entry->user->group};
  }
  login.identity = identity_of_user(eap.user);
  if (login.msk.empty()) return "its EAP method has made no key";
  // The try was counted under what the peer had called itself.
  core_.guesses().on_success(core_.now(), eap.relay ? eap.relay->identity : eap.user, origin_.path.remote.address);
  eap.login = std::move(login);
  return {};
}

/// EAP-Failure is all that the peer is told (§2.16); without a packet, AUTHENTICATION_FAILED.
Session::Reply Session::refuse_user(std::string why, Bytes packet) {
  EapExchange& eap = *handshake_->eap;
  const std::string& claimed = eap.relay ? eap.relay->identity : eap.server->identity();
  if (!claimed.empty()) why = fmt::format("user {}: {}", claimed, why);
  if (packet.empty() || !eap.not_its_fault) {
    Reply refused = refuse_initiator(eap.first, why);
    if (packet.empty()) return refused;
  } else {
    core_.report_limited("radius " + eap.relay->servers, log::Level::warn, {.peer = eap.peer->name, .reason = why},
                         fmt::format("peer {}: {}", eap.peer->name, log::sanitize(why)));
  }
  Reply reply;
  reply.payloads.emplace_back(EapPayload{std::move(packet)});
  reply.close = true;
  reply.reason = std::move(why);
  return reply;
}

// ---- the last request
// -------------------------------------------------------------------------------------------------------------------

/// The association and the addresses are there: RADIUS servers hear of it.
void Session::note_login() {
  if (!handshake_->eap || !handshake_->eap->accepted) return;
  const EapExchange& eap = *handshake_->eap;
  UserSession user;
  user.servers = eap.relay->servers;
  user.user = eap.user;
  user.class_ = eap.accepted->class_;
  user.addresses = peer_->client() ? peer_->client()->net.addresses : eap.accepted->addresses;
  user.path = origin_.path;
  association_->log_in(std::move(user), eap.accepted->session_timeout);
}

/// The first request, with the AUTH of the last.
Message Session::as_one_message(const Message& last) const {
  Message whole = handshake_->eap->first;
  whole.payloads.emplace_back(*last.find<AuthPayload>());
  return whole;
}

Session::Reply Session::finish_eap(const Message& message) {
  EapExchange& eap = *handshake_->eap;
  const auto* auth = message.find<AuthPayload>();
  if (!auth || message.find<EapPayload>()) return refuse_user("it sent no AUTH behind EAP-Success", {});
  const Handshake& of = *handshake_;
  const IdPayload& id = *eap.first.find_id(true);
  Verification& at = handshake_->verification;
  auto proof = verify_eap(*eap.peer, *eap.login, suite_.prf, of.init_request, of.nr, of.sk_pi.view(), id, auth);
  at.peer = proof
                ? std::expected<VerifiedPeer, std::string>(VerifiedPeer{std::move(*proof), {}})
                : std::unexpected(fmt::format("user {}: its AUTH is not made by the key of its EAP method: another end "
                                              "of IKE than of EAP, or a broken client",
                                              eap.user));
  at.grant =
      UserGrant{eap.login->identity, eap.groups, eap.accepted ? eap.accepted->addresses : std::vector<IpAddress>{}};
  const IdPayload ours = id_payload(eap.peer->local_id, false);
  at.ours = AuthPayload{auth_method_shared_key, psk_auth(suite_.prf, eap.login->msk.view(), of.init_response, of.ni,
                                                         of.sk_pr.view(), ours.body())};
  return answer_auth(as_one_message(message));
}

}  // namespace culvert::ike

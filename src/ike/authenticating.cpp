// What both ends compute in IKE_AUTH, RFC 7296 §2.15, RFC 7427, RFC 7670: the peer's proof, then (as responder) our own
// signature. One stage after the other, each in a call of its own when it takes work on other threads or an answer of
// an OCSP responder; the message is looked at again after each, and acted upon when no stage is left.
//
//   by a pre-shared key:   MAC (at once)
//   by a signature:        bounds of what was sent → chain, identity, signature (other thread)
//                          → what responders say (CheckRevocation) → chain again (other thread)
//   ours:                  signature (other thread), or MAC (at once)
//
// An identity that nobody has is checked as long as one that somebody has, by the way that the peer chose.
#include "association.h"
#include "authentication.h"
#include "payload_table.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {

/// Starts the next stage, and takes the message; false: there is none.
bool Session::compute_for_auth(Message& opened) {
  if (!handshake_) return false;
  if (check_payloads(kind_of(ExchangeType::ike_auth, origin_.initiator), opened.payloads))
    return false;  // refused as a whole
  EapExchange* eap = handshake_->eap.get();
  if (eap && eap->begun) return compute_for_eap(opened);
  if (const PeerConfig* peer = begins_eap(opened))
    return !proves_by_eap_alone(opened, *peer) && sign_answer(opened, *peer);
  Verification& at = handshake_->verification;
  if (!at.peer && verify_peer(opened)) return true;
  if (eap && !opened.find<AuthPayload>()) return eap->only && compute_for_eap(opened);
  if (!at.peer || !*at.peer) return false;
  if (ask_responders(opened)) return true;
  if (eap) return compute_for_eap(opened);
  return !origin_.initiator && sign_answer(opened, (*at.peer)->proof.config());
}

void Session::resume_auth(Message opened) {
  if (origin_.initiator) return take_response(std::move(opened));
  answer(std::move(opened));
}

/// No room for the work: the message counts as lost, and comes again.
void Session::lose_auth() {
  handshake_->verification = {};
  if (origin_.initiator) return requests_.release();
  answering_.reset();
}

// ---- the peer's proof
// -----------------------------------------------------------------------------------------------------------------

bool Session::verify_peer(Message& opened) {
  const IdPayload* id = opened.find_id(!origin_.initiator);
  const auto* auth = opened.find<AuthPayload>();
  if (!id || (origin_.initiator && !auth)) return false;  // the responder refuses us
  const PeerConfig* claimed = claimed_config(opened);
  const Bytes& first = origin_.initiator ? handshake_->init_response : handshake_->init_request;
  const Secret& sk_p = origin_.initiator ? handshake_->sk_pr : handshake_->sk_pi;
  if (handshake_->resumed) {
    if (claimed && !origin_.initiator && !ticket_names(*claimed, *id, opened.find_id(false))) claimed = nullptr;
    auto proof = verify_resumed(claimed, suite_.prf, first, sk_p.view(), *id, auth);
    handshake_->verification.peer =
        proof ? std::expected<VerifiedPeer, std::string>(VerifiedPeer{std::move(*proof), {}})
              : std::unexpected("it does not know the secret of the ticket, or the ticket is another one's or used up");
    return false;
  }
  if (!auth || auth->method == auth_method_shared_key) {
    const Bytes& nonce = origin_.initiator ? handshake_->ni : handshake_->nr;
    auto proof = verify_psk(claimed, core_.decoy_psk(), suite_.prf, first, nonce, sk_p.view(), *id, auth);
    handshake_->verification.peer =
        proof ? std::expected<VerifiedPeer, std::string>(VerifiedPeer{std::move(*proof), {}})
              : std::unexpected(
                    fmt::format("the pre-shared key does not match that of [peer.{}]; compare psk_file of both sides",
                                claimed ? claimed->name : ""));
    return false;
  }
  auto shown = read_certificates(opened);
  if (!shown) {
    handshake_->verification.peer = std::unexpected(std::move(shown.error()));
    return false;
  }
  if (shown->ignored) report_ignored_certificate(*shown->ignored);
  // A peer that is to use a pre-shared key is treated as one that does not exist: both fail after as much work.
  const bool signs = claimed && !claimed->auth.peer_psk() && !claimed->auth.peer_eap();
  SignatureClaim claim;
  claim.config = signs ? claimed : nullptr;
  claim.expected = signs ? claimed->auth.theirs : core_.decoy_auth();
  claim.identity = identity_from(*id).value_or(Identity{});
  claim.auth = *auth;
  claim.certificates = std::move(shown->x509);
  claim.raw_key = std::move(shown->raw_key);
  claim.octets = peer_octets(*id);
  if (handshake_->hashes_announced) claim.announced = crypto::HashSet::ours();
  start_verification(opened, std::move(claim));
  return true;
}

void Session::start_verification(Message& opened, SignatureClaim claim) {
  using Verdict = std::expected<VerifiedPeer, std::string>;
  if (origin_.initiator) requests_.hold();
  core_.compute(
      *this, rank(), [claim = std::move(claim)](auto now) { return verify_signature(claim, now); },
      [opened = std::move(opened)](Session& session, std::optional<Verdict> verdict) mutable {
        if (!verdict) return session.lose_auth();
        session.handshake_->verification.peer = std::move(verdict);
        session.resume_auth(std::move(opened));
      });
}

/// §2.15: IKE_SA_INIT as the signer sent it | the other one's nonce | prf(SK_p of the signer, ID body).
Bytes Session::peer_octets(const IdPayload& id) const {
  const Handshake& of = *handshake_;
  return origin_.initiator ? signed_octets(suite_.prf, of.init_response, of.ni, of.sk_pr.view(), id.body())
                           : signed_octets(suite_.prf, of.init_request, of.nr, of.sk_pi.view(), id.body());
}

Bytes Session::our_octets(const IdPayload& id) const {
  const Handshake& of = *handshake_;
  return origin_.initiator ? signed_octets(suite_.prf, of.init_request, of.nr, of.sk_pi.view(), id.body())
                           : signed_octets(suite_.prf, of.init_response, of.ni, of.sk_pr.view(), id.body());
}

/// RFC 7296 §3.6: hash and URL. We never announce HTTP_CERT_LOOKUP_SUPPORTED: nothing that an unauthenticated peer
/// names is fetched.
void Session::report_ignored_certificate(std::uint8_t encoding) {
  const bool url = encoding == cert_hash_and_url || encoding == cert_hash_and_url_bundle;
  core_.report_limited(
      "cert " + origin_.path.remote.address.to_string(), log::Level::warn, about(),
      fmt::format(
          "{}: a certificate of it is ignored: {}", label(),
          url ? "it is a hash and a URL, and nothing is fetched from where a peer says; it must send the certificate "
                "itself"
              : fmt::format("encoding {} is not taken; it must be X.509 (4) or a raw public key (15)", encoding)));
}

// ---- what responders say of a chain that has signed
// -----------------------------------------------------------------------------------

bool Session::ask_responders(Message& opened) {
  Verification& at = handshake_->verification;
  const VerifiedPeer& peer = **at.peer;
  const auto* expected = std::get_if<PeerCertificate>(&peer.proof.config().auth.theirs);
  if (at.revocation_checked || !expected || peer.chain.empty()) return false;
  if (!expected->revocation || !expected->revocation->asks_ocsp()) return false;
  if (origin_.initiator) requests_.hold();
  CheckRevocation check{0, expected->revocation, peer.chain};
  using Data = std::shared_ptr<const crypto::RevocationData>;
  check.id =
      core_.await<Data>(*this, [opened = std::move(opened)](Session& session, std::optional<Data> known) mutable {
        session.recheck_revocation_of(std::move(opened), known ? std::move(*known) : nullptr);
      });
  core_.emit(std::move(check));
  return true;
}

void Session::recheck_revocation_of(Message opened, std::shared_ptr<const crypto::RevocationData> known) {
  const VerifiedPeer& peer = **handshake_->verification.peer;
  const auto& expected = std::get<PeerCertificate>(peer.proof.config().auth.theirs);
  core_.compute(
      *this, rank(),
      [expected, chain = peer.chain, known = std::move(known)](auto now) {
        return recheck_revocation(expected, chain, known.get(), now);
      },
      [opened = std::move(opened)](Session& session, std::optional<std::string> why) mutable {
        if (!why) return session.lose_auth();
        Verification& at = session.handshake_->verification;
        at.revocation_checked = true;
        if (!why->empty()) at.peer = std::unexpected(std::move(*why));
        session.resume_auth(std::move(opened));
      });
}

// ---- our own proof
// --------------------------------------------------------------------------------------------------------------------

/// What needs no other thread: by a pre-shared key, or for a resumed IKE SA. nullopt: we sign.
std::optional<AuthPayload> Session::our_mac(const AuthConfig& auth, const IdPayload& id) const {
  const Handshake& of = *handshake_;
  const Bytes& first = origin_.initiator ? of.init_request : of.init_response;
  const Bytes& nonce = origin_.initiator ? of.nr : of.ni;
  const Secret& sk_p = origin_.initiator ? of.sk_pi : of.sk_pr;
  if (of.resumed) return AuthPayload{auth_method_shared_key, resumed_auth(suite_.prf, sk_p.view(), first)};
  const Secret* psk = auth.our_psk();
  if (!psk) return std::nullopt;
  return AuthPayload{auth_method_shared_key, psk_auth(suite_.prf, psk->view(), first, nonce, sk_p.view(), id.body())};
}

/// Initiator: IKE_AUTH goes out when our AUTH payload is there.
void Session::begin_auth() {
  const IdPayload id = id_payload(config().local_id, true);
  if (auto mac = our_mac(config().auth, id)) return send_auth(std::move(*mac));
  if (begin_eap_login()) return send_auth(std::nullopt);
  using Signed = std::expected<AuthPayload, std::string>;
  core_.compute(
      *this, rank(),
      [auth = config().auth, announced = handshake_->peer_hashes, octets = our_octets(id)](auto) {
        return sign(auth, announced, octets);
      },
      [](Session& session, std::optional<Signed> made) {
        if (!made) return session.fail_attempt("this gateway has too much to compute at the moment");
        if (!*made) return session.fail_attempt(made->error());
        session.send_auth(std::move(**made));
      });
}

/// Responder: for the peer that has been verified, or is going to log in by EAP.
bool Session::sign_answer(Message& opened, const PeerConfig& peer) {
  Verification& at = handshake_->verification;
  if (at.ours) return false;
  const IdPayload id = id_payload(peer.local_id, false);
  if (auto mac = our_mac(peer.auth, id)) {
    at.ours = std::move(*mac);
    return false;
  }
  using Signed = std::expected<AuthPayload, std::string>;
  core_.compute(
      *this, rank(),
      [auth = peer.auth, announced = handshake_->peer_hashes, octets = our_octets(id)](auto) {
        return sign(auth, announced, octets);
      },
      [opened = std::move(opened)](Session& session, std::optional<Signed> made) mutable {
        if (!made) return session.lose_auth();
        session.handshake_->verification.ours = std::move(made);
        session.resume_auth(std::move(opened));
      });
  return true;
}

}  // namespace culvert::ike

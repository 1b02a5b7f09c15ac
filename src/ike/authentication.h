#pragma once
#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/revocation.h"
#include "culvert/crypto/signature_scheme.h"
#include "culvert/eap/packet.h"
#include "culvert/ike/config.h"
#include "keymat.h"
#include "message.h"

namespace culvert::ike {

class AuthenticatedPeer;
struct EapLogin;

/// What the peer shows in IKE_AUTH when it signs. Values alone: it is checked on another thread.
struct SignatureClaim {
  const PeerConfig* config = nullptr;  ///< whom it claims to be; nullptr: nobody, and the check is a decoy that fails
  PeerAuth expected;                   ///< what that one must show (or a decoy)
  Identity identity;
  AuthPayload auth;
  std::vector<Bytes> certificates;  ///< DER, as they came: the first is the one that signs (RFC 7296 §3.6)
  std::optional<Bytes> raw_key;     ///< SubjectPublicKeyInfo (RFC 7670)
  Bytes octets;                     ///< what it signs (RFC 7296 §2.15)
  crypto::HashSet announced;        ///< what we sent it: no other hash is taken (RFC 7427 §4)
};

/// A peer that has proved itself, and the chain of its certificate if it has one: leaf first, anchor last.
struct VerifiedPeer;

/// Proof that the other end of an IKE SA has shown that it is a configured peer. Only the verify_… functions make one,
/// and an Association cannot be had without it.
class AuthenticatedPeer {
 public:
  [[nodiscard]] const PeerConfig& config() const noexcept { return *config_; }
  [[nodiscard]] const Identity& identity() const noexcept { return identity_; }  ///< what it proved to be
  [[nodiscard]] const std::string& how() const noexcept { return how_; }         ///< for people
  /// The first moment at which a certificate of its chain is over.
  [[nodiscard]] std::optional<crypto::WallTime> until() const noexcept { return until_; }

 private:
  AuthenticatedPeer(const PeerConfig& config, Identity identity, std::string how,
                    std::optional<crypto::WallTime> until = std::nullopt)
      : config_(&config), identity_(std::move(identity)), how_(std::move(how)), until_(until) {}
  friend std::optional<AuthenticatedPeer> verify_psk(const PeerConfig* claimed, ByteView decoy_psk, crypto::Prf prf,
                                                     ByteView first_message, ByteView nonce, ByteView sk_p,
                                                     const IdPayload& id, const AuthPayload* auth);
  friend std::optional<AuthenticatedPeer> verify_resumed(const PeerConfig* ticket_peer, crypto::Prf prf,
                                                         ByteView message, ByteView sk_p, const IdPayload& id,
                                                         const AuthPayload* auth);
  friend std::optional<AuthenticatedPeer> verify_eap(const PeerConfig& claimed, const EapLogin& login, crypto::Prf prf,
                                                     ByteView first_message, ByteView nonce, ByteView sk_p,
                                                     const IdPayload& id, const AuthPayload* auth);
  friend std::expected<VerifiedPeer, std::string> verify_signature(const SignatureClaim& claim, crypto::WallTime now);
  const PeerConfig* config_;
  Identity identity_;
  std::string how_;
  std::optional<crypto::WallTime> until_;
};

struct VerifiedPeer {
  AuthenticatedPeer proof;
  std::vector<crypto::Certificate> chain;
};

inline constexpr std::uint8_t auth_method_shared_key = 2;  ///< RFC 7296 §3.8

// IANA "IKEv2 Certificate Encodings".
inline constexpr std::uint8_t cert_x509 = 4, cert_hash_and_url = 12, cert_hash_and_url_bundle = 13, cert_raw_key = 15;

// ---- by a pre-shared key
// --------------------------------------------------------------------------------------------------------------

/// Checks the peer's AUTH payload against the pre-shared key of `claimed`. nullptr (no such peer), or one without a
/// key, takes as long with `decoy_psk`, and fails, so that time does not tell which identities exist. `first_message`
/// is the peer's IKE_SA_INIT, `nonce` ours, `sk_p` its SK_p.
[[nodiscard]] std::optional<AuthenticatedPeer> verify_psk(const PeerConfig* claimed, ByteView decoy_psk,
                                                          crypto::Prf prf, ByteView first_message, ByteView nonce,
                                                          ByteView sk_p, const IdPayload& id, const AuthPayload* auth);

/// The same for an IKE SA made from a ticket (RFC 5723 §5.1): the peer shows that it knows the SK_d of the ticket.
/// `message` is its IKE_SESSION_RESUME. nullptr: the ticket is not about the peer that it says it is.
[[nodiscard]] std::optional<AuthenticatedPeer> verify_resumed(const PeerConfig* ticket_peer, crypto::Prf prf,
                                                              ByteView message, ByteView sk_p, const IdPayload& id,
                                                              const AuthPayload* auth);

/// What an EAP method has proved (RFC 7296 §2.16): of a user, or to a user of the gateway.
struct EapLogin {
  Secret msk;
  Identity identity;  ///< whom it has proved; not the ID payload, which nobody has
  std::string how;    ///< for people
  std::optional<crypto::WallTime> until;
};
/// The AUTH payload behind EAP: a MAC by the MSK shows that both ends of the method are the ends of this IKE SA. nullopt also
/// without an MSK.
[[nodiscard]] std::optional<AuthenticatedPeer> verify_eap(const PeerConfig& claimed, const EapLogin& login,
                                                          crypto::Prf prf, ByteView first_message, ByteView nonce,
                                                          ByteView sk_p, const IdPayload& id, const AuthPayload* auth);
/// A user's name as an identity: an e-mail address, a domain name, or else a key id.
[[nodiscard]] Identity identity_of_user(std::string_view name);

// ---- by a signature
// ---------------------------------------------------------------------------------------------------------------

inline constexpr std::size_t max_certificates = 10;             ///< that a peer may send
inline constexpr std::size_t max_certificates_len = 48 * 1024;  ///< bytes of them in all

/// The CERT payloads of a message; the error says which bound they break. Nothing of them has been parsed.
struct ShownCertificates {
  std::vector<Bytes> x509;
  std::optional<Bytes> raw_key;
  std::optional<std::uint8_t> ignored;  ///< an encoding that we do not take
};
[[nodiscard]] std::expected<ShownCertificates, std::string> read_certificates(const Message& message);

/// The whole check but for what only an OCSP responder knows: chain, identity, signature. Takes 0.1 to several ms: for
/// other threads. The error is the reason, for the operator alone.
[[nodiscard]] std::expected<VerifiedPeer, std::string> verify_signature(const SignatureClaim& claim,
                                                                        crypto::WallTime now);
/// The chain of a peer that has been verified, once more, with what OCSP responders say: empty, or why not.
[[nodiscard]] std::string recheck_revocation(const PeerCertificate& expected,
                                             const std::vector<crypto::Certificate>& chain,
                                             const crypto::RevocationData* known, crypto::WallTime now);

/// Our AUTH payload. `announced`: the hashes of the peer's SIGNATURE_HASH_ALGORITHMS; nullopt: it does not know RFC
/// 7427. For other threads; not for pre-shared keys. The error is for the operator.
[[nodiscard]] std::expected<AuthPayload, std::string> sign(const AuthConfig& config,
                                                           std::optional<crypto::HashSet> announced, ByteView octets);

/// SIGNATURE_HASH_ALGORITHMS is to be sent (RFC 7427 §4): an end signs.
[[nodiscard]] bool announces_hashes(const AuthConfig& config);
[[nodiscard]] NotifyPayload hashes_payload();
/// Those of the peer; nullopt: it has not sent any.
[[nodiscard]] std::optional<crypto::HashSet> announced_hashes(const Message& message);
/// Our CERT payloads: leaf first (RFC 7296 §3.6), or the raw key (RFC 7670 §3).
[[nodiscard]] std::vector<Payload> cert_payloads(const OwnAuth& ours);
/// What we want of a peer. Nothing when it is not to send a certificate.
[[nodiscard]] std::vector<Payload> certreq_payloads(const std::vector<const PeerAuth*>& expected);

// ---- words and identities
// --------------------------------------------------------------------------------------------------------------

[[nodiscard]] std::string eap_text(eap::Type method);                       ///< "EAP-TLS"
[[nodiscard]] std::string own_auth_text(const OwnAuth& ours);               ///< "ECDSA P-256 certificate CN=gw"
[[nodiscard]] std::string_view expected_auth_text(const PeerAuth& theirs);  ///< "a certificate"
[[nodiscard]] std::string auth_method_text(std::uint8_t method);  ///< "a pre-shared key", "a signature (method 14)"

/// An identity as an ID payload, and back. Unknown types give nullopt.
[[nodiscard]] IdPayload id_payload(const Identity& identity, bool initiator);
[[nodiscard]] std::optional<Identity> identity_from(const IdPayload& payload);
/// For people: sanitized, at most 128 characters of it.
[[nodiscard]] std::string identity_text(const IdPayload& payload);
/// `id` is one that the configuration of this peer allows: octet by octet, or by wildcards where a certificate has to
/// assert it.
[[nodiscard]] bool may_be(const PeerConfig& config, const Identity& id);

}  // namespace culvert::ike

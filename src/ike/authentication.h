#pragma once
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/ike/config.h"
#include "keymat.h"
#include "message.h"

namespace culvert::ike {

/// Proof that the other end of an IKE SA has shown that it is a configured peer. Only verify_psk can make one, and an
/// Association cannot be had without it.
class AuthenticatedPeer {
 public:
  [[nodiscard]] const PeerConfig& config() const noexcept { return *config_; }

 private:
  explicit AuthenticatedPeer(const PeerConfig& config) noexcept : config_(&config) {}
  friend std::optional<AuthenticatedPeer> verify_psk(const PeerConfig* claimed, ByteView decoy_psk, crypto::Prf prf,
                                                     ByteView first_message, ByteView nonce, ByteView sk_p,
                                                     const IdPayload& id, const AuthPayload* auth);
  friend std::optional<AuthenticatedPeer> verify_resumed(const PeerConfig* ticket_peer, crypto::Prf prf,
                                                         ByteView message, ByteView sk_p, const AuthPayload* auth);
  const PeerConfig* config_;
};

inline constexpr std::uint8_t auth_method_shared_key = 2;  ///< RFC 7296 §3.8

/// Checks the peer's AUTH payload against the pre-shared key of `claimed`. nullptr (no such peer) takes as long with
/// `decoy_psk`, and fails, so that time does not tell which identities exist. `first_message` is the peer's
/// IKE_SA_INIT, `nonce` ours, `sk_p` its SK_p.
[[nodiscard]] std::optional<AuthenticatedPeer> verify_psk(const PeerConfig* claimed, ByteView decoy_psk,
                                                          crypto::Prf prf, ByteView first_message, ByteView nonce,
                                                          ByteView sk_p, const IdPayload& id, const AuthPayload* auth);

/// The same for an IKE SA made from a ticket (RFC 5723 §5.1): the peer shows that it knows the SK_d of the ticket.
/// `message` is its IKE_SESSION_RESUME. nullptr: the ticket is not about the peer that it says it is.
[[nodiscard]] std::optional<AuthenticatedPeer> verify_resumed(const PeerConfig* ticket_peer, crypto::Prf prf,
                                                              ByteView message, ByteView sk_p, const AuthPayload* auth);

/// An identity as an ID payload, and back. Unknown types give nullopt.
[[nodiscard]] IdPayload id_payload(const Identity& identity, bool initiator);
[[nodiscard]] std::optional<Identity> identity_from(const IdPayload& payload);
/// For people: sanitized, at most 128 characters of it.
[[nodiscard]] std::string identity_text(const IdPayload& payload);

}  // namespace culvert::ike

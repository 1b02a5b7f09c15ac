#include "authentication.h"

#include <sodium.h>

#include "culvert/base/log.h"

namespace culvert::ike {

std::optional<AuthenticatedPeer> verify_psk(const PeerConfig* claimed, ByteView decoy_psk, crypto::Prf prf,
                                            ByteView first_message, ByteView nonce, ByteView sk_p, const IdPayload& id,
                                            const AuthPayload* auth) {
  const Secret* key = claimed ? claimed->auth.peer_psk() : nullptr;
  const bool has_key = key && !key->empty();
  const ByteView psk = has_key ? key->view() : decoy_psk;
  const Bytes expected = psk_auth(prf, psk, first_message, nonce, sk_p, id.body());
  if (!auth || auth->method != auth_method_shared_key || auth->data.size() != expected.size()) return std::nullopt;
  const bool holds = sodium_memcmp(auth->data.data(), expected.data(), expected.size()) == 0;
  if (!holds || !has_key) return std::nullopt;
  return AuthenticatedPeer(*claimed);
}

std::optional<AuthenticatedPeer> verify_resumed(const PeerConfig* ticket_peer, crypto::Prf prf, ByteView message,
                                                ByteView sk_p, const AuthPayload* auth) {
  const Bytes expected = resumed_auth(prf, sk_p, message);
  if (!auth || auth->method != auth_method_shared_key || auth->data.size() != expected.size()) return std::nullopt;
  const bool holds = sodium_memcmp(auth->data.data(), expected.data(), expected.size()) == 0;
  if (!holds || !ticket_peer) return std::nullopt;
  return AuthenticatedPeer(*ticket_peer);
}

IdPayload id_payload(const Identity& identity, bool initiator) {
  IdPayload payload;
  payload.initiator = initiator;
  payload.type = static_cast<std::uint8_t>(identity.type);
  payload.data = identity.data;
  return payload;
}

std::optional<Identity> identity_from(const IdPayload& payload) {
  switch (static_cast<IdType>(payload.type)) {
    case IdType::ipv4_addr:
    case IdType::fqdn:
    case IdType::rfc822_addr:
    case IdType::ipv6_addr:
    case IdType::der_asn1_dn:
    case IdType::key_id:
      return Identity{static_cast<IdType>(payload.type), payload.data};
  }
  return std::nullopt;
}

std::string identity_text(const IdPayload& payload) {
  const std::optional<Identity> identity = identity_from(payload);
  if (!identity) return fmt::format("an identity of unknown type {}", payload.type);
  return log::sanitize(identity->to_string()).substr(0, 128);
}

}  // namespace culvert::ike

#pragma once
#include "culvert/base/ids.h"
#include "culvert/base/secret.h"
#include "culvert/child_sa.h"
#include "culvert/crypto/prf.h"
#include "culvert/ike/proposal.h"

namespace culvert::ike {

/// The seven secrets of an IKE SA, in the order in which prf+ gives them (RFC 7296 §2.14):
///   {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
struct IkeKeys {
  Secret sk_d, sk_ai, sk_ar, sk_ei, sk_er, sk_pi, sk_pr;
};

/// SKEYSEED = prf(Ni | Nr, g^ir)
[[nodiscard]] Secret skeyseed(crypto::Prf prf, ByteView ni, ByteView nr, ByteView g_ir);
/// Of an IKE rekey (§2.18): SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the PRF of the old SA.
[[nodiscard]] Secret skeyseed_rekey(crypto::Prf old_prf, ByteView old_sk_d, ByteView g_ir, ByteView ni, ByteView nr);
/// Of a resumption (RFC 5723 §5.1): SKEYSEED = prf(SK_d (old), "Resumption" | Ni | Nr).
[[nodiscard]] Secret skeyseed_resume(crypto::Prf prf, ByteView old_sk_d, ByteView ni, ByteView nr);
/// AUTH of a resumed IKE SA (RFC 5723 §5.1): prf(SK_px, message). `message` is the sender's own IKE_SESSION_RESUME, as
/// libreswan understands "message octets": the nonces and SPIs are in SK_px.
[[nodiscard]] Bytes resumed_auth(crypto::Prf prf, ByteView sk_p, ByteView message);
/// SK_e has the salt behind the key for AEADs, and SK_a is empty for them (RFC 5282 §7.2).
[[nodiscard]] IkeKeys derive_ike_keys(const IkeSuite& suite, ByteView skeyseed, ByteView ni, ByteView nr, IkeSpi spi_i,
                                      IkeSpi spi_r);

/// KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr), §2.17: initiator→responder first, encryption before integrity. Initiator is
/// the sender of *this* exchange. `g_ir` is empty without PFS.
struct ChildKeys {
  DirectionKeys initiator_to_responder, responder_to_initiator;
};
[[nodiscard]] ChildKeys derive_child_keys(crypto::Prf prf, crypto::CipherSuite suite, ByteView sk_d, ByteView g_ir,
                                          ByteView ni, ByteView nr);

/// AUTH with a shared key, §2.15: prf(prf(psk, "Key Pad for IKEv2"), first_message | peer_nonce | prf(SK_p, id_body)).
/// `first_message` is the signer's own IKE_SA_INIT as last sent, without the non-ESP marker.
[[nodiscard]] Bytes psk_auth(crypto::Prf prf, ByteView psk, ByteView first_message, ByteView peer_nonce, ByteView sk_p,
                             ByteView id_body);

/// What a signature covers, §2.15: first_message | peer_nonce | prf(SK_p, id_body).
[[nodiscard]] Bytes signed_octets(crypto::Prf prf, ByteView first_message, ByteView peer_nonce, ByteView sk_p,
                                  ByteView id_body);

/// NAT_DETECTION_*_IP: SHA-1(SPIi | SPIr | IP | port), §2.23.
[[nodiscard]] Bytes nat_detection_hash(IkeSpi spi_i, IkeSpi spi_r, const Endpoint& endpoint);

}  // namespace culvert::ike

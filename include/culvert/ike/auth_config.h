#pragma once
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "culvert/base/secret.h"
#include "culvert/ike/revocation_feed.h"

namespace culvert::crypto {
class Certificate;
class PrivateKey;
class PublicKey;
class TrustStore;
}  // namespace culvert::crypto

namespace culvert::ike {

// How the two ends of an IKE SA prove who they are. Each end has its own way (RFC 7296 §2.15). Values; what they point
// to is immutable, or swaps its content atomically, since signatures are made and checked on other threads.

/// A key that both ends know.
struct PreSharedKey {
  std::shared_ptr<const Secret> key;
};

/// We sign with the key of a certificate, and send the chain.
struct OwnCertificate {
  std::shared_ptr<const crypto::PrivateKey> key;                  ///< of chain.front()
  std::vector<std::shared_ptr<const crypto::Certificate>> chain;  ///< ours first, then intermediates; without the root
};
/// We sign with a key that the peer knows (RFC 7670); its SubjectPublicKeyInfo is sent.
struct OwnRawKey {
  std::shared_ptr<const crypto::PrivateKey> key;
};
using OwnAuth = std::variant<PreSharedKey, OwnCertificate, OwnRawKey>;

/// The peer has a certificate that `trust` accepts, for the identity that it claims.
struct PeerCertificate {
  std::shared_ptr<const crypto::TrustStore> trust;                ///< CAs
  std::shared_ptr<RevocationFeed> revocation;                     ///< nullptr: revocation is not looked at
  std::vector<std::shared_ptr<const crypto::Certificate>> known;  ///< for a peer that sends none
};
/// The peer has one of these keys (RFC 7670).
struct PeerRawKey {
  std::vector<std::shared_ptr<const crypto::PublicKey>> keys;
};
using PeerAuth = std::variant<PreSharedKey, PeerCertificate, PeerRawKey>;

struct AuthConfig {
  OwnAuth ours;
  PeerAuth theirs;
  /// RSA keys sign by RSASSA-PSS where the peer knows RFC 7427; else by PKCS #1 v1.5, which some peers have only.
  bool rsa_pss = true;
  /// Signatures by RFC 7427 (AUTH method 14) with a peer that knows it. False, for one that gets it wrong: it is not
  /// announced, and keys sign by methods 1 and 9 to 11, RSA with SHA-1.
  bool digital_signatures = true;

  /// The same key both ways.
  [[nodiscard]] static AuthConfig psk(std::shared_ptr<const Secret> key) {
    return {PreSharedKey{key}, PreSharedKey{std::move(key)}};
  }
  /// The pre-shared key that we send a MAC by, and the one that we expect; nullptr: another way.
  [[nodiscard]] const Secret* our_psk() const noexcept { return psk_of(ours); }
  [[nodiscard]] const Secret* peer_psk() const noexcept { return psk_of(theirs); }

 private:
  template <class Auth>
  [[nodiscard]] static const Secret* psk_of(const Auth& auth) noexcept {
    const auto* shared = std::get_if<PreSharedKey>(&auth);
    return shared ? shared->key.get() : nullptr;
  }
};

}  // namespace culvert::ike

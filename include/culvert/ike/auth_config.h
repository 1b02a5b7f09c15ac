#pragma once
#include <memory>
#include <string>
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
namespace culvert::eap {
struct ClientConfig;
struct ServerConfig;
}  // namespace culvert::eap

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
/// We log in by EAP (RFC 7296 §2.16), at a peer that proves who it is before that.
struct OwnEap {
  std::shared_ptr<const eap::ClientConfig> client;
};
using OwnAuth = std::variant<PreSharedKey, OwnCertificate, OwnRawKey, OwnEap>;

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
/// Users of this peer log in by EAP, here or at RADIUS servers.
struct PeerEap {
  std::shared_ptr<const eap::ServerConfig> server;  ///< nullptr: `radius`
  std::string radius;                               ///< name of the servers (AskRadius)
};
using PeerAuth = std::variant<PreSharedKey, PeerCertificate, PeerRawKey, PeerEap>;

struct AuthConfig {
  OwnAuth ours;
  PeerAuth theirs;
  /// RSA keys sign by RSASSA-PSS where the peer knows RFC 7427; else by PKCS #1 v1.5, which some peers have only.
  bool rsa_pss = true;
  /// Signatures by RFC 7427 (AUTH method 14) with a peer that knows it. False, for one that gets it wrong: it is not
  /// announced, and keys sign by methods 1 and 9 to 11, RSA with SHA-1.
  bool digital_signatures = true;
  /// With EAP: the gateway need prove nothing but what the EAP method proves (RFC 5998), which must be one that
  /// authenticates both ends and gives nothing to guess at: EAP-TLS, or what the RADIUS servers are known to do.
  bool eap_only = false;

  /// The same key both ways.
  [[nodiscard]] static AuthConfig psk(std::shared_ptr<const Secret> key) {
    return {PreSharedKey{key}, PreSharedKey{std::move(key)}};
  }
  /// The pre-shared key that we send a MAC by, and the one that we expect; nullptr: another way.
  [[nodiscard]] const Secret* our_psk() const noexcept { return psk_of(ours); }
  [[nodiscard]] const Secret* peer_psk() const noexcept { return psk_of(theirs); }
  [[nodiscard]] const OwnEap* our_eap() const noexcept { return std::get_if<OwnEap>(&ours); }
  [[nodiscard]] const PeerEap* peer_eap() const noexcept { return std::get_if<PeerEap>(&theirs); }

 private:
  template <class Auth>
  [[nodiscard]] static const Secret* psk_of(const Auth& auth) noexcept {
    const auto* shared = std::get_if<PreSharedKey>(&auth);
    return shared ? shared->key.get() : nullptr;
  }
};

}  // namespace culvert::ike

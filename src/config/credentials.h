#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/config/certificates.h"
#include "culvert/config/secret_file.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/private_key.h"
#include "culvert/crypto/public_key.h"
#include "culvert/eap/tls.h"
#include "culvert/eap/users.h"
#include "culvert/ike/auth_config.h"
#include "culvert/ike/identity.h"
#include "findings.h"
#include "raw.h"

namespace culvert::config {

/// What an `auth` table stands for.
struct OwnCredential {
  ike::OwnAuth auth;
  SignatureChoice signature = SignatureChoice::rsa_pss;
  std::optional<ike::OwnCertificate> certificate;  ///< of EAP-TLS
  [[nodiscard]] bool is_psk() const noexcept { return std::holds_alternative<ike::PreSharedKey>(auth); }
};

/// Keys, certificates and CRLs that the tables `auth` and `peer_auth` name. What several peers name alike is loaded
/// once, and fetched once. Reports every mistake where it stands. Lives for one parse; reads the wall clock once, to
/// warn of what has expired.
class Credentials {
 public:
  Credentials(std::filesystem::path folder, Findings& findings);

  /// `key` is the table's dotted name. nullopt after a message.
  [[nodiscard]] std::optional<OwnCredential> own(const RawAuth& raw, const std::string& key);
  [[nodiscard]] std::optional<ike::PeerAuth> peer(const RawPeerAuth& raw, const std::string& key);

  /// peer() with `eap`: needs to know our own credential, and the names of [radius.NAME].
  [[nodiscard]] std::optional<ike::PeerAuth> peer_eap(const RawPeerAuth& raw, const std::string& key,
                                                      const std::optional<OwnCredential>& own,
                                                      const std::vector<std::string>& radius);
  /// Of EAP-TLS, once the gateway's identity is known. False after a message.
  [[nodiscard]] bool finish_eap(const RawAuth& raw, const std::string& key, const ike::Identity& gateway,
                                const ike::PeerAuth& theirs, OwnCredential& own);
  /// One line of a secret file. nullptr after a message.
  [[nodiscard]] std::shared_ptr<const Secret> secret_line(const std::string& name, Position at, const std::string& key);
  /// The file of users: where it is, and what stands in it. nullptr after a message.
  [[nodiscard]] std::shared_ptr<const eap::UserTable> users(const Field<std::string>& file, const std::string& key,
                                                            std::optional<FileName>& found);

  /// A key is in a token: its library goes on opening what it needs.
  [[nodiscard]] bool uses_token() const noexcept { return uses_token_; }
  [[nodiscard]] std::vector<RevocationSources> take_revocation() { return std::move(revocation_); }
  [[nodiscard]] std::vector<WatchedCertificate> take_certificates() { return std::move(certificates_); }

 private:
  bool uses_token_ = false;
  using CertificateList = std::vector<std::shared_ptr<const crypto::Certificate>>;

  // credentials_own.cpp
  [[nodiscard]] std::shared_ptr<const Secret> psk(const Field<std::string>& file, const std::string& key);
  [[nodiscard]] std::shared_ptr<const crypto::PrivateKey> private_key(const RawAuth& raw, const std::string& key);
  [[nodiscard]] std::optional<Secret> passphrase(const RawAuth& raw, const std::string& key);
  [[nodiscard]] std::optional<OwnCredential> own_certificate(const RawAuth& raw, const std::string& key);
  void check_fields(const RawAuth& raw, const std::string& key);

  // credentials_eap.cpp
  void check_eap_fields(const RawAuth& raw, const std::string& key);
  [[nodiscard]] std::optional<OwnCredential> own_eap(const RawAuth& raw, const std::string& key);
  [[nodiscard]] std::optional<ike::PeerAuth> eap_by_radius(const RawPeerAuth& raw, const std::string& key,
                                                           const std::vector<std::string>& names);
  static void watch_revocation(eap::TlsOptions& options, const ike::PeerCertificate& expected);

  // credentials_peer.cpp
  [[nodiscard]] std::optional<ike::PeerAuth> peer_keys(const RawPeerAuth& raw, const std::string& key);
  [[nodiscard]] std::optional<ike::PeerAuth> peer_certificate(const RawPeerAuth& raw, const std::string& key);
  [[nodiscard]] std::shared_ptr<ike::RevocationFeed> revocation(const RawPeerAuth& raw, const std::string& key,
                                                                const crypto::TrustStore& trust);
  [[nodiscard]] bool add_crl(const Located<std::string>& source, const std::string& key, RevocationSources& into);

  // credentials.cpp
  [[nodiscard]] std::optional<FileName> find(const std::string& name, Position at, const std::string& key);
  /// The certificates of one file, or of all files of a folder. nullopt after a message.
  [[nodiscard]] std::optional<std::vector<crypto::Certificate>> certificates(const Located<std::string>& source,
                                                                             const std::string& key);
  [[nodiscard]] std::optional<std::vector<crypto::Certificate>> certificates(const List<std::string>& sources,
                                                                             const std::string& key);
  /// To be announced before it expires; warns at once when that is near.
  void watch(const crypto::Certificate& certificate, Position at, const std::string& key);

  std::filesystem::path folder_;
  Findings& findings_;
  crypto::WallTime now_;
  std::map<std::string, std::shared_ptr<const crypto::PrivateKey>> keys_;
  std::map<std::string, ike::PeerAuth> peers_;
  std::vector<RevocationSources> revocation_;
  std::vector<WatchedCertificate> certificates_;
};

/// Our identity when none is written: the first domain name of the certificate, else its e-mail or address, else its
/// subject; of a raw key "keyid:" and SHA-256 of its SubjectPublicKeyInfo. nullopt for a pre-shared key.
[[nodiscard]] std::optional<ike::Identity> identity_of(const ike::OwnAuth& auth);
[[nodiscard]] ike::Identity identity_of(const crypto::PublicKey& key);
/// Whether peers will find this identity in the certificate (RFC 4945 §3.1).
[[nodiscard]] bool asserts(const crypto::Certificate& certificate, const ike::Identity& id);
/// "gw.example.net, 192.0.2.1 or CN=gw", for messages.
[[nodiscard]] std::string names_in(const crypto::Certificate& certificate);

}  // namespace culvert::config

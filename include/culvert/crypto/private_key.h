#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"
#include "culvert/crypto/public_key.h"
#include "culvert/crypto/signature_scheme.h"

namespace culvert::crypto {

/// What `generate` makes. `rsa_bits` counts for RSA alone: 2048, 3072 or 4096.
struct KeySpec {
  KeyType type = KeyType::ecdsa_p256;
  unsigned rsa_bits = 3072;
};

/// A key that signs, in memory or in a PKCS#11 token. A value: copies share one key, which the library wipes with the
/// last of them. All const functions are thread-safe: any number of threads may sign at once.
class PrivateKey {
 public:
  /// PEM: PKCS#8 (plain or encrypted), or the traditional RSA and EC forms (plain or encrypted); at most 64 KiB, the
  /// first key counts. `passphrase` may be empty. Errc::invalid: too weak, or encrypted and no passphrase given (words
  /// say so); Errc::authentication: wrong passphrase; Errc::malformed; Errc::unsupported.
  [[nodiscard]] static Result<PrivateKey> from_pem(ByteView pem, const Secret& passphrase);
  /// A key in a token, by its URI (RFC 7512): "pkcs11:token=culvert;object=gw;type=private". `module` is the path of
  /// the token's PKCS#11 module, empty: p11-kit's. `pin` may be empty; a URI that carries a PIN is refused, for secrets
  /// stand in files. Needs Debian's libengine-pkcs11-openssl: Errc::unsupported says so when it is missing. Blocks on
  /// the token.
  [[nodiscard]] static Result<PrivateKey> from_pkcs11(std::string_view uri, const std::filesystem::path& module,
                                                      const Secret& pin);
  [[nodiscard]] static Result<PrivateKey> generate(KeySpec spec);

  [[nodiscard]] const PublicKey& public_key() const noexcept { return public_; }
  /// PKCS#8 PEM, encrypted with AES-256 (PBES2, PBKDF2 with SHA-256) unless `passphrase` is empty. Errc::unsupported
  /// for a key in a token.
  [[nodiscard]] Result<Secret> to_pem(const Secret& passphrase) const;

  /// AUTH data of method 14 for `message` (the octets of RFC 7296 §2.15): length | AlgorithmIdentifier | signature
  /// (RFC 7427 §3, appendix A). Errc::invalid: the scheme does not fit the key. Takes 30 µs (Ed25519) to several ms
  /// (RSA 4096, tokens).
  [[nodiscard]] Result<Bytes> sign_digital_signature(SignatureScheme scheme, ByteView message) const;
  /// AUTH data of the key's classic method: RSASSA-PKCS1-v1_5 with `rsa_hash` for method 1 (RFC 7296 §3.8: SHA-1 is the
  /// default, and the only one that strongSwan takes), r | s for 9 to 11 (RFC 4754 §7).
  [[nodiscard]] Result<Bytes> sign_classic(ByteView message, HashAlgorithm rsa_hash = HashAlgorithm::sha1) const;

  [[nodiscard]] evp_pkey_st* library_key() const noexcept { return key_.get(); }

 private:
  PrivateKey(std::shared_ptr<evp_pkey_st> key, PublicKey public_key, bool in_token)
      : key_(std::move(key)), public_(std::move(public_key)), in_token_(in_token) {}
  static Result<PrivateKey> from_library(std::shared_ptr<evp_pkey_st> key, bool in_token);
  std::shared_ptr<evp_pkey_st> key_;
  PublicKey public_;
  bool in_token_;
};

}  // namespace culvert::crypto

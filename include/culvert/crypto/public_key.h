#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/crypto/signature_scheme.h"

struct evp_pkey_st;

namespace culvert::crypto {

/// A public key that we are willing to rely on: RSA of 2048 to 8192 bits with an odd exponent of 65537 or more, ECDSA
/// on P-256, P-384 or P-521, Ed25519. A value: copies share one immutable key; any thread.
class PublicKey {
 public:
  /// A SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7; the data of a Raw Public Key CERT payload, RFC 7670), at most 4
  /// KiB. Errc::malformed: not one; Errc::unsupported: another algorithm or curve; Errc::invalid: too weak, in words.
  [[nodiscard]] static Result<PublicKey> from_spki(ByteView der);
  /// Base64 of the SubjectPublicKeyInfo or of the 32 bytes of an Ed25519 key, on one or several lines, or a PEM "PUBLIC
  /// KEY". Errors as above.
  [[nodiscard]] static Result<PublicKey> from_text(std::string_view text);
  /// From a key that the library has read, and its SubjectPublicKeyInfo in DER; the same checks.
  [[nodiscard]] static Result<PublicKey> from_library(std::shared_ptr<evp_pkey_st> key, Bytes spki);

  [[nodiscard]] KeyType type() const noexcept { return type_; }
  [[nodiscard]] unsigned bits() const noexcept { return bits_; }  ///< of the modulus or the curve
  [[nodiscard]] const Bytes& spki() const noexcept { return *spki_; }
  [[nodiscard]] std::string text() const;         ///< base64 of spki() in one line, as configured
  [[nodiscard]] std::string fingerprint() const;  ///< "SHA256:…" as ssh writes it: base64 without padding, of spki()
  [[nodiscard]] std::string description() const;  ///< "RSA 3072", "ECDSA P-256", for people
  /// SHA-1 of spki(), 20 bytes: how CERTREQ names a CA (RFC 7296 §3.7).
  [[nodiscard]] Bytes spki_sha1() const;
  /// SHA-1 of the key's bits alone, 20 bytes: the customary SubjectKeyIdentifier (RFC 5280 §4.2.1.2 method 1).
  [[nodiscard]] Bytes key_bits_sha1() const;

  /// AUTH method 14 (RFC 7427 §3, RFC 8420): `auth_data` is length | AlgorithmIdentifier | signature. The algorithm
  /// must fit the key, its hash must be in `announced` (what we sent to this peer), SHA-1 is never taken. `message` is
  /// the octets of RFC 7296 §2.15. Gives what was used. Errc::malformed, Errc::unsupported (algorithm or hash), or
  /// Errc::authentication when the signature does not hold. Any thread.
  [[nodiscard]] Result<SignatureScheme> verify_digital_signature(ByteView auth_data, ByteView message,
                                                                 HashSet announced) const;
  /// AUTH methods 1, 9, 10 and 11. For method 1 any of SHA-1, SHA2-256, -384 and -512 is taken (RFC 7296 §3.8 names no
  /// hash but SHA-1 as the default; stock peers send that), SHA-1 only with `allow_sha1`.
  [[nodiscard]] Result<SignatureScheme> verify_classic(AuthMethod method, ByteView signature, ByteView message,
                                                       bool allow_sha1 = true) const;

  [[nodiscard]] evp_pkey_st* library_key() const noexcept { return key_.get(); }
  /// The same key, however it was written.
  friend bool operator==(const PublicKey& a, const PublicKey& b) noexcept;

 private:
  PublicKey() = default;
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<const Bytes> spki_;
  KeyType type_ = KeyType::rsa;
  unsigned bits_ = 0;
};

}  // namespace culvert::crypto

#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"

namespace culvert::crypto {

/// IANA "IKEv2 Hash Algorithms" (RFC 7427 §7): what a SIGNATURE_HASH_ALGORITHMS notification lists.
enum class HashAlgorithm : std::uint16_t {
  sha1 = 1,  ///< only for AUTH method 1 (RFC 7296 §3.8), never in method 14 (RFC 8247 §4.2)
  sha2_256 = 2,
  sha2_384 = 3,
  sha2_512 = 4,
  identity = 5,  ///< Ed25519 hashes by itself (RFC 8420 §2)
};

[[nodiscard]] std::string_view hash_name(HashAlgorithm hash) noexcept;  ///< "SHA2-256", for people

/// A set of them, a value.
class HashSet {
 public:
  /// What we announce and accept in AUTH method 14: SHA2-256, -384, -512 and Identity.
  [[nodiscard]] static HashSet ours() noexcept;
  /// The data of a SIGNATURE_HASH_ALGORITHMS notification (RFC 7427 §4): 16-bit numbers. Unknown ones and SHA-1 are
  /// left out, as are a trailing odd byte and all beyond the first 64.
  [[nodiscard]] static HashSet from_notify(ByteView data) noexcept;
  [[nodiscard]] Bytes notify_data() const;

  void add(HashAlgorithm hash) noexcept { bits_ |= bit(hash); }
  [[nodiscard]] bool contains(HashAlgorithm hash) const noexcept { return (bits_ & bit(hash)) != 0; }
  [[nodiscard]] bool empty() const noexcept { return bits_ == 0; }
  friend bool operator==(const HashSet&, const HashSet&) = default;

 private:
  static constexpr std::uint8_t bit(HashAlgorithm hash) noexcept {
    return static_cast<std::uint8_t>(1U << static_cast<unsigned>(hash));
  }
  std::uint8_t bits_ = 0;
};

enum class KeyType : std::uint8_t {
  rsa,
  rsa_pss,  ///< an RSA key that may sign with PSS alone (id-RSASSA-PSS in its SubjectPublicKeyInfo, RFC 4055 §1.2)
  ecdsa_p256,
  ecdsa_p384,
  ecdsa_p521,
  ed25519,
};

[[nodiscard]] std::string_view key_type_name(KeyType type) noexcept;  ///< "ECDSA P-256", for people

enum class SignatureAlgorithm : std::uint8_t { rsa_pkcs1, rsa_pss, ecdsa, ed25519 };

/// A way to sign. RSA-PSS uses MGF1 with the same hash and a salt as long as it (RFC 7427 appendix A.4).
struct SignatureScheme {
  SignatureAlgorithm algorithm = SignatureAlgorithm::ecdsa;
  HashAlgorithm hash = HashAlgorithm::sha2_256;

  [[nodiscard]] std::string name() const;  ///< "RSA-PSS with SHA2-256", for people
  friend bool operator==(const SignatureScheme&, const SignatureScheme&) = default;
};

/// RSA with either padding: some peers and tokens cannot do PSS.
enum class RsaPadding : std::uint8_t { pss, pkcs1 };

/// How a key of this type signs in AUTH method 14 for a peer that announced `announced`: the hash that fits the key's
/// strength where the peer knows it, else the strongest that it knows. nullopt: it knows none that the key can use.
/// RFC 8247 §4.2: RSASSA-PSS is the one that everybody must have; `padding` is ignored where the key allows one only.
[[nodiscard]] std::optional<SignatureScheme> choose_scheme(KeyType type, unsigned bits, HashSet announced,
                                                           RsaPadding padding = RsaPadding::pss) noexcept;

/// AUTH methods of RFC 7296 §3.8, RFC 4754 and RFC 7427.
enum class AuthMethod : std::uint8_t {
  rsa_signature = 1,
  ecdsa_p256 = 9,
  ecdsa_p384 = 10,
  ecdsa_p521 = 11,
  digital_signature = 14,
};

/// The classic method of a key (without RFC 7427): 1, 9, 10 or 11. nullopt: Ed25519 and PSS-only keys have none.
[[nodiscard]] std::optional<AuthMethod> classic_method(KeyType type) noexcept;

}  // namespace culvert::crypto

#include "culvert/crypto/signature_scheme.h"

#include <array>

namespace culvert::crypto {
namespace {

constexpr std::array hashes{HashAlgorithm::sha1, HashAlgorithm::sha2_256, HashAlgorithm::sha2_384,
                            HashAlgorithm::sha2_512, HashAlgorithm::identity};

// The order in which a key looks for a hash that the peer knows: the one of its own strength (SP 800-57 part 1 §5.6),
// then stronger ones, then weaker ones.
std::array<HashAlgorithm, 3> preferred_hashes(KeyType type, unsigned bits) noexcept {
  using enum HashAlgorithm;
  const bool is_rsa = type == KeyType::rsa || type == KeyType::rsa_pss;
  if (type == KeyType::ecdsa_p521 || (is_rsa && bits > 7680)) return {sha2_512, sha2_384, sha2_256};
  if (type == KeyType::ecdsa_p384 || (is_rsa && bits > 3072)) return {sha2_384, sha2_512, sha2_256};
  return {sha2_256, sha2_384, sha2_512};
}

SignatureAlgorithm algorithm_of(KeyType type, RsaPadding padding) noexcept {
  switch (type) {
    case KeyType::rsa:
      return padding == RsaPadding::pss ? SignatureAlgorithm::rsa_pss : SignatureAlgorithm::rsa_pkcs1;
    case KeyType::rsa_pss:
      return SignatureAlgorithm::rsa_pss;
    case KeyType::ed25519:
      return SignatureAlgorithm::ed25519;
    default:
      return SignatureAlgorithm::ecdsa;
  }
}

}  // namespace

std::string_view hash_name(HashAlgorithm hash) noexcept {
  switch (hash) {
    case HashAlgorithm::sha1:
      return "SHA-1";
    case HashAlgorithm::sha2_256:
      return "SHA2-256";
    case HashAlgorithm::sha2_384:
      return "SHA2-384";
    case HashAlgorithm::sha2_512:
      return "SHA2-512";
    case HashAlgorithm::identity:
      return "Identity";
  }
  return "unknown hash";
}

HashSet HashSet::ours() noexcept {
  HashSet set;
  for (const HashAlgorithm hash : hashes) {
    if (hash != HashAlgorithm::sha1) set.add(hash);
  }
  return set;
}

HashSet HashSet::from_notify(ByteView data) noexcept {
  constexpr int max_entries = 64;
  HashSet set;
  Reader reader(data);
  for (int i = 0; i < max_entries; ++i) {
    const auto number = reader.u16();
    if (!number) break;
    // RFC 8247 §4.2: SHA-1 MUST NOT be used.
    if (*number > static_cast<std::uint16_t>(HashAlgorithm::sha1) &&
        *number <= static_cast<std::uint16_t>(HashAlgorithm::identity))
      set.add(static_cast<HashAlgorithm>(*number));
  }
  return set;
}

Bytes HashSet::notify_data() const {
  Bytes data;
  Writer writer(data);
  for (const HashAlgorithm hash : hashes) {
    if (contains(hash)) writer.u16(static_cast<std::uint16_t>(hash));
  }
  return data;
}

std::string_view key_type_name(KeyType type) noexcept {
  switch (type) {
    case KeyType::rsa:
      return "RSA";
    case KeyType::rsa_pss:
      return "RSA-PSS";
    case KeyType::ecdsa_p256:
      return "ECDSA P-256";
    case KeyType::ecdsa_p384:
      return "ECDSA P-384";
    case KeyType::ecdsa_p521:
      return "ECDSA P-521";
    case KeyType::ed25519:
      return "Ed25519";
  }
  return "unknown key type";
}

std::string SignatureScheme::name() const {
  const std::string with_hash = " with " + std::string(hash_name(hash));
  switch (algorithm) {
    case SignatureAlgorithm::rsa_pkcs1:
      return "RSA" + with_hash;
    case SignatureAlgorithm::rsa_pss:
      return "RSA-PSS" + with_hash;
    case SignatureAlgorithm::ecdsa:
      return "ECDSA" + with_hash;
    case SignatureAlgorithm::ed25519:
      return "Ed25519";
  }
  return "unknown signature";
}

std::optional<SignatureScheme> choose_scheme(KeyType type, unsigned bits, HashSet announced,
                                             RsaPadding padding) noexcept {
  const SignatureAlgorithm algorithm = algorithm_of(type, padding);
  if (algorithm == SignatureAlgorithm::ed25519) {
    // RFC 8420 §2: only for peers that announced Identity.
    if (!announced.contains(HashAlgorithm::identity)) return std::nullopt;
    return SignatureScheme{algorithm, HashAlgorithm::identity};
  }
  for (const HashAlgorithm hash : preferred_hashes(type, bits)) {
    if (announced.contains(hash)) return SignatureScheme{algorithm, hash};
  }
  return std::nullopt;
}

std::optional<AuthMethod> classic_method(KeyType type) noexcept {
  switch (type) {
    case KeyType::rsa:
      return AuthMethod::rsa_signature;
    case KeyType::ecdsa_p256:
      return AuthMethod::ecdsa_p256;
    case KeyType::ecdsa_p384:
      return AuthMethod::ecdsa_p384;
    case KeyType::ecdsa_p521:
      return AuthMethod::ecdsa_p521;
    case KeyType::rsa_pss:
    case KeyType::ed25519:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace culvert::crypto

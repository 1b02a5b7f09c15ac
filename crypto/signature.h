#pragma once
#include <openssl/evp.h>

#include "algorithm_identifier.h"
#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "openssl_handle.h"

namespace culvert::crypto {

/// A signature in the form that OpenSSL gives it: ECDSA in DER. Errc::internal with the library's reason.
[[nodiscard]] Result<Bytes> sign(EVP_PKEY* key, const SignatureParameters& how, ByteView message);
/// Errc::authentication when it does not hold.
[[nodiscard]] Result<void> verify(EVP_PKEY* key, const SignatureParameters& how, ByteView signature, ByteView message);

/// ECDSA-Sig-Value (RFC 3279 §2.2.3) to r | s of `len` bytes each (RFC 4754 §7), and back. nullopt: not one, or too
/// long.
[[nodiscard]] std::optional<Bytes> ecdsa_to_fixed(ByteView der, std::size_t len);
[[nodiscard]] std::optional<Bytes> ecdsa_to_der(ByteView fixed);

/// The algorithm is one that a key of this type signs with.
[[nodiscard]] bool fits(KeyType type, SignatureAlgorithm algorithm) noexcept;

/// What method 9, 10 or 11 means (RFC 4754 §7).
struct ClassicEcdsa {
  KeyType type;
  HashAlgorithm hash;
  std::size_t number_len;  ///< bytes of r and of s
};
[[nodiscard]] std::optional<ClassicEcdsa> classic_ecdsa(AuthMethod method) noexcept;

}  // namespace culvert::crypto

#pragma once
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/crypto/signature_scheme.h"

namespace culvert::crypto {

/// What an AlgorithmIdentifier says; `salt_len` (bytes) counts for RSA-PSS alone.
struct SignatureParameters {
  SignatureScheme scheme;
  int salt_len = 0;
};

/// AlgorithmIdentifier in DER, RFC 7427 appendix A and RFC 8420. Empty for what has none (SHA-1).
[[nodiscard]] Bytes encode_algorithm_identifier(SignatureScheme scheme);
/// One AlgorithmIdentifier and nothing behind it. Errc::malformed: not strict DER, or parameters that the algorithm
/// does not have; Errc::unsupported: an algorithm that we do not take, SHA-1 in any form among them.
[[nodiscard]] Result<SignatureParameters> parse_algorithm_identifier(ByteView der);

/// Bytes of a hash's output; 0 for Identity.
[[nodiscard]] int hash_len(HashAlgorithm hash) noexcept;

}  // namespace culvert::crypto

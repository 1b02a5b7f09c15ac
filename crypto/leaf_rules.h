#pragma once
#include <optional>

#include "culvert/crypto/trust.h"

namespace culvert::crypto {

/// What a certificate anywhere in a chain has to keep to beyond path validation: extensions that can be read, and a key
/// that we rely on. nullopt: it does.
[[nodiscard]] std::optional<TrustFailure> check_any_rules(const Certificate& certificate);
/// What RFC 4945 §5.1.3 wants of the certificate that signs in IKE: key usage and extended key usage.
[[nodiscard]] std::optional<TrustFailure> check_leaf_rules(const Certificate& leaf, ExtendedKeyUsagePolicy policy);

}  // namespace culvert::crypto

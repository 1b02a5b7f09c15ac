#pragma once
#include <span>

#include "aead_implementation.h"

namespace culvert::crypto {

/// The implementations of AES-GCM for vector units that were built, whether this CPU has them or not, the best first.
/// None on processors that there is no kernel for (crypto/kernels.cmake).
[[nodiscard]] std::span<const AeadImplementation* const> gcm_aeads() noexcept;

}  // namespace culvert::crypto

#pragma once
#include <array>
#include <cstdint>

#include "culvert/base/bytes.h"

namespace culvert::eap {

/// MD4 (RFC 1320), for nothing but the password hash of MS-CHAP (RFC 2759 §8.3): OpenSSL 3 has it in its legacy
/// provider alone, which need not be installed. Broken as a hash, and never used as one elsewhere.
[[nodiscard]] std::array<std::uint8_t, 16> md4(ByteView message);

}  // namespace culvert::eap

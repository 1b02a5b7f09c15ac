#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/secret.h"

namespace culvert::crypto {

/// HMAC-SHA1 is for Android 11, which has nothing better (RFC 8247 §2.2: MUST-); never in a default proposal.
enum class Prf : std::uint8_t { hmac_sha2_256, hmac_sha2_384, hmac_sha2_512, hmac_sha1 };

[[nodiscard]] std::size_t prf_len(Prf prf) noexcept;  ///< output and preferred key length, bytes
[[nodiscard]] std::string_view prf_name(Prf prf) noexcept;

/// prf(key, part | part | …), RFC 7296 §2.13.
[[nodiscard]] Secret prf(Prf algorithm, ByteView key, std::initializer_list<ByteView> parts);
/// prf+ of RFC 7296 §2.13; `len` up to 255 × prf_len; empty beyond that (the RFC defines no more).
[[nodiscard]] Secret prf_plus(Prf algorithm, ByteView key, std::initializer_list<ByteView> seed, std::size_t len);

/// SHA-1 of the parts, for NAT detection only (RFC 7296 §2.23): 20 bytes.
[[nodiscard]] Bytes sha1(std::initializer_list<ByteView> parts);
/// SHA-256 of the parts: 32 bytes.
[[nodiscard]] Bytes sha256(std::initializer_list<ByteView> parts);

}  // namespace culvert::crypto

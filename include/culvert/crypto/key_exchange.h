#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"

namespace culvert::crypto {

/// Values are the IANA numbers of Transform Type 4.
enum class KeMethod : std::uint16_t {
  modp2048 = 14,   ///< RFC 3526
  modp3072 = 15,
  modp4096 = 16,
  ecp256 = 19,     ///< RFC 5903
  ecp384 = 20,
  ecp521 = 21,
  x25519 = 31,     ///< RFC 8031
};

[[nodiscard]] std::size_t public_value_len(KeMethod method) noexcept;  ///< bytes of the KE payload's data
[[nodiscard]] std::string_view ke_method_name(KeMethod method) noexcept;

/// One ephemeral key pair. Owned by one exchange, control thread.
class KeyExchange {
 public:
  [[nodiscard]] static Result<std::unique_ptr<KeyExchange>> generate(KeMethod method);
  /// From a given private value, for published answers: x25519 32 bytes; ECP and MODP big-endian.
  [[nodiscard]] static Result<std::unique_ptr<KeyExchange>> from_private(KeMethod method, ByteView private_value);
  virtual ~KeyExchange() = default;

  [[nodiscard]] virtual KeMethod method() const noexcept = 0;
  [[nodiscard]] virtual ByteView public_value() const noexcept = 0;
  /// ECP: x coordinate only (RFC 5903 §9). MODP: zero-padded to the group's length (RFC 7296 §2.14).
  /// Errc::invalid: wrong length, point not on the curve, value out of 2…p-2, or an all-zero x25519 result (RFC 7748 §6.1).
  [[nodiscard]] virtual Result<Secret> shared_secret(ByteView peer_public) const = 0;
};

}  // namespace culvert::crypto

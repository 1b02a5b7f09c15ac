#pragma once
#include <memory>

#include "culvert/base/bytes.h"
#include "culvert/base/ids.h"
#include "culvert/base/secret.h"
#include "message.h"

namespace culvert::ike {

/// Tokens of quick crash detection, RFC 6290 §5.1: HMAC-SHA-256(secret, "culvert QCD" | SPIi | SPIr), 32 bytes. Whoever
/// knows the secret can make the token of any of its IKE SAs again when it has forgotten them. Immutable; any thread.
class CrashTokens {
 public:
  /// `secret` outlives a crash; nullptr: this gateway makes none.
  explicit CrashTokens(std::shared_ptr<const Secret> secret) : secret_(std::move(secret)) {}

  [[nodiscard]] bool makes_tokens() const noexcept { return secret_ && !secret_->empty(); }
  /// QCD_TOKEN. Only while makes_tokens().
  [[nodiscard]] NotifyPayload token(IkeSpi spi_i, IkeSpi spi_r) const;

 private:
  std::shared_ptr<const Secret> secret_;
};

}  // namespace culvert::ike

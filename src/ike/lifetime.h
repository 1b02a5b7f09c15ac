#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/time.h"
#include "culvert/crypto/random.h"

namespace culvert::ike {

/// When an SA is to be rekeyed (soft) and when it must be gone (hard). Unset: never.
struct Lifetime {
  std::optional<TimePoint> soft, hard;
};

/// `soft` less a random part of up to `jitter` (0…0.5) of it, so that two ends with the same configuration rarely rekey
/// at once. The hard time is `soft` + 10 %, at least 30 s more, at most twice `soft`. A `soft` of 0 never ends.
[[nodiscard]] Lifetime lifetime_from(TimePoint now, Duration soft, double jitter, crypto::RandomSource& random);

/// The same for bytes or packets; 0 is no limit.
struct VolumeLimit {
  std::uint64_t soft = 0, hard = 0;
};
[[nodiscard]] VolumeLimit volume_limit(std::uint64_t soft, double jitter, crypto::RandomSource& random);

/// Uniform in [base * low, base * high].
[[nodiscard]] Duration spread(Duration base, double low, double high, crypto::RandomSource& random);

/// Waiting times that double from `first` up to `cap`, each spread by ± 25 %, so that many gateways do not return in
/// step.
class Backoff {
 public:
  Backoff(Duration first, Duration cap) : first_(first), cap_(cap) {}
  [[nodiscard]] Duration next(crypto::RandomSource& random);
  void reset() noexcept { failures_ = 0; }
  [[nodiscard]] int failures() const noexcept { return failures_; }

 private:
  Duration first_, cap_;
  int failures_ = 0;
};

}  // namespace culvert::ike

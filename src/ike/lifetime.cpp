#include "lifetime.h"

#include <algorithm>
#include <chrono>

namespace culvert::ike {
namespace {

/// Uniform in [0, 1).
double fraction(crypto::RandomSource& random) {
  constexpr std::uint64_t steps = 1U << 24;
  return static_cast<double>(random.below(steps)) / static_cast<double>(steps);
}

double clamp_jitter(double jitter) {
  return std::clamp(jitter, 0.0, 0.5);
}

Duration scale(Duration base, double factor) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, Duration::period>(base) * factor);
}

}  // namespace

Lifetime lifetime_from(TimePoint now, Duration soft, double jitter, crypto::RandomSource& random) {
  if (soft <= Duration::zero()) return {};
  const Duration early = scale(soft, clamp_jitter(jitter) * fraction(random));
  const Duration grace = std::max<Duration>(soft / 10, std::chrono::seconds(30));
  return {now + soft - early, now + std::min(soft + grace, soft * 2)};
}

VolumeLimit volume_limit(std::uint64_t soft, double jitter, crypto::RandomSource& random) {
  if (soft == 0) return {};
  const auto early = static_cast<std::uint64_t>(static_cast<double>(soft) * clamp_jitter(jitter) * fraction(random));
  const std::uint64_t grace = std::max<std::uint64_t>(soft / 10, 1);
  const std::uint64_t hard = soft > UINT64_MAX - grace ? UINT64_MAX : soft + grace;
  return {std::max<std::uint64_t>(soft - early, 1), hard};
}

Duration spread(Duration base, double low, double high, crypto::RandomSource& random) {
  return scale(base, low + (high - low) * fraction(random));
}

Duration Backoff::next(crypto::RandomSource& random) {
  const int doublings = std::min(failures_, 20);
  failures_ = std::min(failures_ + 1, 1000);
  const Duration base = std::min(cap_, doublings >= 20 ? cap_ : first_ * (1 << doublings));
  return std::min(cap_, spread(base, 0.75, 1.25, random));
}

}  // namespace culvert::ike

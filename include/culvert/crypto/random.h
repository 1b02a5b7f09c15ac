#pragma once
#include <cstdint>

#include "culvert/base/bytes.h"

namespace culvert::crypto {

/// Where protocol code takes its nonces, SPIs and jitter from, so that a test can replay a seed. Keys never come from here.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual void fill(MutableByteView out) = 0;
  [[nodiscard]] std::uint32_t u32();
  [[nodiscard]] std::uint64_t u64();
  /// Uniform in [0, bound), bound > 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound);
};

/// The system's generator (libsodium). Thread-safe.
[[nodiscard]] RandomSource& system_random() noexcept;

}  // namespace culvert::crypto

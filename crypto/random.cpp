#include "culvert/crypto/random.h"

#include <sodium.h>

#include <array>
#include <cstdlib>

namespace culvert::crypto {
namespace {

class SystemRandom final : public RandomSource {
 public:
  // Runs before any packet is seen. libsodium fails here only when the kernel has no random device at all: nothing may
  // go on then.
  SystemRandom() {
    if (sodium_init() < 0) std::abort();
  }
  void fill(MutableByteView out) override { randombytes_buf(out.data(), out.size()); }
};

}  // namespace

std::uint32_t RandomSource::u32() {
  std::array<std::uint8_t, 4> bytes;
  fill(bytes);
  return load_be<std::uint32_t>(bytes.data());
}

std::uint64_t RandomSource::u64() {
  std::array<std::uint8_t, 8> bytes;
  fill(bytes);
  return load_be<std::uint64_t>(bytes.data());
}

std::uint64_t RandomSource::below(std::uint64_t bound) {
  // The 2^64 mod bound lowest values are thrown away; the rest splits evenly.
  const std::uint64_t first = (0 - bound) % bound;
  std::uint64_t value = u64();
  while (value < first) value = u64();
  return value % bound;
}

RandomSource& system_random() noexcept {
  static SystemRandom random;
  return random;
}

}  // namespace culvert::crypto

#pragma once
#include "vector_128.h"

// Two lanes of 128 bits: AVX2, VAES, VPCLMULQDQ, nothing of AVX-512. The operations are those of vector_128.h.
namespace culvert::crypto {
namespace {

struct Vector256 {
  using Reg = __m256i;
  static constexpr std::size_t lanes = 2;
  static constexpr int num_registers = 16;
  static constexpr std::size_t len = 32;
  static constexpr int max_step = 8;
  static constexpr bool rolled = false;
  static constexpr bool has_rows = false;

  [[gnu::always_inline]] static Reg zero() { return _mm256_setzero_si256(); }
  [[gnu::always_inline]] static Reg load(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }
  [[gnu::always_inline]] static void store(void* to, Reg a) { _mm256_storeu_si256(static_cast<__m256i*>(to), a); }
  [[gnu::always_inline]] static Reg broadcast(const void* block) {
    return _mm256_broadcastsi128_si256(Vector128::load(block));
  }
  [[gnu::always_inline]] static Reg load_first(const void* from, std::size_t num) {
    return num >= len ? load(from) : load_few(static_cast<const std::uint8_t*>(from), num);
  }
  [[gnu::always_inline]] static void store_first(void* to, std::size_t num, Reg a) {
    if (num >= len) return store(to, a);
    store_few(static_cast<std::uint8_t*>(to), num, a);
  }
  [[gnu::always_inline]] static Reg keep_first(Reg a, std::size_t num) {
    return _mm256_and_si256(a, load(sliding_mask + 32 - (num < len ? num : len)));
  }
  [[gnu::always_inline]] static Reg exclusive_or(Reg a, Reg b) { return _mm256_xor_si256(a, b); }
  [[gnu::always_inline]] static Reg exclusive_or(Reg a, Reg b, Reg c) {
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
  }
  [[gnu::always_inline]] static Reg add_32(Reg a, Reg b) { return _mm256_add_epi32(a, b); }
  [[gnu::always_inline]] static Reg shuffle_bytes(Reg a, Reg order) { return _mm256_shuffle_epi8(a, order); }
  [[gnu::always_inline]] static Reg swap_halves(Reg a) { return _mm256_shuffle_epi32(a, 0x4e); }
  [[gnu::always_inline]] static Reg load_once(const void* from) { return load(from); }  // 16 registers are too few
  [[gnu::always_inline]] static Reg bit_lengths(const std::uint64_t* from) {
    const Reg both = _mm256_cvtepu32_epi64(Vector128::load(from));
    return swap_halves(_mm256_slli_epi64(both, 3));
  }
  [[gnu::always_inline]] static Reg low_halves(Reg a, Reg b) { return _mm256_unpacklo_epi64(a, b); }
  [[gnu::always_inline]] static Reg high_halves(Reg a, Reg b) { return _mm256_unpackhi_epi64(a, b); }
  [[gnu::always_inline]] static Reg aes_round(Reg a, Reg key) { return _mm256_aesenc_epi128(a, key); }
  [[gnu::always_inline]] static Reg aes_last_round(Reg a, Reg key) { return _mm256_aesenclast_epi128(a, key); }
  template <int Halves>
  [[gnu::always_inline]] static Reg multiply(Reg a, Reg b) {
    return _mm256_clmulepi64_epi128(a, b, Halves);
  }
  [[gnu::always_inline]] static void pin(Reg& a) { asm volatile("" : "+x"(a)); }
  template <class At>
  [[gnu::always_inline]] static Reg gather(At at) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(Vector128::load(at(0))), Vector128::load(at(1)), 1);
  }
  template <class At>
  [[gnu::always_inline]] static void scatter(Reg a, At at) {
    Vector128::store(at(0), _mm256_castsi256_si128(a));
    Vector128::store(at(1), _mm256_extracti128_si256(a, 1));
  }
  [[gnu::always_inline]] static Reg sums(const Reg (&of)[lanes]) {
    return exclusive_or(_mm256_permute2x128_si256(of[0], of[1], 0x20), _mm256_permute2x128_si256(of[0], of[1], 0x31));
  }
  [[gnu::always_inline]] static unsigned equal_lanes(Reg a, Reg b) {
    const auto bytes = static_cast<unsigned>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)));
    return static_cast<unsigned>((bytes & 0xffff) == 0xffff) | static_cast<unsigned>(bytes >> 16 == 0xffff) << 1;
  }

 private:
  static Reg load_few(const std::uint8_t* from, std::size_t num) {
    const bool has_low = num >= 16;
    const __m128i rest = Vector128::load_few(from + (has_low ? 16 : 0), num - (has_low ? 16 : 0));
    return has_low ? _mm256_inserti128_si256(_mm256_castsi128_si256(Vector128::load(from)), rest, 1)
                   : _mm256_zextsi128_si256(rest);
  }
  static void store_few(std::uint8_t* to, std::size_t num, Reg a) {
    if (num < 16) return Vector128::store_few(to, num, _mm256_castsi256_si128(a));
    Vector128::store(to, _mm256_castsi256_si128(a));
    Vector128::store_few(to + 16, num - 16, _mm256_extracti128_si256(a, 1));
  }
};

}  // namespace
}  // namespace culvert::crypto

#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

// Four lanes of 128 bits: AVX-512 (F, BW, VL, DQ), VAES, VPCLMULQDQ. The operations are those of vector_128.h.
namespace culvert::crypto {
namespace {

struct Vector512 {
  using Reg = __m512i;
  static constexpr std::size_t lanes = 4;
  static constexpr int num_registers = 32;
  static constexpr std::size_t len = 64;
  static constexpr int max_step = 12;
  static constexpr bool rolled = true;
  static constexpr bool has_rows = true;

  [[gnu::always_inline]] static Reg zero() { return _mm512_setzero_si512(); }
  [[gnu::always_inline]] static Reg load(const void* from) { return _mm512_loadu_si512(from); }
  [[gnu::always_inline]] static void store(void* to, Reg a) { _mm512_storeu_si512(to, a); }
  [[gnu::always_inline]] static Reg broadcast(const void* block) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(block)));
  }
  [[gnu::always_inline]] static __mmask64 first_bytes(std::size_t num) {
    return _bzhi_u64(~0ULL, static_cast<unsigned>(num));
  }
  [[gnu::always_inline]] static Reg load_first(const void* from, std::size_t num) {
    return _mm512_maskz_loadu_epi8(first_bytes(num), from);
  }
  [[gnu::always_inline]] static void store_first(void* to, std::size_t num, Reg a) {
    _mm512_mask_storeu_epi8(to, first_bytes(num), a);
  }
  [[gnu::always_inline]] static Reg keep_first(Reg a, std::size_t num) {
    return _mm512_maskz_mov_epi8(first_bytes(num), a);
  }
  [[gnu::always_inline]] static Reg exclusive_or(Reg a, Reg b) { return _mm512_xor_si512(a, b); }
  [[gnu::always_inline]] static Reg exclusive_or(Reg a, Reg b, Reg c) {
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
  }
  [[gnu::always_inline]] static Reg add_32(Reg a, Reg b) { return _mm512_add_epi32(a, b); }
  [[gnu::always_inline]] static Reg shuffle_bytes(Reg a, Reg order) { return _mm512_shuffle_epi8(a, order); }
  [[gnu::always_inline]] static Reg swap_halves(Reg a) { return _mm512_shuffle_epi32(a, _MM_PERM_BADC); }
  [[gnu::always_inline]] static Reg load_once(const void* from) {
    Reg a = load(from);
    pin(a);
    return a;
  }
  [[gnu::always_inline]] static Reg bit_lengths(const std::uint64_t* from) {
    const Reg both = _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return swap_halves(_mm512_slli_epi64(both, 3));
  }
  [[gnu::always_inline]] static Reg same_bit_lengths(std::uint64_t both) {
    const auto aad = static_cast<std::uint32_t>(both), text = static_cast<std::uint32_t>(both >> 32);
    return _mm512_broadcast_i32x4(_mm_set_epi64x(static_cast<long long>(std::uint64_t{aad} << 3),
                                                 static_cast<long long>(std::uint64_t{text} << 3)));
  }
  [[gnu::always_inline]] static Reg low_halves(Reg a, Reg b) { return _mm512_unpacklo_epi64(a, b); }
  [[gnu::always_inline]] static Reg high_halves(Reg a, Reg b) { return _mm512_unpackhi_epi64(a, b); }
  [[gnu::always_inline]] static Reg aes_round(Reg a, Reg key) { return _mm512_aesenc_epi128(a, key); }
  [[gnu::always_inline]] static Reg aes_last_round(Reg a, Reg key) { return _mm512_aesenclast_epi128(a, key); }
  template <int Halves>
  [[gnu::always_inline]] static Reg multiply(Reg a, Reg b) {
    return _mm512_clmulepi64_epi128(a, b, Halves);
  }
  [[gnu::always_inline]] static void pin(Reg& a) { asm volatile("" : "+v"(a)); }
  template <class At>
  [[gnu::always_inline]] static Reg gather(At at) {
    const auto block = [&at](int i) __attribute__((always_inline)) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at(i)));
    };
    Reg all = _mm512_castsi128_si512(block(0));
    all = _mm512_mask_broadcast_i32x4(all, 0x00f0, block(1));
    all = _mm512_mask_broadcast_i32x4(all, 0x0f00, block(2));
    return _mm512_mask_broadcast_i32x4(all, 0xf000, block(3));
  }
  template <class At>
  [[gnu::always_inline]] static Reg gather_halves(At at) {
    const auto half = [&at](int i) __attribute__((always_inline)) {
      return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at(i)));
    };
    Reg all = _mm512_zextsi128_si512(half(0));
    all = _mm512_mask_broadcastq_epi64(all, 0x04, half(1));
    all = _mm512_mask_broadcastq_epi64(all, 0x10, half(2));
    return _mm512_mask_broadcastq_epi64(all, 0x40, half(3));
  }
  template <int Num>
  [[gnu::always_inline]] static Reg shift_bytes(Reg a) {
    return _mm512_bslli_epi128(a, Num);
  }
  template <int Lane>
  [[gnu::always_inline]] static Reg broadcast_lane(Reg a) {
    return _mm512_shuffle_i32x4(a, a, Lane * 0x55);
  }
  // Lane i of rows[j] becomes lane j of rows[i].
  [[gnu::always_inline]] static void transpose(Reg (&rows)[lanes]) {
    const Reg low01 = _mm512_shuffle_i32x4(rows[0], rows[1], 0x44),
              high01 = _mm512_shuffle_i32x4(rows[0], rows[1], 0xee);
    const Reg low23 = _mm512_shuffle_i32x4(rows[2], rows[3], 0x44),
              high23 = _mm512_shuffle_i32x4(rows[2], rows[3], 0xee);
    rows[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    rows[1] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    rows[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    rows[3] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
  template <class At>
  [[gnu::always_inline]] static void scatter(Reg a, At at) {
    const auto put = [&at](int i, __m128i lane) __attribute__((always_inline)) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(at(i)), lane);
    };
    put(0, _mm512_castsi512_si128(a));
    put(1, _mm512_extracti32x4_epi32(a, 1));
    put(2, _mm512_extracti32x4_epi32(a, 2));
    put(3, _mm512_extracti32x4_epi32(a, 3));
  }
  // Lane i of the result is the sum of the lanes of `of[i]`: a transposition on the way to the sum.
  [[gnu::always_inline]] static Reg sums(const Reg (&of)[lanes]) {
    const Reg even = add_pairs(of[0], of[1]), odd = add_pairs(of[2], of[3]);
    const Reg low = _mm512_shuffle_i32x4(even, odd, 0x88), high = _mm512_shuffle_i32x4(even, odd, 0xdd);
    return exclusive_or(low, high);
  }
  // Bit i: the blocks in lane i are equal.
  [[gnu::always_inline]] static unsigned equal_lanes(Reg a, Reg b) {
    const unsigned halves = _mm512_cmpeq_epi64_mask(a, b);
    const unsigned both = halves & (halves >> 1);
    return (both & 1) | ((both >> 1) & 2) | ((both >> 2) & 4) | ((both >> 3) & 8);
  }

 private:
  // a0+a2, a1+a3, b0+b2, b1+b3
  [[gnu::always_inline]] static Reg add_pairs(Reg a, Reg b) {
    return exclusive_or(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee));
  }
};

}  // namespace
}  // namespace culvert::crypto

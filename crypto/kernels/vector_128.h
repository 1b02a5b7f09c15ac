#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

// One lane of 128 bits: AES-NI, PCLMULQDQ, AVX. Every vector type of the kernels has these operations:
//   load_first, store_first, keep_first   the first `num` bytes, never touching memory behind them
//   low_halves, high_halves               of each block of a and b, a's first
//   bit_lengths                           what GHASH ends with, bytes reversed, of 32-bit lengths in bytes: AAD, text
//   multiply<Halves>                      carry-less product of one half of each block, chosen as PCLMULQDQ does
//   gather, scatter                       one block a lane, from and to anywhere
//   sums                                  lane i of the result is the sum of all lanes of the i-th operand
//   load_once                             into a register, even where each instruction that uses it could read memory
//   pin                                   the compiler may not move the computation of the register across it: without
//                                         that, it sinks the AES rounds of each block into a chain of their own
namespace culvert::crypto {
namespace {

// Bytes of ff, then of 00: read at 32 - num, the mask of the first num bytes.
alignas(64) constexpr std::uint8_t sliding_mask[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

alignas(64) constexpr std::uint8_t reversing_order[64] = {
    15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
    15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};

struct Vector128 {
  using Reg = __m128i;
  static constexpr std::size_t lanes = 1;
  static constexpr int num_registers = 16;
  static constexpr std::size_t len = 16;
  static constexpr int max_step = 8;
  static constexpr bool rolled = false;
  static constexpr bool has_rows = false;

  [[gnu::always_inline]] static Reg zero() { return _mm_setzero_si128(); }
  [[gnu::always_inline]] static Reg load(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
  }
  [[gnu::always_inline]] static void store(void* to, Reg a) { _mm_storeu_si128(static_cast<__m128i*>(to), a); }
  [[gnu::always_inline]] static Reg broadcast(const void* block) { return load(block); }
  [[gnu::always_inline]] static Reg load_first(const void* from, std::size_t num) {
    return num >= len ? load(from) : load_few(static_cast<const std::uint8_t*>(from), num);
  }
  [[gnu::always_inline]] static void store_first(void* to, std::size_t num, Reg a) {
    if (num >= len) return store(to, a);
    store_few(static_cast<std::uint8_t*>(to), num, a);
  }
  [[gnu::always_inline]] static Reg keep_first(Reg a, std::size_t num) {
    return _mm_and_si128(a, load(sliding_mask + 32 - (num < len ? num : len)));
  }
  [[gnu::always_inline]] static Reg exclusive_or(Reg a, Reg b) { return _mm_xor_si128(a, b); }
  [[gnu::always_inline]] static Reg exclusive_or(Reg a, Reg b, Reg c) { return _mm_xor_si128(_mm_xor_si128(a, b), c); }
  [[gnu::always_inline]] static Reg add_32(Reg a, Reg b) { return _mm_add_epi32(a, b); }
  [[gnu::always_inline]] static Reg shuffle_bytes(Reg a, Reg order) { return _mm_shuffle_epi8(a, order); }
  [[gnu::always_inline]] static Reg swap_halves(Reg a) { return _mm_shuffle_epi32(a, 0x4e); }
  [[gnu::always_inline]] static Reg load_once(const void* from) { return load(from); }  // 16 registers are too few
  [[gnu::always_inline]] static Reg bit_lengths(const std::uint64_t* from) {
    const Reg both = _mm_cvtepu32_epi64(_mm_loadl_epi64(reinterpret_cast<const Reg*>(from)));
    return swap_halves(_mm_slli_epi64(both, 3));
  }
  [[gnu::always_inline]] static Reg low_halves(Reg a, Reg b) { return _mm_unpacklo_epi64(a, b); }
  [[gnu::always_inline]] static Reg high_halves(Reg a, Reg b) { return _mm_unpackhi_epi64(a, b); }
  [[gnu::always_inline]] static Reg aes_round(Reg a, Reg key) { return _mm_aesenc_si128(a, key); }
  [[gnu::always_inline]] static Reg aes_last_round(Reg a, Reg key) { return _mm_aesenclast_si128(a, key); }
  template <int Halves>
  [[gnu::always_inline]] static Reg multiply(Reg a, Reg b) {
    return _mm_clmulepi64_si128(a, b, Halves);
  }
  [[gnu::always_inline]] static void pin(Reg& a) { asm volatile("" : "+x"(a)); }
  template <class At>
  [[gnu::always_inline]] static Reg gather(At at) {
    return load(at(0));
  }
  template <class At>
  [[gnu::always_inline]] static void scatter(Reg a, At at) {
    store(at(0), a);
  }
  [[gnu::always_inline]] static Reg sums(const Reg (&of)[lanes]) { return of[0]; }
  [[gnu::always_inline]] static unsigned equal_lanes(Reg a, Reg b) {
    return _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) == 0xffff;
  }

  // Less than 16 bytes, by pieces that overlap and lie inside.
  static Reg load_few(const std::uint8_t* from, std::size_t num) {
    std::uint64_t low = 0, high = 0;
    if (num >= 8) {
      low = read<std::uint64_t>(from);
      if (num > 8) high = read<std::uint64_t>(from + num - 8) >> (8 * (16 - num));
    } else if (num >= 4) {
      low = read<std::uint32_t>(from) | std::uint64_t{read<std::uint32_t>(from + num - 4)} << (8 * (num - 4));
    } else if (num > 0) {
      low = from[0] | std::uint64_t{from[num / 2]} << (8 * (num / 2)) | std::uint64_t{from[num - 1]} << (8 * (num - 1));
    }
    return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
  }
  static void store_few(std::uint8_t* to, std::size_t num, Reg a) {
    std::uint8_t bytes[16];
    store(bytes, a);
    if (num >= 8) {
      write(to, read<std::uint64_t>(bytes));
      write(to + num - 8, read<std::uint64_t>(bytes + num - 8));
    } else if (num >= 4) {
      write(to, read<std::uint32_t>(bytes));
      write(to + num - 4, read<std::uint32_t>(bytes + num - 4));
    } else if (num > 0) {
      to[0] = bytes[0];
      to[num / 2] = bytes[num / 2];
      to[num - 1] = bytes[num - 1];
    }
  }

 private:
  template <class T>
  [[gnu::always_inline]] static T read(const std::uint8_t* from) {
    T value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
  }
  template <class T>
  [[gnu::always_inline]] static void write(std::uint8_t* to, T value) {
    __builtin_memcpy(to, &value, sizeof value);
  }
};

}  // namespace
}  // namespace culvert::crypto

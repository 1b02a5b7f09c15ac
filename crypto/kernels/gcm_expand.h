#pragma once
#include "gcm_key.h"
#include "vector_128.h"

// What is made once per key: the AES key schedule (FIPS 197 §5.2) and the powers of the hash key H (SP 800-38D §6.3,
// §6.4).
//
// GHASH numbers bits from the left. The kernels hold blocks with their bytes reversed, which makes an element of
// GF(2^128) out of a carry-less product that is shifted right by one; H times x, once per key, makes good for that
// shift. (Gueron, Kounavis: "Intel Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode".)
namespace culvert::crypto {
namespace {

constexpr std::uint64_t ghash_polynomial = 0xc200000000000000;

[[gnu::always_inline]] inline __m128i reversed_bytes(__m128i block) {
  return _mm_shuffle_epi8(block, _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f));
}

// The sum of lo, mid·x^64 and hi·x^128 in the field. Two steps fold the lower 128 bits into the upper.
template <class V>
[[gnu::always_inline]] inline typename V::Reg reduce(typename V::Reg lo, typename V::Reg mid, typename V::Reg hi,
                                                     typename V::Reg polynomial) {
  mid = V::exclusive_or(mid, V::swap_halves(lo), V::template multiply<0x00>(polynomial, lo));
  return V::exclusive_or(hi, V::swap_halves(mid), V::template multiply<0x00>(polynomial, mid));
}

[[gnu::always_inline]] inline __m128i multiply_in_field(__m128i a, __m128i b) {
  const __m128i lo = _mm_clmulepi64_si128(a, b, 0x00), hi = _mm_clmulepi64_si128(a, b, 0x11);
  const __m128i mid = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
  return reduce<Vector128>(lo, mid, hi, _mm_set_epi64x(0, static_cast<long long>(ghash_polynomial)));
}

[[gnu::always_inline]] inline __m128i times_x(__m128i h) {
  const auto low = static_cast<std::uint64_t>(_mm_cvtsi128_si64(h));
  const auto high = static_cast<std::uint64_t>(_mm_extract_epi64(h, 1));
  const std::uint64_t carry = 0 - (high >> 63);  // all ones or none: the key decides nothing that can be timed
  return _mm_set_epi64x(static_cast<long long>((high << 1 | low >> 63) ^ (carry & ghash_polynomial)),
                        static_cast<long long>((low << 1) ^ (carry & 1)));
}

// The running exclusive or of the four words, and `last` on each.
[[gnu::always_inline]] inline __m128i next_words(__m128i words, __m128i last) {
  words = _mm_xor_si128(words, _mm_slli_si128(words, 4));
  words = _mm_xor_si128(words, _mm_slli_si128(words, 8));
  return _mm_xor_si128(words, last);
}

// SubWord of the last word, rotated or not, on all four columns: with equal columns ShiftRows changes nothing.
[[gnu::always_inline]] inline __m128i substituted(__m128i words, int order, int round_constant) {
  return _mm_aesenclast_si128(_mm_shuffle_epi8(words, _mm_set1_epi32(order)), _mm_set1_epi32(round_constant));
}

constexpr int rotated = 0x0c0f0e0d, straight = 0x0f0e0d0c;

void expand_128(GcmKeyData& data, const std::uint8_t* key) noexcept {
  data.num_rounds = 10;
  __m128i words = Vector128::load(key);
  Vector128::store(data.round_keys[0], words);
  for (int round = 1, constant = 1; round <= 10; ++round) {
    words = next_words(words, substituted(words, rotated, constant));
    Vector128::store(data.round_keys[round], words);
    constant = constant == 0x80 ? 0x1b : constant << 1;
  }
}

void expand_256(GcmKeyData& data, const std::uint8_t* key) noexcept {
  data.num_rounds = 14;
  __m128i even = Vector128::load(key), odd = Vector128::load(key + 16);
  Vector128::store(data.round_keys[0], even);
  Vector128::store(data.round_keys[1], odd);
  for (int round = 2, constant = 1; round <= 14; round += 2, constant <<= 1) {
    even = next_words(even, substituted(odd, rotated, constant));
    Vector128::store(data.round_keys[round], even);
    if (round == 14) break;
    odd = next_words(odd, substituted(even, straight, 0));
    Vector128::store(data.round_keys[round + 1], odd);
  }
}

[[gnu::always_inline]] inline __m128i folded(__m128i power) {
  return _mm_xor_si128(power, Vector128::swap_halves(power));
}

template <class V>
void expand_powers(GcmKeyData& data, __m128i h) noexcept {
  for (std::size_t i = num_gcm_powers; i < num_gcm_powers + 4; ++i) {
    Vector128::store(data.powers[i], _mm_setzero_si128());
    Vector128::store(data.folded[i], _mm_setzero_si128());
  }
  __m128i power = h;
  for (std::size_t i = num_gcm_powers; i-- > 0; power = multiply_in_field(power, h)) {
    Vector128::store(data.powers[i], power);
    Vector128::store(data.folded[i], _mm_unpacklo_epi64(folded(power), Vector128::load(data.folded[i + V::lanes])));
  }
}

inline void expand_differences(GcmKeyData& data) noexcept {
  static_assert(max_stretch_blocks + 2 <= 256);
  const __m128i first_key = Vector128::load(data.round_keys[0]);
  const auto first_round = [first_key](std::size_t counter) {
    const __m128i block = _mm_slli_si128(_mm_cvtsi32_si128(static_cast<int>(counter)), 15);
    return _mm_aesenc_si128(_mm_xor_si128(block, first_key), _mm_setzero_si128());
  };
  for (std::size_t i = 0; i < max_stretch_blocks; ++i)
    Vector128::store(data.differences[i], _mm_xor_si128(first_round(i + 2), first_round(1)));
}

template <class V>
void expand(GcmKeyData& data, const std::uint8_t* key, std::size_t key_len) noexcept {
  key_len == 32 ? expand_256(data, key) : expand_128(data, key);
  __m128i h = Vector128::load(data.round_keys[0]);
  for (std::uint32_t round = 1; round < data.num_rounds; ++round)
    h = _mm_aesenc_si128(h, Vector128::load(data.round_keys[round]));
  h = times_x(reversed_bytes(_mm_aesenclast_si128(h, Vector128::load(data.round_keys[data.num_rounds]))));

  expand_powers<V>(data, h);
  expand_differences(data);
  const auto salt = Vector128::load_first(key + key_len, 4);
  Vector128::store(data.first_counter, _mm_or_si128(salt, _mm_set_epi32(0x01000000, 0, 0, 0)));
}

}  // namespace
}  // namespace culvert::crypto

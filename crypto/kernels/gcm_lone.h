#pragma once
#include "gcm_hash.h"

// A short packet that comes alone. It cannot fill the vectors, so what counts is what it touches: mostly it comes after
// a rest, when code and data have left the caches. So this is a loop of a few cache lines, a block at a time (the
// processor overlaps them by itself), and of the key it needs the rounds and a few powers.
namespace culvert::crypto {
namespace {

constexpr std::size_t max_lone_len = 256;

[[gnu::always_inline]] inline bool is_lone(const AeadJob* jobs, std::size_t num_jobs) {
  return num_jobs == 1 && jobs->len <= max_lone_len && (jobs->head_len | jobs->tail_len) == 0;
}

[[gnu::always_inline]] inline __m128i encrypted(const GcmKeyData& key, __m128i block) {
  const std::uint8_t *round_key = key.round_keys[0], *const last = key.round_keys[key.num_rounds];
  block = _mm_xor_si128(block, Vector128::load(round_key));
#pragma GCC unroll 1
  while ((round_key += 16) != last) block = _mm_aesenc_si128(block, Vector128::load(round_key));
  return _mm_aesenclast_si128(block, Vector128::load(last));
}

// SP 800-38D §7.1 and §7.2. The key is ready.
template <bool Seal>
[[gnu::noinline]] void run_lone(AeadJob& job) noexcept {
  static_assert(max_lone_len / 16 + 1 <= 255, "counters differ in their last byte alone");
  const GcmKeyData& key = static_cast<const GcmKey&>(*job.key).data();
  const __m128i first_counter = first_counter_of(key, job);
  const std::uint8_t* power = powers_for(key, (std::size_t{job.len} + 15) / 16);
  alignas(16) std::uint8_t aad[16];
  set_aad(aad, job);
  Sums<Vector128> sums;
  zero(sums);
  hash_unit(sums, reversed_bytes(Vector128::load(aad)), power - 16);
  int counter = 2;
#pragma GCC unroll 1
  for (std::size_t at = 0; at < job.len; at += 16, power += 16, ++counter) {
    const std::size_t num = job.len - at;
    const __m128i in = Vector128::load_first(job.src + at, num);
    const __m128i mask = encrypted(key, _mm_insert_epi8(first_counter, counter, 15));
    const __m128i out = Vector128::keep_first(_mm_xor_si128(in, mask), num);
    hash_unit(sums, reversed_bytes(Seal ? out : in), power);
    Vector128::store_first(job.dst + at, num, out);
  }
  const std::uint64_t lengths = std::uint64_t{job.len} << 32 | job.aad_len;
  hash_unit(sums, Vector128::bit_lengths(&lengths), power);
  const __m128i tag = _mm_xor_si128(reversed_bytes(reduced<Vector128>(sums)), encrypted(key, first_counter));
  if constexpr (Seal) {
    Vector128::store(job.icv, tag);
    job.ok = true;
  } else {
    job.ok = Vector128::equal_lanes(tag, Vector128::load(job.icv)) == 1;
    if (!job.ok) __builtin_memset(job.dst, 0, job.len);
  }
}

}  // namespace
}  // namespace culvert::crypto

#include "md4.h"

#include <sodium.h>

#include <bit>

namespace culvert::eap {
namespace {

using Words = std::array<std::uint32_t, 4>;
using Block = std::array<std::uint32_t, 16>;

std::uint32_t load_le(const std::uint8_t* from) {
  return std::uint32_t(from[0]) | std::uint32_t(from[1]) << 8 | std::uint32_t(from[2]) << 16 |
         std::uint32_t(from[3]) << 24;
}

void store_le(std::uint8_t* to, std::uint64_t value, std::size_t len) {
  for (std::size_t i = 0; i < len; ++i) to[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

/// One round of RFC 1320 §3.4: 16 steps; the four words take turns as the target.
template <class Mix>
void round(Words& w, const Block& block, const std::array<std::uint8_t, 16>& order, const std::array<int, 4>& shifts,
           std::uint32_t constant, Mix mix) {
  for (unsigned i = 0; i < 16; ++i) {
    std::uint32_t& a = w[(16 - i) % 4];
    const std::uint32_t b = w[(17 - i) % 4], c = w[(18 - i) % 4], d = w[(19 - i) % 4];
    a = std::rotl(a + mix(b, c, d) + block[order[i]] + constant, shifts[i % 4]);
  }
}

void compress(Words& state, const std::uint8_t* bytes) {
  Block block;
  for (unsigned i = 0; i < 16; ++i) block[i] = load_le(bytes + 4 * i);
  Words w = state;
  using U = std::uint32_t;
  round(w, block, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {3, 7, 11, 19}, 0,
        [](U x, U y, U z) { return (x & y) | (~x & z); });
  round(w, block, {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}, {3, 5, 9, 13}, 0x5A827999,
        [](U x, U y, U z) { return (x & y) | (x & z) | (y & z); });
  round(w, block, {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15}, {3, 9, 11, 15}, 0x6ED9EBA1,
        [](U x, U y, U z) { return x ^ y ^ z; });
  for (unsigned i = 0; i < 4; ++i) state[i] += w[i];
  sodium_memzero(block.data(), sizeof block);  // a password goes through here
}

}  // namespace

std::array<std::uint8_t, 16> md4(ByteView message) {
  Words state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  ByteView rest = message;
  for (; rest.size() >= 64; rest = rest.subspan(64)) compress(state, rest.data());
  // RFC 1320 §3.1, §3.2: a one bit, zeros, and the length in bits.
  std::array<std::uint8_t, 128> tail{};
  std::copy(rest.begin(), rest.end(), tail.begin());
  tail[rest.size()] = 0x80;
  const std::size_t tail_len = rest.size() < 56 ? 64 : 128;
  store_le(tail.data() + tail_len - 8, std::uint64_t(message.size()) * 8, 8);
  for (std::size_t at = 0; at < tail_len; at += 64) compress(state, tail.data() + at);
  sodium_memzero(tail.data(), tail.size());
  std::array<std::uint8_t, 16> digest;
  for (unsigned i = 0; i < 4; ++i) store_le(digest.data() + 4 * i, state[i], 4);
  return digest;
}

}  // namespace culvert::eap

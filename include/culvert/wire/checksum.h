#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"

namespace culvert::wire {

/// Folds to 16 bits without complementing; 0 only of 0.
[[nodiscard]] inline std::uint16_t checksum_fold(std::uint64_t sum) noexcept {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);                          // 33 bits
  for (int i = 0; i < 3; ++i) sum = (sum & 0xFFFF) + (sum >> 16);  // 18, then at most 0x10001, then 16
  return static_cast<std::uint16_t>(sum);
}

namespace detail {

template <std::size_t width>
struct Lanes {
  using Vector [[gnu::vector_size(width)]] = std::uint64_t;
};

/// The sum of `len` bytes as 32-bit words of the processor's own byte order; `len` is a multiple of `width`. Each lane
/// adds up its 64-bit words (which may wrap) and their high halves (which cannot): the sum of the low halves is the
/// difference.
template <std::size_t width>
[[gnu::always_inline]] inline std::uint64_t sum_vectors(const std::uint8_t* at, std::size_t len) noexcept {
  using Vector = typename Lanes<width>::Vector;
  Vector words0{}, words1{}, highs0{}, highs1{}, vector;
  for (; len >= 2 * width; at += 2 * width, len -= 2 * width) {
    std::memcpy(&vector, at, width);
    words0 += vector;
    highs0 += vector >> 32;
    std::memcpy(&vector, at + width, width);
    words1 += vector;
    highs1 += vector >> 32;
  }
  if (len != 0) {
    std::memcpy(&vector, at, width);
    words0 += vector;
    highs0 += vector >> 32;
  }
  const Vector highs = highs0 + highs1;
  const Vector lanes = words0 + words1 - (highs << 32) + highs;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < width / 8; ++i) sum += lanes[i];
  return sum;
}

#ifdef __x86_64__
[[gnu::target("avx2")]] inline std::uint64_t sum_vectors_avx2(const std::uint8_t* at, std::size_t len) noexcept {
  return sum_vectors<32>(at, len);
}
#endif

/// The sum of 16-bit words does not care for their byte order but for that of its own bytes (RFC 1071 §2 B). `len` is a
/// multiple of 32.
[[gnu::noinline]] inline std::uint16_t sum_long(const std::uint8_t* at, std::size_t len) noexcept {
#ifdef __x86_64__
  const std::uint64_t words = __builtin_cpu_supports("avx2") ? sum_vectors_avx2(at, len) : sum_vectors<16>(at, len);
#else
  const std::uint64_t words = sum_vectors<16>(at, len);
#endif
  const std::uint16_t sum = checksum_fold(words);
  return std::endian::native == std::endian::little ? std::byteswap(sum) : sum;
}

}  // namespace detail

/// One's complement sum of 16-bit big-endian words (RFC 1071), not yet folded; an odd last byte counts as the high half
/// of a word. `sum` continues an earlier one, all parts of which but the last had an even length.
[[nodiscard]] inline std::uint64_t checksum_add(ByteView bytes, std::uint64_t sum = 0) noexcept {
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  if (left >= 64) {
    const std::size_t len = left & ~std::size_t{31};
    sum += detail::sum_long(at, len);
    at += len;
    left -= len;
  }
  for (; left >= 4; at += 4, left -= 4) sum += load_be<std::uint32_t>(at);
  if (left >= 2) {
    sum += load_be<std::uint16_t>(at);
    at += 2;
    left -= 2;
  }
  if (left != 0) sum += std::uint32_t{*at} << 8;
  return sum;
}

/// The value for the checksum field, when that field counted as 0; and 0 over data whose checksum holds.
[[nodiscard]] inline std::uint16_t checksum(ByteView bytes, std::uint64_t sum = 0) noexcept {
  return static_cast<std::uint16_t>(~checksum_fold(checksum_add(bytes, sum)));
}

/// The checksum after a 16-bit word changed from `before` to `after`: RFC 1624 §3, equation 3.
[[nodiscard]] inline std::uint16_t checksum_update(std::uint16_t old_checksum, std::uint16_t before,
                                                   std::uint16_t after) noexcept {
  const std::uint64_t sum =
      std::uint64_t{static_cast<std::uint16_t>(~old_checksum)} + static_cast<std::uint16_t>(~before) + after;
  return static_cast<std::uint16_t>(~checksum_fold(sum));
}

/// The sum of the pseudo header of TCP, UDP and ICMPv6 (RFC 9293 §3.1, RFC 8200 §8.1); addresses of one family.
[[nodiscard]] inline std::uint64_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination,
                                                     std::uint8_t protocol, std::uint32_t upper_len) noexcept {
  return checksum_add(destination.bytes(), checksum_add(source.bytes())) + protocol + (upper_len >> 16) +
         (upper_len & 0xFFFF);
}

}  // namespace culvert::wire

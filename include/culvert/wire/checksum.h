#pragma once
#include <cstdint>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"

namespace culvert::wire {

/// One's complement sum of 16-bit big-endian words (RFC 1071), not yet folded; an odd last byte counts as the high half
/// of a word. `sum` continues an earlier one, all parts of which but the last had an even length.
[[nodiscard]] inline std::uint64_t checksum_add(ByteView bytes, std::uint64_t sum = 0) noexcept {
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 4; at += 4, left -= 4) sum += load_be<std::uint32_t>(at);
  if (left >= 2) {
    sum += load_be<std::uint16_t>(at);
    at += 2;
    left -= 2;
  }
  if (left != 0) sum += std::uint32_t{*at} << 8;
  return sum;
}

/// Folds to 16 bits without complementing.
[[nodiscard]] inline std::uint16_t checksum_fold(std::uint64_t sum) noexcept {
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
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

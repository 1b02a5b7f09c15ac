#include "culvert/wire/checksum.h"

#include <doctest/doctest.h>

#include <vector>

using namespace culvert;

namespace {

/// RFC 1071 §4.1, word by word.
std::uint16_t by_the_book(ByteView bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

Bytes pattern(std::size_t len) {
  Bytes bytes(len);
  for (std::size_t i = 0; i < len; ++i) bytes[i] = static_cast<std::uint8_t>(i * i / 7 + i * 13);
  return bytes;
}

std::uint16_t in_network_order(std::uint64_t native_words) {
  const std::uint16_t sum = wire::checksum_fold(native_words);
  return std::endian::native == std::endian::little ? std::byteswap(sum) : sum;
}

}  // namespace

// scapy 2.5: checksum(bytes((i*i//7+i*13)&255 for i in range(n)))
TEST_CASE("checksums of long inputs are scapy's") {
  struct Known {
    std::size_t len;
    std::uint16_t checksum;
  };
  for (const auto& [len, checksum] :
       {Known{63, 0x5b04}, Known{64, 0x5a9a}, Known{65, 0xd199}, Known{95, 0xab8c}, Known{96, 0xaab0},
        Known{97, 0xa6b0}, Known{127, 0xb35d}, Known{128, 0xb2ea}, Known{129, 0x0eea}, Known{1399, 0x73a4},
        Known{1400, 0x7369}, Known{1401, 0x9b68}, Known{9000, 0xf07d}, Known{65535, 0xb554}, Known{65536, 0xb461}}) {
    CAPTURE(len);
    CHECK(wire::checksum(pattern(len)) == checksum);
  }
}

TEST_CASE("sums of every length at every alignment are RFC 1071's") {
  const Bytes bytes = pattern(1024);
  for (std::size_t at = 0; at < 64; ++at) {
    for (std::size_t len = 0; len <= 700; ++len) {
      const ByteView part = ByteView(bytes).subspan(at, len);
      if (wire::checksum_fold(wire::checksum_add(part)) != by_the_book(part)) FAIL("at ", at, " length ", len);
    }
  }
}

TEST_CASE("every implementation of long sums gives the same, also where carries are many") {
  for (const std::uint8_t fill : {0x00, 0x01, 0x80, 0xFF}) {
    for (const std::size_t len : {64, 96, 1376, 65536, 1048576}) {
      const Bytes bytes(len, fill);
      CAPTURE(len);
      CAPTURE(int{fill});
      const std::uint16_t expected = by_the_book(bytes);
      CHECK(wire::checksum_fold(wire::checksum_add(bytes)) == expected);
      CHECK(in_network_order(wire::detail::sum_vectors<16>(bytes.data(), len)) == expected);
#ifdef __x86_64__
      if (__builtin_cpu_supports("avx2")) {
        CHECK(in_network_order(wire::detail::sum_vectors_avx2(bytes.data(), len)) == expected);
      }
#endif
    }
  }
  const Bytes bytes = pattern(4096 + 64);
  for (std::size_t len = 64; len <= 4096; len += 32) {
    const ByteView part = ByteView(bytes).subspan(len % 61, len);
    CHECK(in_network_order(wire::detail::sum_vectors<16>(part.data(), len)) == by_the_book(part));
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
      CHECK(in_network_order(wire::detail::sum_vectors_avx2(part.data(), len)) == by_the_book(part));
    }
#endif
  }
}

TEST_CASE("a sum goes on over parts of even length") {
  const Bytes bytes = pattern(2001);
  for (const std::size_t cut : {2, 62, 64, 66, 500, 1998, 2000}) {
    const auto first = wire::checksum_add(ByteView(bytes).first(cut));
    CHECK(wire::checksum_fold(wire::checksum_add(ByteView(bytes).subspan(cut), first)) == by_the_book(bytes));
  }
}

TEST_CASE("a folded sum is 0 of nothing but 0") {
  CHECK(wire::checksum_fold(0) == 0);
  CHECK(wire::checksum_fold(0xFFFF) == 0xFFFF);
  CHECK(wire::checksum_fold(0x10000) == 1);
  CHECK(wire::checksum_fold(0x1FFFF) == 1);
  CHECK(wire::checksum_fold(0xFFFF0000) == 0xFFFF);
  CHECK(wire::checksum_fold(0x1FFFFFFFF) == 1);
  CHECK(wire::checksum_fold(0xFFFFFFFFFFFFFFFF) == 0xFFFF);
  CHECK(wire::checksum_fold(0xFFFFFFFEFFFFFFFF) == 0xFFFE);
}

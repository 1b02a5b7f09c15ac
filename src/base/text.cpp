#include "culvert/base/text.h"

#include <fmt/format.h>

#include <cstdint>

namespace culvert {
namespace {

struct CodePoint {
  std::size_t len = 1;  ///< bytes that it takes
  std::uint32_t value = 0;
  bool valid = false;
};

/// RFC 3629 §4: shortest form only, no surrogates, at most U+10FFFF.
CodePoint decode(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at])); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {1, lead, true};
  const std::size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < len) return {};
  std::uint32_t value = lead & (0xffu >> (len + 1));
  for (std::size_t i = 1; i < len; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3f);
  }
  const std::uint32_t smallest = len == 4 ? 0x10000 : len == 3 ? 0x800 : 0x80;
  const bool valid = value >= smallest && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
  return valid ? CodePoint{len, value, true} : CodePoint{};
}

bool is_harmless(std::uint32_t value) {
  const bool control = value < 0x20 || (value >= 0x7f && value < 0xa0);
  const bool separator = value == 0x2028 || value == 0x2029;
  const bool direction = value == 0x200e || value == 0x200f || (value >= 0x202a && value <= 0x202e) ||
                         (value >= 0x2066 && value <= 0x2069);
  return !control && !separator && !direction;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = decode(text);
    const std::string_view bytes = text.substr(0, point.len);
    if (point.valid && is_harmless(point.value)) {
      clean += bytes;
    } else {
      for (const char byte : bytes) clean += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    }
    text.remove_prefix(point.len);
  }
  return clean;
}

}  // namespace culvert

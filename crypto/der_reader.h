#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"

namespace culvert::crypto {

/// Strict DER (X.690 §10): definite lengths in their shortest form, one-byte tags. For the little that is parsed by
/// hand because OpenSSL would take BER or loses what was written.
class DerReader {
 public:
  static constexpr std::uint8_t boolean = 0x01;
  static constexpr std::uint8_t integer = 0x02;
  static constexpr std::uint8_t null = 0x05;
  static constexpr std::uint8_t object_identifier = 0x06;
  static constexpr std::uint8_t sequence = 0x30;
  /// [n] EXPLICIT, n below 31
  static constexpr std::uint8_t context(unsigned n) noexcept { return static_cast<std::uint8_t>(0xa0 + n); }

  explicit DerReader(ByteView der) noexcept : reader_(der) {}

  /// The content of the next element when it has this tag; else nullopt, and the position stays.
  [[nodiscard]] std::optional<ByteView> take(std::uint8_t tag) noexcept {
    Reader ahead = reader_;
    if (ahead.u8() != tag) return std::nullopt;
    const std::optional<std::size_t> len = take_length(ahead);
    const std::optional<ByteView> content = len ? ahead.take(*len) : std::nullopt;
    if (content) reader_ = ahead;
    return content;
  }
  [[nodiscard]] bool empty() const noexcept { return reader_.empty(); }
  [[nodiscard]] ByteView rest() const noexcept { return reader_.rest(); }

 private:
  static std::optional<std::size_t> take_length(Reader& reader) noexcept {
    const std::optional<std::uint8_t> first = reader.u8();
    if (!first) return std::nullopt;
    if (*first < 0x80) return *first;
    const unsigned num_bytes = *first & 0x7fU;
    if (num_bytes == 0 || num_bytes > 3) return std::nullopt;
    std::size_t len = 0;
    for (unsigned i = 0; i < num_bytes; ++i) {
      const std::optional<std::uint8_t> byte = reader.u8();
      if (!byte || (i == 0 && *byte == 0)) return std::nullopt;
      len = len << 8 | *byte;
    }
    if (len < 0x80) return std::nullopt;
    return len;
  }

  Reader reader_;
};

}  // namespace culvert::crypto

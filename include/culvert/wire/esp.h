#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/ids.h"

namespace culvert::wire {

// RFC 4303 §2
//   |               Security Parameters Index (SPI)                 |  ^ integrity
//   |                      Sequence Number (low 32 bits)            |  |
//   |              IV, then payload data (variable)                 |  |  ^ encrypted (payload … next header)
//   |        … Padding (0-255 bytes)  |  Pad Length | Next Header   |  v  v
//   |         Integrity Check Value-ICV   (variable)                |
// The padding is 1, 2, 3, … (§2.4).

inline constexpr std::size_t esp_header_len = 8;
inline constexpr std::size_t esp_trailer_len = 2;  ///< pad length and next header
inline constexpr std::uint32_t min_esp_spi = 256;  ///< §2.1: 0 never on the wire, 1–255 reserved

struct EspHeader {
  Spi spi;
  std::uint32_t sequence = 0;  ///< low 32 bits

  [[nodiscard]] static std::optional<EspHeader> parse(ByteView bytes) noexcept {
    if (bytes.size() < esp_header_len) return std::nullopt;
    return EspHeader{Spi{load_be<std::uint32_t>(bytes.data())}, load_be<std::uint32_t>(bytes.data() + 4)};
  }
  void write(std::uint8_t* to) const noexcept {
    store_be(to, spi.value());
    store_be(to + 4, sequence);
  }
};

/// Bytes of padding so that payload, padding and the two trailer bytes fill whole blocks of `block_len` (a power of
/// two, at least 4).
[[nodiscard]] constexpr std::size_t esp_pad_len(std::size_t payload_len, std::size_t block_len) noexcept {
  return (0 - (payload_len + esp_trailer_len)) & (block_len - 1);
}

/// Writes padding, pad length and next header: pad_len + 2 bytes; pad_len ≤ 255.
inline void write_esp_trailer(std::uint8_t* to, std::size_t pad_len, std::uint8_t next_header) noexcept {
  for (std::size_t i = 0; i < pad_len; ++i) to[i] = static_cast<std::uint8_t>(i + 1);
  to[pad_len] = static_cast<std::uint8_t>(pad_len);
  to[pad_len + 1] = next_header;
}

struct EspTrailer {
  std::size_t payload_len = 0;
  std::uint8_t next_header = 0;

  /// The decrypted payload with its trailer; nullopt: pad length or pad bytes wrong. The ICV held before this is asked.
  [[nodiscard]] static std::optional<EspTrailer> parse(ByteView plaintext) noexcept {
    if (plaintext.size() < esp_trailer_len) return std::nullopt;
    const std::size_t pad_len = plaintext[plaintext.size() - 2];
    if (pad_len + esp_trailer_len > plaintext.size()) return std::nullopt;
    const std::size_t payload_len = plaintext.size() - esp_trailer_len - pad_len;
    for (std::size_t i = 0; i < pad_len; ++i) {
      if (plaintext[payload_len + i] != i + 1) return std::nullopt;
    }
    return EspTrailer{payload_len, plaintext.back()};
  }
};

}  // namespace culvert::wire

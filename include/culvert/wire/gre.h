#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/wire/checksum.h"

namespace culvert::wire {

// RFC 2784 §2.1 with RFC 2890 §2
//   |C| |K|S| Reserved0       | Ver |         Protocol Type         |
//   |      Checksum (optional)      |       Reserved1 (Optional)    |
//   |                         Key (optional)                        |
//   |                 Sequence Number (Optional)                    |

inline constexpr std::uint16_t gre_flag_checksum = 0x8000, gre_flag_key = 0x2000, gre_flag_sequence = 0x1000;
inline constexpr std::size_t max_gre_header_len = 16;

struct GreHeader {
  std::uint16_t protocol = 0;  ///< EtherType
  bool has_checksum = false;
  std::optional<std::uint32_t> key;
  std::optional<std::uint32_t> sequence;

  [[nodiscard]] std::size_t len() const noexcept {
    return std::size_t{4} + (has_checksum ? 4 : 0) + (key ? 4 : 0) + (sequence ? 4 : 0);
  }

  /// nullopt: too short, or a bit set that RFC 2784 §2.2 and §2.3 let us discard: the routing bit of RFC 1701 and the
  /// other reserved bits 1, 4 and 5 MUST be zero, bits 6–12 are ignored on receipt; a version other than 0. Whether the
  /// checksum holds, `gre_checksum_holds` says.
  [[nodiscard]] static std::optional<GreHeader> parse(ByteView bytes) noexcept {
    constexpr std::uint16_t must_be_zero = 0x4C00;
    Reader reader(bytes);
    const auto flags = reader.u16();
    const auto protocol = reader.u16();
    if (!flags || !protocol || (*flags & must_be_zero) != 0 || (*flags & 7) != 0) return std::nullopt;
    GreHeader header;
    header.protocol = *protocol;
    header.has_checksum = (*flags & gre_flag_checksum) != 0;
    if (header.has_checksum && !reader.skip(4)) return std::nullopt;
    if ((*flags & gre_flag_key) != 0 && !(header.key = reader.u32())) return std::nullopt;
    if ((*flags & gre_flag_sequence) != 0 && !(header.sequence = reader.u32())) return std::nullopt;
    return header;
  }

  /// Writes len() bytes; the checksum field is 0 until `fill_gre_checksum`.
  void write(std::uint8_t* to) const noexcept {
    std::uint16_t flags = has_checksum ? gre_flag_checksum : std::uint16_t{0};
    if (key) flags |= gre_flag_key;
    if (sequence) flags |= gre_flag_sequence;
    store_be(to, flags);
    store_be(to + 2, protocol);
    to += 4;
    if (has_checksum) {
      store_be(to, std::uint32_t{0});
      to += 4;
    }
    if (key) {
      store_be(to, *key);
      to += 4;
    }
    if (sequence) store_be(to, *sequence);
  }
};

/// RFC 2784 §2.3: over the GRE header and the payload. For a packet whose header parsed with has_checksum.
[[nodiscard]] inline bool gre_checksum_holds(ByteView gre_packet) noexcept {
  return checksum(gre_packet) == 0;
}
inline void fill_gre_checksum(MutableByteView gre_packet) noexcept {
  store_be(&gre_packet[4], checksum(gre_packet));
}

}  // namespace culvert::wire

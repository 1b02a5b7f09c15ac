#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"

namespace culvert::wire {

// RFC 768
//   |          Source Port          |       Destination Port        |
//   |            Length             |           Checksum            |

inline constexpr std::size_t udp_header_len = 8;
inline constexpr std::size_t udp_len_offset = 4, udp_checksum_offset = 6;

struct UdpHeader {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t len = 0;  ///< header and data
  std::uint16_t checksum = 0;

  /// nullopt: too short, or a length that does not fit.
  [[nodiscard]] static std::optional<UdpHeader> parse(ByteView bytes) noexcept {
    if (bytes.size() < udp_header_len) return std::nullopt;
    const UdpHeader header{load_be<std::uint16_t>(bytes.data()), load_be<std::uint16_t>(bytes.data() + 2),
                           load_be<std::uint16_t>(bytes.data() + 4), load_be<std::uint16_t>(bytes.data() + 6)};
    if (header.len < udp_header_len || header.len > bytes.size()) return std::nullopt;
    return header;
  }
  /// Writes 8 bytes.
  void write(std::uint8_t* to) const noexcept {
    store_be(to, source_port);
    store_be(to + 2, destination_port);
    store_be(to + 4, len);
    store_be(to + 6, checksum);
  }
};

}  // namespace culvert::wire

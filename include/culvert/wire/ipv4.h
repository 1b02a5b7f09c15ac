#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/wire/checksum.h"

namespace culvert::wire {

// RFC 791 §3.1
//   |Version|  IHL  |Type of Service|          Total Length         |
//   |         Identification        |Flags|      Fragment Offset    |
//   |  Time to Live |    Protocol   |         Header Checksum       |
//   |                       Source Address                          |
//   |                    Destination Address                        |
//   |                    Options                    |    Padding    |

inline constexpr std::size_t ipv4_min_header_len = 20;
inline constexpr std::uint16_t ipv4_df = 0x4000, ipv4_mf = 0x2000, ipv4_offset_mask = 0x1FFF;

/// A value: the fields, without options.
struct Ipv4Header {
  std::uint8_t header_len = 20;  ///< bytes, 20…60
  std::uint8_t tos = 0;
  std::uint16_t total_len = 0;  ///< bytes, header included
  std::uint16_t id = 0;
  std::uint16_t fragment_field = 0;  ///< flags and offset as on the wire
  std::uint8_t ttl = 64;
  std::uint8_t protocol = 0;
  IpAddress source;
  IpAddress destination;

  [[nodiscard]] bool dont_fragment() const noexcept { return (fragment_field & ipv4_df) != 0; }
  [[nodiscard]] bool more_fragments() const noexcept { return (fragment_field & ipv4_mf) != 0; }
  [[nodiscard]] std::uint32_t fragment_offset() const noexcept {
    return (fragment_field & ipv4_offset_mask) * 8U;
  }  ///< bytes
  [[nodiscard]] bool is_fragment() const noexcept { return (fragment_field & (ipv4_mf | ipv4_offset_mask)) != 0; }

  /// nullopt: not IPv4, or a length that does not fit `bytes`. Bytes behind total_len are allowed. The header checksum
  /// is not looked at: whoever delivers the packet does.
  [[nodiscard]] static std::optional<Ipv4Header> parse(ByteView bytes) noexcept {
    if (bytes.size() < ipv4_min_header_len || bytes[0] >> 4 != 4) return std::nullopt;
    Ipv4Header header;
    header.header_len = static_cast<std::uint8_t>((bytes[0] & 0x0F) * 4);
    header.tos = bytes[1];
    header.total_len = load_be<std::uint16_t>(&bytes[2]);
    if (header.header_len < ipv4_min_header_len || header.total_len < header.header_len ||
        header.total_len > bytes.size()) {
      return std::nullopt;
    }
    header.id = load_be<std::uint16_t>(&bytes[4]);
    header.fragment_field = load_be<std::uint16_t>(&bytes[6]);
    header.ttl = bytes[8];
    header.protocol = bytes[9];
    header.source = IpAddress::v4(load_be<std::uint32_t>(&bytes[12]));
    header.destination = IpAddress::v4(load_be<std::uint32_t>(&bytes[16]));
    return header;
  }

  /// Writes 20 bytes without options, with the checksum; header_len must be 20.
  void write(std::uint8_t* to) const noexcept {
    to[0] = 0x45;
    to[1] = tos;
    store_be(to + 2, total_len);
    store_be(to + 4, id);
    store_be(to + 6, fragment_field);
    to[8] = ttl;
    to[9] = protocol;
    store_be(to + 10, std::uint16_t{0});
    std::memcpy(to + 12, source.bytes().data(), 4);
    std::memcpy(to + 16, destination.bytes().data(), 4);
    store_be(to + 10, checksum({to, ipv4_min_header_len}));
  }
};

}  // namespace culvert::wire

#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/wire/protocol.h"

namespace culvert::wire {

// RFC 8200 §3
//   |Version| Traffic Class |           Flow Label                  |
//   |         Payload Length        |  Next Header  |   Hop Limit   |
//   |                    Source Address (16 bytes)                  |
//   |                 Destination Address (16 bytes)                |

inline constexpr std::size_t ipv6_header_len = 40;
/// More extension headers than this are nobody's honest packet.
inline constexpr int max_ipv6_extension_headers = 8;

struct Ipv6Header {
  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0;   ///< 20 bits
  std::uint16_t payload_len = 0;  ///< bytes behind the fixed header
  std::uint8_t next_header = 0;
  std::uint8_t hop_limit = 64;
  IpAddress source;
  IpAddress destination;

  [[nodiscard]] std::uint32_t total_len() const noexcept { return std::uint32_t{ipv6_header_len} + payload_len; }

  /// nullopt: not IPv6, or longer than `bytes`. Bytes behind the payload are allowed. A jumbogram (RFC 2675) parses as
  /// one without payload.
  [[nodiscard]] static std::optional<Ipv6Header> parse(ByteView bytes) noexcept {
    if (bytes.size() < ipv6_header_len || bytes[0] >> 4 != 6) return std::nullopt;
    Ipv6Header header;
    const auto first = load_be<std::uint32_t>(bytes.data());
    header.traffic_class = static_cast<std::uint8_t>(first >> 20);
    header.flow_label = first & 0xFFFFF;
    header.payload_len = load_be<std::uint16_t>(&bytes[4]);
    header.next_header = bytes[6];
    header.hop_limit = bytes[7];
    header.source = *IpAddress::from_bytes(bytes.subspan(8, 16));
    header.destination = *IpAddress::from_bytes(bytes.subspan(24, 16));
    if (header.total_len() > bytes.size()) return std::nullopt;
    return header;
  }

  /// Writes 40 bytes.
  void write(std::uint8_t* to) const noexcept {
    store_be(to, std::uint32_t{6} << 28 | std::uint32_t{traffic_class} << 20 | (flow_label & 0xFFFFF));
    store_be(to + 4, payload_len);
    to[6] = next_header;
    to[7] = hop_limit;
    std::memcpy(to + 8, source.bytes().data(), 16);
    std::memcpy(to + 24, destination.bytes().data(), 16);
  }
};

/// Where the chain of extension headers ends.
struct Ipv6UpperLayer {
  std::uint8_t protocol = 0;          ///< of what stands at `offset`
  std::size_t offset = 0;             ///< from the fixed header's first byte
  bool is_fragment = false;           ///< there is a Fragment header
  std::uint16_t fragment_offset = 0;  ///< bytes
  bool more_fragments = false;
};

/// Walks from the fixed header over hop-by-hop, routing, destination options and Fragment headers (RFC 8200 §4). Behind
/// a non-initial Fragment header nothing is walked: `protocol` is its next header. `packet` ends where the payload
/// does. nullopt: a header reaches beyond the packet, or there are more than eight.
[[nodiscard]] inline std::optional<Ipv6UpperLayer> ipv6_upper_layer(ByteView packet,
                                                                    std::uint8_t first_next_header) noexcept {
  Ipv6UpperLayer upper{.protocol = first_next_header, .offset = ipv6_header_len};
  for (int headers = 0; headers <= max_ipv6_extension_headers; ++headers) {
    const bool is_fragment_header = upper.protocol == proto_fragment;
    if (!is_fragment_header && upper.protocol != proto_hop_by_hop && upper.protocol != proto_routing &&
        upper.protocol != proto_destination_options) {
      return upper;
    }
    if (packet.size() < upper.offset + 8) return std::nullopt;
    const std::uint8_t* header = packet.data() + upper.offset;
    const std::size_t len = is_fragment_header ? 8 : (std::size_t{header[1]} + 1) * 8;
    if (packet.size() < upper.offset + len) return std::nullopt;
    upper.protocol = header[0];
    upper.offset += len;
    if (is_fragment_header) {
      const auto field = load_be<std::uint16_t>(header + 2);
      upper.is_fragment = true;
      upper.fragment_offset = field & 0xFFF8;
      upper.more_fragments = (field & 1) != 0;
      if (upper.fragment_offset != 0) return upper;
    }
  }
  return std::nullopt;
}

}  // namespace culvert::wire

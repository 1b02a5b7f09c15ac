#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"

namespace culvert::wire {

// RFC 9293 §3.1
//   |          Source Port          |       Destination Port        |
//   |                        Sequence Number                        |
//   |                    Acknowledgment Number                      |
//   | Offset|  Rsrvd | C E U A P R S F |           Window           |
//   |           Checksum            |         Urgent Pointer        |
//   |                           [Options]                           |

inline constexpr std::size_t tcp_min_header_len = 20;
inline constexpr std::uint8_t tcp_fin = 0x01, tcp_syn = 0x02, tcp_rst = 0x04, tcp_psh = 0x08, tcp_ack = 0x10,
                              tcp_urg = 0x20, tcp_ece = 0x40, tcp_cwr = 0x80;
inline constexpr std::size_t tcp_sequence_offset = 4, tcp_flags_offset = 13, tcp_checksum_offset = 16;
inline constexpr std::uint8_t tcp_option_end = 0, tcp_option_nop = 1, tcp_option_mss = 2;

struct TcpHeader {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t header_len = 0;  ///< bytes, 20…60
  std::uint8_t flags = 0;

  /// nullopt: too short, or a header length that does not fit.
  [[nodiscard]] static std::optional<TcpHeader> parse(ByteView bytes) noexcept {
    if (bytes.size() < tcp_min_header_len) return std::nullopt;
    const TcpHeader header{load_be<std::uint16_t>(bytes.data()), load_be<std::uint16_t>(bytes.data() + 2),
                           static_cast<std::uint8_t>((bytes[12] >> 4) * 4), bytes[13]};
    if (header.header_len < tcp_min_header_len || header.header_len > bytes.size()) return std::nullopt;
    return header;
  }
};

/// The offset, from the TCP header's first byte, of the value of the MSS option (RFC 9293 §3.2); nullopt: there is
/// none, or the options are malformed. `segment` begins with a header that parsed.
[[nodiscard]] inline std::optional<std::size_t> tcp_mss_offset(ByteView segment, std::size_t header_len) noexcept {
  for (std::size_t at = tcp_min_header_len; at < header_len;) {
    const std::uint8_t kind = segment[at];
    if (kind == tcp_option_end) return std::nullopt;
    if (kind == tcp_option_nop) {
      ++at;
      continue;
    }
    if (at + 1 >= header_len) return std::nullopt;
    const std::size_t len = segment[at + 1];
    if (len < 2 || at + len > header_len) return std::nullopt;
    if (kind == tcp_option_mss) return len == 4 ? std::optional{at + 2} : std::nullopt;
    at += len;
  }
  return std::nullopt;
}

}  // namespace culvert::wire

#pragma once
#include <cstddef>
#include <cstdint>

#include "culvert/base/bytes.h"

namespace culvert::tunnel {

/// What a datagram on one of our UDP ports is, by its first bytes alone.
enum class DatagramKind : std::uint8_t {
  ike,        ///< for the control plane
  esp,        ///< starts with the SPI
  keepalive,  ///< NAT keepalive, RFC 3948 §2.3
  malformed,  ///< none of these
};

enum class PortKind : std::uint8_t {
  ike,  ///< UDP 500: all is IKE
  nat,  ///< UDP 4500: IKE behind a non-ESP marker, ESP, keepalives
};

struct ClassifiedDatagram {
  DatagramKind kind = DatagramKind::malformed;
  std::uint8_t header_len = 0;  ///< bytes to skip: the non-ESP marker, else 0
};

inline constexpr std::size_t non_esp_marker_len = 4;
inline constexpr std::size_t esp_header_len = 8;  ///< SPI and sequence number, RFC 4303 §2

/// RFC 3948 §2: on the NAT port
///   - IKE has four zero bytes, the non-ESP marker, where ESP has its SPI, which is never 0 (§2.2, §2.1);
///   - a keepalive is the single byte 0xFF, to be ignored (§2.3, §4);
///   - all else is ESP. How long ESP has to be depends on its SA; here it must hold SPI and sequence number.
/// Pure, any thread.
[[nodiscard]] inline ClassifiedDatagram classify(PortKind port, ByteView bytes) noexcept {
  if (port == PortKind::ike) {
    return {bytes.empty() ? DatagramKind::malformed : DatagramKind::ike, 0};
  }
  if (bytes.size() == 1 && bytes[0] == 0xFF) return {DatagramKind::keepalive, 0};
  if (bytes.size() < non_esp_marker_len) return {DatagramKind::malformed, 0};
  if (load_be<std::uint32_t>(bytes.data()) == 0) {
    const bool empty = bytes.size() == non_esp_marker_len;
    return {empty ? DatagramKind::malformed : DatagramKind::ike, non_esp_marker_len};
  }
  return {bytes.size() >= esp_header_len ? DatagramKind::esp : DatagramKind::malformed, 0};
}

}  // namespace culvert::tunnel

#pragma once
#include <cstdint>

#include "culvert/base/bytes.h"

namespace culvert::tunnel {

/// What is to be done with an inner packet and an MTU.
enum class Fit : std::uint8_t {
  fits,
  fragment,  ///< IPv4 without DF: Ipv4Fragmenter
  too_big,   ///< build_packet_too_big
  malformed,
};
[[nodiscard]] Fit fit(ByteView ip_packet, std::uint16_t mtu) noexcept;

/// Cuts an IPv4 packet without DF into fragments of at most `mtu` bytes (RFC 791 §3.2), one at a time, so that the
/// caller can find a buffer for each. The packet must stay where it is meanwhile, and not be one of the buffers.
class Ipv4Fragmenter {
 public:
  /// The packet may itself be a fragment. Malformed, with DF, or an mtu without room for 8 bytes of data: there is
  /// nothing to do.
  Ipv4Fragmenter(ByteView packet, std::uint16_t mtu) noexcept;

  [[nodiscard]] bool done() const noexcept { return sent_ == payload_.size(); }
  /// Writes the next fragment to `out` and returns its length; 0 when done, or (and nothing moves) when `out` is
  /// shorter than mtu.
  [[nodiscard]] std::size_t next(MutableByteView out) noexcept;

 private:
  [[nodiscard]] std::size_t write_header(MutableByteView out) const noexcept;

  ByteView header_;
  ByteView payload_;
  std::size_t sent_ = 0;
  std::uint16_t mtu_;
};

}  // namespace culvert::tunnel

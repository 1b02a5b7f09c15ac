#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"
#include "offload.h"

namespace culvert::tunnel {

/// Cuts a super-packet of TCP or UDP, IPv4 or IPv6, into the packets that a kernel without offload would have sent: the
/// headers are written by us, the payload stays where it is. Nothing is allocated. One worker at a time.
class Segmenter {
 public:
  /// Headers of a segment at most: IPv4 with options and TCP with options, or IPv6 with extension headers up to this.
  static constexpr std::size_t max_header_len = 192;

  /// The super-packet, as read from the device; it must stay unchanged until the last segment was used. nullopt: not
  /// what `offload` says, or lengths that do not fit (DropReason::inner_malformed).
  [[nodiscard]] static std::optional<Segmenter> start(ByteView packet, const Offload& offload) noexcept;

  struct Segment {
    std::size_t header_len = 0;  ///< bytes written
    ByteView body;               ///< of the super-packet: what follows the header
  };
  [[nodiscard]] bool done() const noexcept;
  /// Writes the next segment's headers, with all lengths and checksums right, to `headers` (max_header_len bytes).
  [[nodiscard]] Segment next(std::uint8_t* headers) noexcept;

  [[nodiscard]] std::size_t num_segments() const noexcept;
  /// IP length of all segments but the last, which may be shorter.
  [[nodiscard]] std::size_t segment_packet_len() const noexcept;
};

/// Fills in the checksum that `offload` says is missing, in a packet that is not a super-packet. false: its place is
/// not in the packet (DropReason::inner_malformed); the packet is unchanged. A UDP sum of 0 becomes 0xFFFF.
[[nodiscard]] bool complete_checksum(MutableByteView packet, const Offload& offload) noexcept;

}  // namespace culvert::tunnel

#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"
#include "offload.h"

namespace culvert::wire {
struct Ipv4Header;
struct Ipv6Header;
}  // namespace culvert::wire

namespace culvert::tunnel {

/// Cuts a super-packet of TCP or UDP, IPv4 or IPv6, into the packets that a kernel without offload would have sent: the
/// headers are written by us, the payload stays where it is. Nothing is allocated. One worker at a time.
class Segmenter {
 public:
  /// Headers of a segment at most: IPv4 with options and TCP with options, or IPv6 with extension headers up to this.
  static constexpr std::size_t max_header_len = 192;

  /// The super-packet, as read from the device; it must stay unchanged until the last segment was used. What stands
  /// behind its IP length is left out. nullopt: not what `offload` says, or lengths that do not fit
  /// (DropReason::inner_malformed). A super-packet of no more than one segment is fine and gives that one.
  [[nodiscard]] static std::optional<Segmenter> start(ByteView packet, const Offload& offload) noexcept;

  struct Segment {
    std::size_t header_len = 0;  ///< bytes written
    ByteView body;               ///< of the super-packet: what follows the header
  };
  [[nodiscard]] bool done() const noexcept { return done_; }
  /// Writes the next segment's headers, with all lengths and checksums right, to `headers` (room for max_header_len
  /// bytes, outside of the super-packet; no byte behind the headers is touched). Not to be called once done().
  [[nodiscard]] Segment next(std::uint8_t* headers) noexcept;

  [[nodiscard]] std::size_t num_segments() const noexcept;
  /// IP length of all segments but the last, which may be shorter; of the only one when there is but one.
  [[nodiscard]] std::size_t segment_packet_len() const noexcept;

 private:
  Segmenter() noexcept = default;
  [[nodiscard]] bool read_ipv4(const wire::Ipv4Header& header, const Offload& offload) noexcept;
  [[nodiscard]] bool read_ipv6(const wire::Ipv6Header& header, const Offload& offload) noexcept;
  [[nodiscard]] bool read_upper(ByteView upper, std::uint8_t protocol, const Offload& offload) noexcept;
  void write_ip(std::uint8_t* headers, std::uint32_t body_len) noexcept;
  void write_tcp(std::uint8_t* tcp, ByteView body, bool last) noexcept;
  void write_udp(std::uint8_t* udp, ByteView body) const noexcept;

  const std::uint8_t* packet_ = nullptr;
  std::uint64_t ip_sum_ = 0;     ///< IPv4 header without total length, identification and checksum
  std::uint64_t upper_sum_ = 0;  ///< pseudo header and TCP or UDP header without what differs between segments
  std::uint32_t payload_len_ = 0;
  std::uint32_t offset_ = 0;        ///< of the next segment's body in the payload
  std::uint32_t sequence_ = 0;      ///< TCP: of the next segment
  std::uint16_t id_ = 0;            ///< IPv4: of the next segment
  std::uint16_t segment_len_ = 0;   ///< payload bytes of all segments but the last
  std::uint16_t upper_offset_ = 0;  ///< of the TCP or UDP header
  std::uint16_t header_len_ = 0;    ///< IP and TCP or UDP
  std::uint8_t tcp_flags_ = 0;      ///< of the super-packet
  bool is_v4_ = false;
  bool is_tcp_ = false;
  bool done_ = false;
};

/// Fills in the checksum that `offload` says is missing, if it says so, in a packet that is not a super-packet. false:
/// its place is not in the packet (DropReason::inner_malformed); the packet is unchanged. A sum of 0 becomes 0xFFFF,
/// which UDP demands and the others do not mind.
[[nodiscard]] bool complete_checksum(MutableByteView packet, const Offload& offload) noexcept;

}  // namespace culvert::tunnel

#pragma once
#include <cstdint>

namespace culvert::tunnel {

/// What travels with a packet between a TUN queue and us (IFF_VNET_HDR, struct virtio_net_hdr): which of its checksums
/// is still to be filled in, and into which segments it is to be cut, or was joined from.
struct Offload {
  enum class Kind : std::uint8_t {
    none,  ///< one packet
    tcp,   ///< a super-packet: TCP over IPv4 or IPv6, to be cut every `segment_len` bytes of payload
    udp,   ///< the same of UDP datagrams of one flow (USO)
  };
  Kind kind = Kind::none;
  /// The checksum field at checksum_start + checksum_offset holds the sum of the pseudo header, not complemented; the
  /// rest from checksum_start to the end of the packet is to be added. Always so for super-packets.
  bool needs_checksum = false;
  std::uint16_t segment_len = 0;      ///< payload bytes of each segment; the last may be shorter
  std::uint16_t header_len = 0;       ///< IP and TCP or UDP headers; of what we write. The kernel's is only a hint
  std::uint16_t checksum_start = 0;   ///< from the first byte of the IP header
  std::uint16_t checksum_offset = 0;  ///< from checksum_start
};

}  // namespace culvert::tunnel

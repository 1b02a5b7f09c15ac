#pragma once
#include <cstdint>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"

namespace culvert::lab {

/// struct virtio_net_hdr (virtio 1.2 §5.1.6, native byte order), as PACKET_VNET_HDR and IFF_VNET_HDR have it.
struct KernelOffload {
  static constexpr std::uint8_t needs_csum = 1;                         // VIRTIO_NET_HDR_F_NEEDS_CSUM
  static constexpr std::uint8_t none = 0, tcp4 = 1, tcp6 = 4, udp = 5;  // VIRTIO_NET_HDR_GSO_…; udp: UDP_L4

  std::uint8_t flags = 0;
  std::uint8_t gso_type = none;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};
static_assert(sizeof(KernelOffload) == 10);

/// An IP packet with what the kernel says of it: perhaps a super-packet, perhaps without its checksum.
struct OffloadedPacket {
  KernelOffload offload;
  Bytes bytes;
};

/// What a packet or super-packet is to be like.
struct PacketShape {
  IpAddress source, destination;
  bool tcp = true;              ///< else UDP
  std::size_t payload_len = 0;  ///< of all segments together
  std::uint16_t segment_len = 0;
  std::uint8_t tcp_flags = 0x10;     ///< ACK
  std::size_t tcp_options_len = 12;  ///< two NOPs and a timestamp, or 0
  bool dont_fragment = true;
  std::uint16_t id = 0;  ///< IPv4
  std::uint16_t source_port = 40000;
  std::uint32_t sequence = 0;  ///< TCP
  std::uint8_t fill = 0;       ///< what the payload begins with; each byte is another than its neighbours
};

/// As the kernel hands it to a device that computes checksums and cuts: the checksum field holds the sum of the pseudo
/// header. Without a segment_len, or with no more payload than that, it is no super-packet.
[[nodiscard]] OffloadedPacket make_packet(const PacketShape& shape);

/// What a kernel without offload would have sent: each segment built from its fields, all checksums right. Written by
/// the book (RFC 791, 9293, 768, 8200; linux/Documentation/networking/segmentation-offloads.rst) and apart from the
/// code under test.
[[nodiscard]] std::vector<Bytes> cut_by_the_book(const OffloadedPacket& packet);

/// How many packets that gives.
[[nodiscard]] std::size_t num_segments(const OffloadedPacket& packet);

/// IPv4 fragments of one packet in any order as that packet; empty when one is missing or overlaps.
[[nodiscard]] Bytes reassemble(const std::vector<Bytes>& fragments);

/// RFC 1071, written out once more so that the packets do not lean on the code under test.
[[nodiscard]] std::uint16_t internet_checksum(ByteView bytes, std::uint32_t sum = 0);

}  // namespace culvert::lab

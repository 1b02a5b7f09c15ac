#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/protocol.h"

namespace culvert::wire {

/// What routing and selectors want to know of an IP packet: RFC 4301 §4.4.1.1.
struct Flow {
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;   ///< of the upper layer
  bool protocol_known = true;  ///< false: a non-initial IPv6 fragment whose upper layer cannot be told
  bool ports_known =
      false;  ///< false: non-initial fragment, a protocol without ports, or too little of it in the packet
  std::uint16_t source_port = 0;  ///< for ICMP: type << 8 | code, the same in both (RFC 7296 §3.13.1)
  std::uint16_t destination_port = 0;
  std::uint8_t tos = 0;
  std::uint32_t total_len = 0;  ///< of the IP packet; what stands behind is not part of it

  /// nullopt: neither IPv4 nor IPv6, or lengths that do not fit.
  [[nodiscard]] static std::optional<Flow> parse(ByteView packet) noexcept;
};

namespace detail {

/// Fills the ports in from the first bytes of the upper layer, where there are any.
inline void read_ports(Flow& flow, ByteView upper) noexcept {
  switch (flow.protocol) {
    case proto_tcp:
    case proto_udp:
    case proto_dccp:
    case proto_sctp:
    case proto_udplite:
      if (upper.size() < 4) return;
      flow.source_port = load_be<std::uint16_t>(upper.data());
      flow.destination_port = load_be<std::uint16_t>(upper.data() + 2);
      break;
    case proto_icmp:
    case proto_icmpv6:
      if (upper.size() < 2) return;
      flow.source_port = flow.destination_port = load_be<std::uint16_t>(upper.data());
      break;
    case proto_mobility:  // RFC 7296 §3.13.1: the MH type in the high byte
      if (upper.size() < 3) return;
      flow.source_port = flow.destination_port = static_cast<std::uint16_t>(upper[2] << 8);
      break;
    default:
      return;
  }
  flow.ports_known = true;
}

/// An extension header type: behind a non-initial fragment it hides the upper layer.
[[nodiscard]] inline bool hides_upper_layer(std::uint8_t next_header) noexcept {
  return next_header == proto_hop_by_hop || next_header == proto_routing || next_header == proto_destination_options ||
         next_header == proto_fragment;
}

}  // namespace detail

inline std::optional<Flow> Flow::parse(ByteView packet) noexcept {
  if (packet.empty()) return std::nullopt;
  Flow flow;
  if (packet[0] >> 4 == 4) {
    const auto header = Ipv4Header::parse(packet);
    if (!header) return std::nullopt;
    flow.source = header->source;
    flow.destination = header->destination;
    flow.protocol = header->protocol;
    flow.tos = header->tos;
    flow.total_len = header->total_len;
    if (header->fragment_offset() == 0) {
      detail::read_ports(flow, packet.first(header->total_len).subspan(header->header_len));
    }
    return flow;
  }
  const auto header = Ipv6Header::parse(packet);
  if (!header) return std::nullopt;
  flow.source = header->source;
  flow.destination = header->destination;
  flow.tos = header->traffic_class;
  flow.total_len = header->total_len();
  const ByteView whole = packet.first(flow.total_len);
  const auto upper = ipv6_upper_layer(whole, header->next_header);
  if (!upper) return std::nullopt;
  flow.protocol = upper->protocol;
  if (upper->fragment_offset != 0) {
    flow.protocol_known = !detail::hides_upper_layer(upper->protocol);
  } else {
    detail::read_ports(flow, whole.subspan(upper->offset));
  }
  return flow;
}

/// What a kernel sends into an interface by itself: group membership reports (IGMP, RFC 3376; MLD, RFC 3810) and IPv6 neighbour and
/// router discovery (RFC 4861). Nobody asked for it, so it brings up no tunnel that waits for traffic.
[[nodiscard]] inline bool is_link_housekeeping(const Flow& flow) noexcept {
  if (!flow.destination.is_multicast()) return false;
  if (flow.destination.is_v4()) return flow.protocol == proto_igmp;
  if (flow.protocol != proto_icmpv6 || !flow.ports_known) return false;
  const int type = flow.source_port >> 8;
  return (type >= 130 && type <= 136) || type == 143;
}

/// The length of an IPv4 or IPv6 packet by its own header; nullopt: neither, or longer than `packet`.
[[nodiscard]] inline std::optional<std::uint32_t> ip_total_len(ByteView packet) noexcept {
  if (packet.empty()) return std::nullopt;
  if (packet[0] >> 4 == 4) {
    if (packet.size() < ipv4_min_header_len) return std::nullopt;
    const std::uint32_t header_len = (packet[0] & 0x0FU) * 4;
    const std::uint32_t len = load_be<std::uint16_t>(&packet[2]);
    if (header_len < ipv4_min_header_len || len < header_len || len > packet.size()) return std::nullopt;
    return len;
  }
  if (packet[0] >> 4 != 6 || packet.size() < ipv6_header_len) return std::nullopt;
  const std::uint32_t len = std::uint32_t{ipv6_header_len} + load_be<std::uint16_t>(&packet[4]);
  if (len > packet.size()) return std::nullopt;
  return len;
}

/// TOS or traffic class; at least two bytes of an IPv4 or IPv6 packet.
[[nodiscard]] inline std::uint8_t ip_tos(ByteView packet) noexcept {
  return packet[0] >> 4 == 4 ? packet[1] : static_cast<std::uint8_t>(load_be<std::uint16_t>(packet.data()) >> 4);
}

}  // namespace culvert::wire

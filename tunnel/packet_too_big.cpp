#include "packet_too_big.h"

#include <algorithm>

#include "culvert/wire/checksum.h"
#include "culvert/wire/icmp.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"

namespace culvert::tunnel {
namespace {

constexpr std::size_t max_v4_len = 576;              // RFC 1812 §4.3.2.3
constexpr std::uint8_t internetwork_control = 0xC0;  // RFC 1812 §4.3.2.5: precedence 6

// RFC 1122 §3.2.2 and RFC 4443 §2.4 e: an error goes to a single host or to nobody.
bool is_single_host(const IpAddress& address) noexcept {
  if (address.is_unspecified() || address.is_multicast()) return false;
  return !address.is_v4() || address.bytes()[0] < 240;  // class E, and 255.255.255.255
}

bool v4_may_be_answered(const wire::Ipv4Header& header, ByteView payload) noexcept {
  if (!header.dont_fragment() || header.fragment_offset() != 0) return false;
  if (!is_single_host(header.source) || !is_single_host(header.destination)) return false;
  return header.protocol != wire::proto_icmp || (!payload.empty() && !wire::is_icmp_error(payload[0]));
}

std::size_t build_v4(ByteView packet, std::uint16_t mtu, const IpAddress& source, MutableByteView out) noexcept {
  const auto header = wire::Ipv4Header::parse(packet);
  if (!header) return 0;
  packet = packet.first(header->total_len);
  if (!v4_may_be_answered(*header, packet.subspan(header->header_len))) return 0;

  constexpr std::size_t before = wire::ipv4_min_header_len + wire::icmp_header_len;
  const std::size_t quoted = std::min(packet.size(), max_v4_len - before);
  if (out.size() < before + quoted) return 0;
  wire::Ipv4Header answer;
  answer.tos = internetwork_control;
  answer.total_len = static_cast<std::uint16_t>(before + quoted);
  answer.protocol = wire::proto_icmp;
  answer.source = source;
  answer.destination = header->source;
  answer.write(out.data());

  const MutableByteView icmp = out.subspan(wire::ipv4_min_header_len, wire::icmp_header_len + quoted);
  icmp[0] = wire::icmp_unreachable;
  icmp[1] = wire::icmp_code_fragmentation_needed;
  store_be(&icmp[2], std::uint32_t{0});  // checksum, unused
  store_be(&icmp[6], mtu);
  std::copy_n(packet.begin(), quoted, icmp.begin() + wire::icmp_header_len);
  store_be(&icmp[2], wire::checksum(icmp));
  return before + quoted;
}

bool v6_may_be_answered(const wire::Ipv6Header& header, const wire::Ipv6UpperLayer& upper, ByteView packet) noexcept {
  if (!is_single_host(header.source) || upper.fragment_offset != 0) return false;
  if (upper.protocol != wire::proto_icmpv6) return true;
  return packet.size() > upper.offset && !wire::is_icmpv6_error(packet[upper.offset]);
}

std::size_t build_v6(ByteView packet, std::uint16_t mtu, const IpAddress& source, MutableByteView out) noexcept {
  const auto header = wire::Ipv6Header::parse(packet);
  if (!header) return 0;
  packet = packet.first(header->total_len());
  const auto upper = wire::ipv6_upper_layer(packet, header->next_header);
  if (!upper || !v6_may_be_answered(*header, *upper, packet)) return 0;

  constexpr std::size_t before = wire::ipv6_header_len + wire::icmp_header_len;
  const std::size_t quoted = std::min(packet.size(), max_packet_too_big_len - before);
  if (out.size() < before + quoted) return 0;
  wire::Ipv6Header answer;
  answer.payload_len = static_cast<std::uint16_t>(wire::icmp_header_len + quoted);
  answer.next_header = wire::proto_icmpv6;
  answer.source = source;
  answer.destination = header->source;
  answer.write(out.data());

  const MutableByteView icmp = out.subspan(wire::ipv6_header_len, answer.payload_len);
  icmp[0] = wire::icmpv6_packet_too_big;
  icmp[1] = 0;
  store_be(&icmp[2], std::uint16_t{0});
  store_be(&icmp[4], std::uint32_t{mtu});
  std::copy_n(packet.begin(), quoted, icmp.begin() + wire::icmp_header_len);
  const auto pseudo = wire::pseudo_header_sum(source, header->source, wire::proto_icmpv6, answer.payload_len);
  store_be(&icmp[2], wire::checksum(icmp, pseudo));
  return before + quoted;
}

}  // namespace

std::size_t build_packet_too_big(ByteView packet, std::uint16_t mtu, const IpAddress& source,
                                 MutableByteView out) noexcept {
  if (packet.empty()) return 0;
  const bool is_v4 = packet[0] >> 4 == 4;
  if (source.is_v4() != is_v4) return 0;
  return is_v4 ? build_v4(packet, mtu, source, out) : build_v6(packet, mtu, source, out);
}

}  // namespace culvert::tunnel

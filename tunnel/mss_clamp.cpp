#include "mss_clamp.h"

#include <algorithm>

#include "culvert/wire/checksum.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/tcp.h"

namespace culvert::tunnel {
namespace {

/// Told by one look, as of nearly all packets. The flags are where they would be in a whole packet; of a fragment they
/// may be anything, but that is no matter: there is nothing to clamp in one that has no TCP header.
bool is_plainly_no_syn(ByteView packet) noexcept {
  constexpr std::size_t v4_flags_at = wire::ipv4_min_header_len + wire::tcp_flags_offset;
  constexpr std::size_t v6_flags_at = wire::ipv6_header_len + wire::tcp_flags_offset;
  if (packet.size() <= v6_flags_at) return false;
  if (packet[0] == 0x45) return packet[9] != wire::proto_tcp || (packet[v4_flags_at] & wire::tcp_syn) == 0;
  return packet[0] >> 4 == 6 && packet[6] == wire::proto_tcp && (packet[v6_flags_at] & wire::tcp_syn) == 0;
}

/// The TCP segment of a packet, when the packet is one with its TCP header in it.
MutableByteView tcp_segment(MutableByteView packet) noexcept {
  if (packet.empty()) return {};
  if (packet[0] >> 4 == 4) {
    const auto header = wire::Ipv4Header::parse(packet);
    if (!header || header->protocol != wire::proto_tcp || header->fragment_offset() != 0) return {};
    return packet.first(header->total_len).subspan(header->header_len);
  }
  const auto header = wire::Ipv6Header::parse(packet);
  if (!header) return {};
  const MutableByteView whole = packet.first(header->total_len());
  const auto upper = wire::ipv6_upper_layer(whole, header->next_header);
  if (!upper || upper->protocol != wire::proto_tcp || upper->fragment_offset != 0) return {};
  return whole.subspan(upper->offset);
}

/// Stores a 16-bit value at any offset of the segment and keeps the checksum right: an odd offset touches two words of
/// the sum.
void replace_u16(MutableByteView segment, std::size_t offset, std::uint16_t value) noexcept {
  const std::size_t first_word = offset & ~std::size_t{1};
  const std::size_t num_words = offset % 2 == 0 ? 1 : 2;
  std::uint16_t before[2];
  for (std::size_t i = 0; i < num_words; ++i) before[i] = load_be<std::uint16_t>(&segment[first_word + 2 * i]);
  store_be(&segment[offset], value);
  auto sum = load_be<std::uint16_t>(&segment[wire::tcp_checksum_offset]);
  for (std::size_t i = 0; i < num_words; ++i) {
    sum = wire::checksum_update(sum, before[i], load_be<std::uint16_t>(&segment[first_word + 2 * i]));
  }
  store_be(&segment[wire::tcp_checksum_offset], sum);
}

}  // namespace

bool clamp_mss(MutableByteView ip_packet, std::uint16_t mtu, std::uint16_t limit) noexcept {
  if (is_plainly_no_syn(ip_packet)) return false;
  const MutableByteView segment = tcp_segment(ip_packet);
  const auto tcp = wire::TcpHeader::parse(segment);
  if (!tcp || (tcp->flags & wire::tcp_syn) == 0) return false;
  const std::size_t headers =
      wire::tcp_min_header_len + (ip_packet[0] >> 4 == 4 ? wire::ipv4_min_header_len : wire::ipv6_header_len);
  if (mtu <= headers) return false;
  const auto max_mss = static_cast<std::uint16_t>(std::min<std::size_t>(mtu - headers, limit));
  const auto offset = wire::tcp_mss_offset(segment, tcp->header_len);
  if (!offset || load_be<std::uint16_t>(&segment[*offset]) <= max_mss) return false;
  replace_u16(segment, *offset, max_mss);
  return true;
}

}  // namespace culvert::tunnel

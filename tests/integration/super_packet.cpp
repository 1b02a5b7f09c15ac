#include "super_packet.h"

#include <algorithm>

namespace culvert::lab {
namespace {

constexpr std::uint8_t tcp_protocol = 6, udp_protocol = 17;
constexpr std::uint8_t fin = 0x01, psh = 0x08, cwr = 0x80;
constexpr std::size_t tcp_checksum_at = 16, udp_checksum_at = 6;

struct Layout {
  bool is_v4, is_tcp;
  std::size_t upper;    ///< where the TCP or UDP header begins
  std::size_t payload;  ///< where the payload begins
  std::size_t checksum;
};

Layout layout_of(ByteView packet) {
  Layout layout{};
  layout.is_v4 = packet[0] >> 4 == 4;
  layout.upper = layout.is_v4 ? (packet[0] & 0x0F) * std::size_t{4} : 40;
  layout.is_tcp = packet[layout.is_v4 ? 9 : 6] == tcp_protocol;
  layout.payload = layout.upper + (layout.is_tcp ? packet[layout.upper + 12] / 16 * std::size_t{4} : 8);
  layout.checksum = layout.upper + (layout.is_tcp ? tcp_checksum_at : udp_checksum_at);
  return layout;
}

/// RFC 9293 §3.1, RFC 8200 §8.1: addresses, protocol and length of the upper layer, not folded.
std::uint32_t pseudo_header_sum(ByteView packet, const Layout& layout) {
  const ByteView addresses = layout.is_v4 ? packet.subspan(12, 8) : packet.subspan(8, 32);
  std::uint32_t sum = static_cast<std::uint32_t>(packet.size() - layout.upper);
  sum += layout.is_tcp ? tcp_protocol : udp_protocol;
  for (std::size_t i = 0; i < addresses.size(); i += 2) sum += load_be<std::uint16_t>(&addresses[i]);
  return sum;
}

void fix_ip_header(Bytes& packet) {
  if (packet[0] >> 4 == 6) return store_be(&packet[4], static_cast<std::uint16_t>(packet.size() - 40));
  store_be(&packet[2], static_cast<std::uint16_t>(packet.size()));
  store_be(&packet[10], std::uint16_t{0});
  store_be(&packet[10], internet_checksum(ByteView(packet).first((packet[0] & 0x0F) * std::size_t{4})));
}

void fix_upper_checksum(Bytes& packet, const Layout& layout) {
  store_be(&packet[layout.checksum], std::uint16_t{0});
  std::uint16_t sum = internet_checksum(ByteView(packet).subspan(layout.upper), pseudo_header_sum(packet, layout));
  if (sum == 0 && !layout.is_tcp) sum = 0xFFFF;  // RFC 768: 0 means that there is none
  store_be(&packet[layout.checksum], sum);
}

void write_ip_header(Writer& writer, const PacketShape& shape) {
  const std::uint8_t protocol = shape.tcp ? tcp_protocol : udp_protocol;
  if (shape.source.is_v4()) {
    writer.u32(0x45000000);
    writer.u16(shape.id);
    writer.u16(shape.dont_fragment ? 0x4000 : 0);
    writer.u16(static_cast<std::uint16_t>(0x4000 | protocol));  // TTL 64
    writer.u16(0);
  } else {
    writer.u32(0x60012345);
    writer.u16(0);
    writer.u16(static_cast<std::uint16_t>(protocol << 8 | 64));
  }
  writer.bytes(shape.source.bytes());
  writer.bytes(shape.destination.bytes());
}

void write_upper_header(Writer& writer, const PacketShape& shape) {
  writer.u16(shape.source_port);
  writer.u16(5201);
  if (!shape.tcp) {
    writer.u16(static_cast<std::uint16_t>(8 + shape.payload_len));
    return writer.u16(0);
  }
  writer.u32(shape.sequence);
  writer.u32(0x01020304);
  writer.u8(static_cast<std::uint8_t>((20 + shape.tcp_options_len) / 4 << 4));
  writer.u8(shape.tcp_flags);
  writer.u16(501);
  writer.u32(0);  // checksum, urgent pointer
  if (shape.tcp_options_len == 0) return;
  writer.u32(0x0101080A);
  writer.u32(77);
  writer.u32(88);
}

}  // namespace

OffloadedPacket make_packet(const PacketShape& shape) {
  OffloadedPacket packet;
  Writer writer(packet.bytes);
  write_ip_header(writer, shape);
  write_upper_header(writer, shape);
  for (std::size_t i = 0; i < shape.payload_len; ++i) writer.u8(static_cast<std::uint8_t>(shape.fill + i + i / 251));
  fix_ip_header(packet.bytes);
  const Layout layout = layout_of(packet.bytes);
  std::uint32_t pseudo = pseudo_header_sum(packet.bytes, layout);
  while (pseudo >> 16) pseudo = (pseudo & 0xFFFF) + (pseudo >> 16);
  store_be(&packet.bytes[layout.checksum], static_cast<std::uint16_t>(pseudo));
  packet.offload.flags = KernelOffload::needs_csum;
  packet.offload.csum_start = static_cast<std::uint16_t>(layout.upper);
  packet.offload.csum_offset = static_cast<std::uint16_t>(layout.checksum - layout.upper);
  if (shape.segment_len == 0 || shape.payload_len <= shape.segment_len) return packet;
  const std::uint8_t tcp_type = layout.is_v4 ? KernelOffload::tcp4 : KernelOffload::tcp6;
  packet.offload.gso_type = layout.is_tcp ? tcp_type : KernelOffload::udp;
  packet.offload.gso_size = shape.segment_len;
  packet.offload.hdr_len = static_cast<std::uint16_t>(layout.payload);
  return packet;
}

std::vector<Bytes> cut_by_the_book(const OffloadedPacket& packet) {
  const Bytes& whole = packet.bytes;
  if (packet.offload.gso_type == KernelOffload::none && packet.offload.flags == 0) return {whole};
  const Layout layout = layout_of(whole);
  const std::size_t payload_len = whole.size() - layout.payload;
  const std::size_t step = packet.offload.gso_type == KernelOffload::none ? payload_len : packet.offload.gso_size;
  std::vector<Bytes> segments;
  for (std::size_t at = 0; at == 0 || at < payload_len; at += step) {
    const std::size_t len = std::min(step, payload_len - at);
    Bytes segment(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(layout.payload));
    append(segment, ByteView(whole).subspan(layout.payload + at, len));
    if (layout.is_v4)
      store_be(&segment[4], static_cast<std::uint16_t>(load_be<std::uint16_t>(&whole[4]) + segments.size()));
    if (layout.is_tcp) {
      const auto sequence = load_be<std::uint32_t>(&whole[layout.upper + 4]);
      store_be(&segment[layout.upper + 4], sequence + static_cast<std::uint32_t>(at));
      std::uint8_t& flags = segment[layout.upper + 13];
      if (at + len < payload_len) flags = static_cast<std::uint8_t>(flags & ~(fin | psh));
      if (at != 0) flags = static_cast<std::uint8_t>(flags & ~cwr);
    } else {
      store_be(&segment[layout.upper + 4], static_cast<std::uint16_t>(segment.size() - layout.upper));
    }
    fix_ip_header(segment);
    fix_upper_checksum(segment, layout);
    segments.push_back(std::move(segment));
    if (len == 0) break;
  }
  return segments;
}

std::size_t num_segments(const OffloadedPacket& packet) {
  if (packet.offload.gso_type == KernelOffload::none) return 1;
  // hdr_len is only a hint: of what is received it is whatever lies in the first piece of the kernel's buffer.
  const std::size_t payload_len = packet.bytes.size() - layout_of(packet.bytes).payload;
  return (payload_len + packet.offload.gso_size - 1) / packet.offload.gso_size;
}

Bytes reassemble(const std::vector<Bytes>& fragments) {
  std::vector<const Bytes*> ordered;
  for (const Bytes& fragment : fragments) ordered.push_back(&fragment);
  const auto field = [](const Bytes& fragment) { return load_be<std::uint16_t>(&fragment[6]); };
  std::ranges::sort(ordered, {}, [&](const Bytes* fragment) { return field(*fragment) & 0x1FFF; });
  Bytes packet;
  for (const Bytes* fragment : ordered) {
    const std::size_t header_len = ((*fragment)[0] & 0x0F) * std::size_t{4};
    if (packet.empty()) packet.assign(fragment->begin(), fragment->begin() + static_cast<std::ptrdiff_t>(header_len));
    const std::size_t have = packet.size() - (packet[0] & 0x0F) * std::size_t{4};
    const bool is_last = fragment == ordered.back();
    if ((field(*fragment) & 0x1FFF) * 8U != have || ((field(*fragment) & 0x2000) == 0) != is_last) return {};
    append(packet, ByteView(*fragment).subspan(header_len));
  }
  store_be(&packet[6], std::uint16_t{0});
  fix_ip_header(packet);
  return packet;
}

std::uint16_t internet_checksum(ByteView bytes, std::uint32_t sum) {
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace culvert::lab

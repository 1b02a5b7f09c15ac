#include "segmenter.h"

#include <algorithm>
#include <cstring>

#include "culvert/wire/checksum.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/protocol.h"
#include "culvert/wire/tcp.h"
#include "culvert/wire/udp.h"

// Stages: start → read_ipv4 or read_ipv6 → read_upper, once a super-packet; then next → write_ip → write_tcp or
// write_udp, once a segment. The sums of what is equal in all segments are taken once.

namespace culvert::tunnel {
namespace {

/// All but very long headers by two overlapping copies of fixed size, which the compiler makes plain loads and stores.
void copy_headers(std::uint8_t* to, const std::uint8_t* from, std::size_t len) noexcept {
  const auto copy_ends = [&]<std::size_t half>() {
    std::uint8_t head[half], tail[half];
    std::memcpy(head, from, half);
    std::memcpy(tail, from + len - half, half);
    std::memcpy(to, head, half);
    std::memcpy(to + len - half, tail, half);
  };
  if (len >= 32 && len <= 64) {
    copy_ends.template operator()<32>();
  } else if (len >= 16 && len < 32) {
    copy_ends.template operator()<16>();
  } else {
    std::memcpy(to, from, len);
  }
}

/// Adds nothing for an empty range.
std::uint64_t add_range(const std::uint8_t* header, std::size_t begin, std::size_t end, std::uint64_t sum) noexcept {
  return wire::checksum_add({header + begin, end - begin}, sum);
}

std::uint16_t complement(std::uint64_t sum) noexcept {
  return static_cast<std::uint16_t>(~wire::checksum_fold(sum));
}

/// RFC 768, RFC 8200 §8.1: a UDP checksum that comes out as 0 is sent as 0xFFFF; 0 means that there is none.
std::uint16_t never_zero(std::uint16_t checksum) noexcept {
  return checksum == 0 ? std::uint16_t{0xFFFF} : checksum;
}

/// The sum of the pseudo header but for the upper layer's length, as the sender left it in the checksum field. With a
/// source route, a routing header or a home address the sender alone knows the addresses that count (RFC 1122 §4.2.3.8,
/// RFC 8200 §8.1, RFC 6275 §9.3.1).
std::uint64_t pseudo_sum_of_sender(ByteView upper, std::size_t checksum_offset) noexcept {
  const auto len = static_cast<std::uint16_t>(upper.size());
  return std::uint64_t{load_be<std::uint16_t>(&upper[checksum_offset])} + static_cast<std::uint16_t>(~len);
}

}  // namespace

std::optional<Segmenter> Segmenter::start(ByteView packet, const Offload& offload) noexcept {
  if (packet.empty() || offload.segment_len == 0 || offload.kind == Offload::Kind::none) return std::nullopt;
  Segmenter segmenter;
  segmenter.packet_ = packet.data();
  segmenter.segment_len_ = offload.segment_len;
  if (packet[0] >> 4 == 4) {
    // A total length of 0 ("BIG TCP", above 65,535 bytes) does not parse; the device does not offer it.
    const auto header = wire::Ipv4Header::parse(packet);
    if (!header || !segmenter.read_ipv4(*header, offload)) return std::nullopt;
  } else {
    const auto header = wire::Ipv6Header::parse(packet);
    if (!header || !segmenter.read_ipv6(*header, offload)) return std::nullopt;
  }
  return segmenter;
}

bool Segmenter::read_ipv4(const wire::Ipv4Header& header, const Offload& offload) noexcept {
  if (header.is_fragment()) return false;
  is_v4_ = true;
  id_ = header.id;
  upper_offset_ = header.header_len;
  ip_sum_ = add_range(packet_, 0, 2, 0);
  ip_sum_ = add_range(packet_, 6, 10, ip_sum_);
  ip_sum_ = add_range(packet_, 12, header.header_len, ip_sum_);
  if (header.header_len == wire::ipv4_min_header_len) {
    upper_sum_ = wire::pseudo_header_sum(header.source, header.destination, header.protocol, 0);
  }
  return read_upper({packet_ + upper_offset_, std::size_t{header.total_len} - upper_offset_}, header.protocol, offload);
}

bool Segmenter::read_ipv6(const wire::Ipv6Header& header, const Offload& offload) noexcept {
  const auto upper = wire::ipv6_upper_layer({packet_, header.total_len()}, header.next_header);
  if (!upper || upper->is_fragment) return false;
  upper_offset_ = static_cast<std::uint16_t>(upper->offset);
  if (upper->offset == wire::ipv6_header_len) {
    upper_sum_ = wire::pseudo_header_sum(header.source, header.destination, upper->protocol, 0);
  }
  return read_upper({packet_ + upper_offset_, header.total_len() - upper->offset}, upper->protocol, offload);
}

bool Segmenter::read_upper(ByteView upper, std::uint8_t protocol, const Offload& offload) noexcept {
  is_tcp_ = offload.kind == Offload::Kind::tcp;
  if (protocol != (is_tcp_ ? wire::proto_tcp : wire::proto_udp)) return false;
  const std::size_t checksum_offset = is_tcp_ ? wire::tcp_checksum_offset : wire::udp_checksum_offset;
  if (offload.needs_checksum &&
      (offload.checksum_start != upper_offset_ || offload.checksum_offset != checksum_offset)) {
    return false;
  }
  std::size_t upper_header_len = wire::udp_header_len;
  if (is_tcp_) {
    const auto tcp = wire::TcpHeader::parse(upper);
    if (!tcp) return false;
    upper_header_len = tcp->header_len;
  }
  // The length in the UDP header of a super-packet means nothing to the kernel either: some senders leave it wrong.
  if (upper.size() < upper_header_len || upper_offset_ + upper_header_len > max_header_len) return false;
  header_len_ = static_cast<std::uint16_t>(upper_offset_ + upper_header_len);
  payload_len_ = static_cast<std::uint32_t>(upper.size() - upper_header_len);
  if (upper_offset_ != (is_v4_ ? wire::ipv4_min_header_len : wire::ipv6_header_len)) {
    if (!offload.needs_checksum) return false;
    upper_sum_ = pseudo_sum_of_sender(upper, checksum_offset);
  }
  upper_sum_ = add_range(upper.data(), 0, 4, upper_sum_);
  if (is_tcp_) {
    sequence_ = load_be<std::uint32_t>(&upper[wire::tcp_sequence_offset]);
    tcp_flags_ = upper[wire::tcp_flags_offset];
    upper_sum_ = add_range(upper.data(), 8, 12, upper_sum_) + (std::uint32_t{upper[12]} << 8);
    upper_sum_ = add_range(upper.data(), 14, wire::tcp_checksum_offset, upper_sum_);
    upper_sum_ = add_range(upper.data(), wire::tcp_checksum_offset + 2, upper_header_len, upper_sum_);
  }
  return true;
}

Segmenter::Segment Segmenter::next(std::uint8_t* headers) noexcept {
  const std::uint32_t body_len = std::min<std::uint32_t>(segment_len_, payload_len_ - offset_);
  const ByteView body{packet_ + header_len_ + offset_, body_len};
  const bool last = offset_ + body_len == payload_len_;
  copy_headers(headers, packet_, header_len_);
  write_ip(headers, body_len);
  if (is_tcp_) {
    write_tcp(headers + upper_offset_, body, last);
  } else {
    write_udp(headers + upper_offset_, body);
  }
  offset_ += body_len;
  done_ = last;
  return {header_len_, body};
}

void Segmenter::write_ip(std::uint8_t* headers, std::uint32_t body_len) noexcept {
  const std::uint32_t total_len = header_len_ + body_len;
  if (!is_v4_) {
    store_be(headers + 4, static_cast<std::uint16_t>(total_len - wire::ipv6_header_len));
    return;
  }
  store_be(headers + 2, static_cast<std::uint16_t>(total_len));
  store_be(headers + 4, id_);
  store_be(headers + 10, complement(ip_sum_ + total_len + id_));
  ++id_;  // also with DF, as the kernel does; RFC 6864 §4.1 lets receivers ignore it then
}

void Segmenter::write_tcp(std::uint8_t* tcp, ByteView body, bool last) noexcept {
  // RFC 9293 §3.1: FIN and PSH belong to the end of the data. RFC 3168 §6.1.2: CWR goes into the first new packet.
  std::uint8_t flags = tcp_flags_;
  if (!last) flags &= static_cast<std::uint8_t>(~(wire::tcp_fin | wire::tcp_psh));
  if (offset_ != 0) flags &= static_cast<std::uint8_t>(~wire::tcp_cwr);
  store_be(tcp + wire::tcp_sequence_offset, sequence_);
  tcp[wire::tcp_flags_offset] = flags;
  const std::uint64_t upper_len = header_len_ - upper_offset_ + body.size();
  const std::uint64_t sum = upper_sum_ + upper_len + sequence_ + flags;
  store_be(tcp + wire::tcp_checksum_offset, complement(wire::checksum_add(body, sum)));
  sequence_ += static_cast<std::uint32_t>(body.size());
}

void Segmenter::write_udp(std::uint8_t* udp, ByteView body) const noexcept {
  const auto len = static_cast<std::uint16_t>(wire::udp_header_len + body.size());
  store_be(udp + wire::udp_len_offset, len);
  const std::uint64_t sum = upper_sum_ + len + len;  // in the pseudo header and in the header
  store_be(udp + wire::udp_checksum_offset, never_zero(complement(wire::checksum_add(body, sum))));
}

std::size_t Segmenter::num_segments() const noexcept {
  return payload_len_ == 0 ? 1 : (std::size_t{payload_len_} + segment_len_ - 1) / segment_len_;
}

std::size_t Segmenter::segment_packet_len() const noexcept {
  return header_len_ + std::min<std::size_t>(segment_len_, payload_len_);
}

bool complete_checksum(MutableByteView packet, const Offload& offload) noexcept {
  if (!offload.needs_checksum) return true;
  const std::size_t field = std::size_t{offload.checksum_start} + offload.checksum_offset;
  if (field + 2 > packet.size()) return false;
  // The field counts with what stands in it: the sum of the pseudo header.
  const std::uint16_t checksum = wire::checksum(packet.subspan(offload.checksum_start));
  store_be(&packet[field], never_zero(checksum));
  return true;
}

}  // namespace culvert::tunnel

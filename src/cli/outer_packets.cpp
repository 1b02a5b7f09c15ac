#include "outer_packets.h"

#include <algorithm>
#include <cstring>

#include "culvert/wire/checksum.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/udp.h"

namespace culvert::cli {
namespace {

/// ESP header, IV and ICV of the smallest packet that is worth looking at, and how far numbers of neighbours may be
/// apart: some may be lost or overtaken on the way.
constexpr std::size_t esp_header_len = 8, min_esp_len = 32;
constexpr std::uint32_t max_gap = 4096;

/// IP and UDP headers in front of `payload`.
struct Datagram {
  ByteView headers;  ///< both
  std::size_t ip_len = 0;
  ByteView payload;
};

std::optional<Datagram> parse_datagram(ByteView packet) {
  Datagram found;
  std::size_t total = 0;
  if (const auto v4 = wire::Ipv4Header::parse(packet)) {
    if (v4->protocol != wire::proto_udp || v4->is_fragment()) return std::nullopt;
    found.ip_len = v4->header_len;
    total = v4->total_len;
  } else if (const auto v6 = wire::Ipv6Header::parse(packet)) {
    if (v6->next_header != wire::proto_udp) return std::nullopt;
    found.ip_len = wire::ipv6_header_len;
    total = v6->total_len();
  } else {
    return std::nullopt;
  }
  const auto udp = wire::UdpHeader::parse(packet.first(total).subspan(found.ip_len));
  if (!udp) return std::nullopt;
  found.headers = packet.first(found.ip_len + wire::udp_header_len);
  found.payload = packet.subspan(found.headers.size(), udp->len - wire::udp_header_len);
  return found;
}

/// Does an ESP packet of the same SA, with a number near that of `first`, begin here?
bool is_neighbour(ByteView first, ByteView here) {
  if (here.size() < min_esp_len || std::memcmp(first.data(), here.data(), 4) != 0) return false;
  const std::uint32_t ahead = load_be<std::uint32_t>(&here[4]) - load_be<std::uint32_t>(&first[4]);
  return ahead != 0 && (ahead <= max_gap || -ahead <= max_gap);
}

/// All segments but the last have the same length; 0: it is one packet. The SPI and 19 bits of the number have to fit
/// by chance for a wrong answer.
std::size_t segment_len(ByteView payload) {
  if (payload.size() < 2 * min_esp_len || load_be<std::uint32_t>(payload.data()) == 0) return 0;  // IKE (RFC 3948 §2.2)
  for (std::size_t len = min_esp_len; len + min_esp_len <= payload.size(); ++len) {
    bool fits = true;
    for (std::size_t at = len; fits && at < payload.size(); at += len)
      fits = is_neighbour(payload, payload.subspan(at));
    if (fits) return len;
  }
  return 0;
}

/// Headers as the kernel would make them, but for the checksum of UDP, which is not there yet when a gateway sends:
/// none in IPv4 (RFC 768), computed in IPv6 (RFC 8200 §8.1).
void write_headers(Bytes& packet, const Datagram& whole, std::size_t index) {
  std::uint8_t* ip = packet.data();
  const std::size_t upper_len = packet.size() - whole.ip_len;
  const bool is_v4 = ip[0] >> 4 == 4;
  if (is_v4) {
    store_be(ip + 2, static_cast<std::uint16_t>(packet.size()));
    store_be(ip + 4, static_cast<std::uint16_t>(load_be<std::uint16_t>(ip + 4) + index));
    store_be(ip + 10, std::uint16_t{0});
    store_be(ip + 10, wire::checksum({ip, whole.ip_len}));
  } else {
    store_be(ip + 4, static_cast<std::uint16_t>(upper_len));
  }
  std::uint8_t* udp = ip + whole.ip_len;
  store_be(udp + wire::udp_len_offset, static_cast<std::uint16_t>(upper_len));
  store_be(udp + wire::udp_checksum_offset, std::uint16_t{0});
  if (is_v4) return;
  const auto v6 = *wire::Ipv6Header::parse(packet);
  const std::uint64_t pseudo =
      wire::pseudo_header_sum(v6.source, v6.destination, wire::proto_udp, static_cast<std::uint32_t>(upper_len));
  const std::uint16_t sum = wire::checksum({udp, upper_len}, pseudo);
  store_be(udp + wire::udp_checksum_offset, sum == 0 ? std::uint16_t{0xFFFF} : sum);
}

}  // namespace

void split_outer(ByteView packet, const std::function<void(ByteView)>& each) {
  const auto whole = parse_datagram(packet);
  const std::size_t len = whole ? segment_len(whole->payload) : 0;
  if (len == 0) return each(packet);
  Bytes segment;
  for (std::size_t at = 0, index = 0; at < whole->payload.size(); at += len, ++index) {
    segment.assign(whole->headers.begin(), whole->headers.end());
    append(segment, whole->payload.subspan(at, std::min(len, whole->payload.size() - at)));
    write_headers(segment, *whole, index);
    each(segment);
  }
}

}  // namespace culvert::cli

#include "packet_line.h"

#include <fmt/format.h>

#include <optional>

#include "culvert/base/ip.h"
#include "culvert/wire/protocol.h"

namespace culvert::cli {
namespace {

constexpr std::size_t ike_header_len = 28;

struct SeenHeaders {
  IpAddress source, destination;
  std::uint8_t protocol = 0;
  bool later_fragment = false;
  ByteView payload;
};

/// RFC 791 §3.1, RFC 8200 §3. The payload may be cut short.
std::optional<SeenHeaders> parse_packet(ByteView bytes) {
  SeenHeaders packet;
  if (bytes.size() >= 20 && bytes[0] >> 4 == 4) {
    const std::size_t header_len = (bytes[0] & 0x0FU) * 4U;
    if (header_len < 20 || header_len > bytes.size()) return std::nullopt;
    packet.source = *IpAddress::from_bytes(bytes.subspan(12, 4));
    packet.destination = *IpAddress::from_bytes(bytes.subspan(16, 4));
    packet.protocol = bytes[9];
    packet.later_fragment = (load_be<std::uint16_t>(&bytes[6]) & 0x1FFF) != 0;
    packet.payload = bytes.subspan(header_len);
    return packet;
  }
  if (bytes.size() >= 40 && bytes[0] >> 4 == 6) {
    packet.source = *IpAddress::from_bytes(bytes.subspan(8, 16));
    packet.destination = *IpAddress::from_bytes(bytes.subspan(24, 16));
    packet.protocol = bytes[6];
    packet.payload = bytes.subspan(40);
    if (packet.protocol == wire::proto_fragment && packet.payload.size() >= 8) {
      packet.protocol = packet.payload[0];
      packet.later_fragment = (load_be<std::uint16_t>(&packet.payload[2]) & 0xFFF8) != 0;
      packet.payload = packet.payload.subspan(8);
    }
    return packet;
  }
  return std::nullopt;
}

std::string exchange_name(std::uint8_t type) {
  switch (type) {  // RFC 7296 §3.1, RFC 9242, RFC 5723
    case 34:
      return "IKE_SA_INIT";
    case 35:
      return "IKE_AUTH";
    case 36:
      return "CREATE_CHILD_SA";
    case 37:
      return "INFORMATIONAL";
    case 38:
      return "IKE_SESSION_RESUME";
    case 43:
      return "IKE_INTERMEDIATE";
    default:
      return fmt::format("exchange {}", type);
  }
}

/// RFC 7296 §3.1
std::string ike_text(ByteView message) {
  if (message.size() < ike_header_len) return "IKE, cut short";
  const bool response = (message[19] & 0x20) != 0, initiator = (message[19] & 0x08) != 0;
  return fmt::format("IKE {} {} {} from the {}, SPIs {:016x} {:016x}", exchange_name(message[18]),
                     response ? "response" : "request", load_be<std::uint32_t>(&message[20]),
                     initiator ? "initiator" : "responder", load_be<std::uint64_t>(message.data()),
                     load_be<std::uint64_t>(&message[8]));
}

std::string esp_text(ByteView packet) {
  if (packet.size() < 8) return "ESP, cut short";
  return fmt::format("ESP SPI 0x{:08x} number {}", load_be<std::uint32_t>(packet.data()),
                     load_be<std::uint32_t>(&packet[4]));
}

/// What is in UDP between gateways (RFC 3948 §2): a keepalive, IKE behind its marker, ESP, or IKE without a marker.
std::string tunnel_text(ByteView payload) {
  if (payload.size() == 1 && payload[0] == 0xFF) return "NAT keepalive";
  if (payload.size() >= 4 && load_be<std::uint32_t>(payload.data()) == 0) return ike_text(payload.subspan(4));
  const bool is_ike = payload.size() >= ike_header_len && payload[17] == 0x20 && payload[18] >= 34 &&
                      payload[18] <= 43 && load_be<std::uint32_t>(&payload[24]) >= ike_header_len &&
                      load_be<std::uint32_t>(&payload[24]) <= 0xFFFF;
  return is_ike ? ike_text(payload) : esp_text(payload);
}

std::string flags_text(std::uint8_t flags) {
  constexpr std::string_view letters = "FSRP.UEW";  // from the lowest bit on; '.' is ACK, as in tcpdump
  std::string text;
  for (std::size_t bit = 0; bit < letters.size(); ++bit)
    if ((flags >> bit & 1) != 0) text += letters[bit];
  return text.empty() ? "none" : text;
}

/// The last address with its port, as tcpdump writes it.
std::string ends_text(const SeenHeaders& packet, std::uint16_t from, std::uint16_t to) {
  return fmt::format("{}.{} > {}.{}", packet.source.to_string(), from, packet.destination.to_string(), to);
}

std::string packet_text(const SeenHeaders& packet, bool outer) {
  const ByteView payload = packet.payload;
  const std::string hosts = fmt::format("{} > {}", packet.source.to_string(), packet.destination.to_string());
  if (packet.later_fragment) return fmt::format("{} fragment of protocol {}", hosts, packet.protocol);
  switch (packet.protocol) {
    case wire::proto_udp: {
      if (payload.size() < 8) break;
      const std::string ends =
          ends_text(packet, load_be<std::uint16_t>(payload.data()), load_be<std::uint16_t>(&payload[2]));
      return ends + " " + (outer ? tunnel_text(payload.subspan(8)) : std::string("udp"));
    }
    case wire::proto_tcp:
      if (payload.size() < 14) break;
      return fmt::format("{} tcp {}",
                         ends_text(packet, load_be<std::uint16_t>(payload.data()), load_be<std::uint16_t>(&payload[2])),
                         flags_text(payload[13]));
    case wire::proto_icmp:
    case wire::proto_icmpv6:
      if (payload.size() < 2) break;
      return fmt::format("{} {} type {} code {}", hosts, packet.protocol == wire::proto_icmp ? "icmp" : "icmp6",
                         payload[0], payload[1]);
    case wire::proto_esp:
      return hosts + " " + esp_text(payload);
    case wire::proto_gre:
      return hosts + " gre";
    default:
      break;
  }
  return fmt::format("{} protocol {}", hosts, packet.protocol);
}

}  // namespace

std::string packet_line(ByteView bytes, std::size_t original_len, bool outer) {
  const auto packet = parse_packet(bytes);
  return fmt::format("{}, {} bytes", packet ? packet_text(*packet, outer) : "no IP packet that is understood",
                     original_len);
}

}  // namespace culvert::cli

#include "tos.h"

#include "culvert/wire/checksum.h"
#include "culvert/wire/flow.h"

namespace culvert::tunnel {

bool decapsulate_ecn(MutableByteView ip_packet, std::uint8_t outer_tos) noexcept {
  const std::uint8_t tos = wire::ip_tos(ip_packet);
  const auto ecn = decapsulate_ecn(ecn_of(tos), ecn_of(outer_tos));
  if (!ecn) return false;
  const auto new_tos = static_cast<std::uint8_t>((tos & 0xFC) | static_cast<std::uint8_t>(*ecn));
  if (new_tos == tos) return true;
  // TOS is the low byte of IPv4's first word; the traffic class stands in the middle of IPv6's.
  const auto before = load_be<std::uint16_t>(ip_packet.data());
  if (before >> 12 == 4) {
    const auto after = static_cast<std::uint16_t>((before & 0xFF00) | new_tos);
    store_be(ip_packet.data(), after);
    const auto old_checksum = load_be<std::uint16_t>(&ip_packet[10]);
    store_be(&ip_packet[10], wire::checksum_update(old_checksum, before, after));
  } else {
    store_be(ip_packet.data(), static_cast<std::uint16_t>((before & 0xF00F) | new_tos << 4));
  }
  return true;
}

}  // namespace culvert::tunnel

#include "culvert/tunnel/mtu.h"

#include <algorithm>

#include "culvert/wire/esp.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/udp.h"

namespace culvert::tunnel {
namespace {

std::size_t ip_header_len(IpFamily family) noexcept {
  return family == IpFamily::v4 ? wire::ipv4_min_header_len : wire::ipv6_header_len;
}

}  // namespace

std::size_t carrier_overhead(const MtuQuery& query) noexcept {
  if (query.carry == Carry::ip) return 0;
  const std::size_t gre =
      std::size_t{4} + (query.gre_checksum ? 4 : 0) + (query.gre_key ? 4 : 0) + (query.gre_sequence ? 4 : 0);
  return gre + (query.mode == EspMode::tunnel ? ip_header_len(query.delivery_family) : 0);
}

std::uint16_t inner_mtu(const MtuQuery& query) noexcept {
  const crypto::CipherSuiteInfo& suite = crypto::info(query.suite);
  const std::size_t around = ip_header_len(query.outer_family) +
                             (query.encapsulation == EspEncapsulation::udp ? wire::udp_header_len : 0) +
                             wire::esp_header_len + suite.iv_len + suite.icv_len;
  // Of the room that is left only whole blocks can be used, and the last two bytes of them are the trailer.
  const std::size_t room = query.outer_mtu > around ? query.outer_mtu - around : 0;
  const std::size_t sealed = room - room % suite.block_len;
  const std::size_t overhead = carrier_overhead(query) + wire::esp_trailer_len;
  if (sealed <= overhead) return 0;
  return static_cast<std::uint16_t>(std::min<std::size_t>(sealed - overhead, 65535));
}

}  // namespace culvert::tunnel

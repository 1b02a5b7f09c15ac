#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/ip.h"
#include "culvert/child_sa.h"
#include "culvert/tunnel/data_plane.h"

namespace culvert::tunnel {

/// All that decides how many bytes of an inner packet fit into one outer packet.
struct MtuQuery {
  std::uint32_t outer_mtu = 1500;  ///< of the path between the gateways, IP header included
  IpFamily outer_family = IpFamily::v4;
  EspEncapsulation encapsulation = EspEncapsulation::udp;
  crypto::CipherSuite suite{};
  EspMode mode = EspMode::tunnel;
  Carry carry = Carry::gre;
  bool gre_key = false, gre_sequence = false, gre_checksum = false;
  IpFamily delivery_family = IpFamily::v4;  ///< of the GRE delivery header; counts in tunnel mode with carry = "gre"
};

/// The largest inner IP packet, in bytes, that needs no fragmentation, exact by the padding rule of RFC 4303 §2.4; 0 when nothing fits.
/// At most 65535. Any thread.
[[nodiscard]] std::uint16_t inner_mtu(const MtuQuery& query) noexcept;

/// Bytes that the carrier adds to an inner packet: GRE header, and in tunnel mode its delivery header.
[[nodiscard]] std::size_t carrier_overhead(const MtuQuery& query) noexcept;

}  // namespace culvert::tunnel

#pragma once
#include <cstdint>

namespace culvert::wire {

/// IANA protocol numbers (also IPv6 next headers) that culvert looks at.
inline constexpr std::uint8_t proto_hop_by_hop = 0, proto_icmp = 1, proto_igmp = 2, proto_ipip = 4, proto_tcp = 6, proto_udp = 17,
                              proto_ipv6 = 41, proto_routing = 43, proto_fragment = 44, proto_gre = 47, proto_esp = 50,
                              proto_ah = 51, proto_icmpv6 = 58, proto_no_next = 59, proto_destination_options = 60,
                              proto_dccp = 33, proto_mobility = 135, proto_sctp = 132, proto_udplite = 136;

/// EtherTypes, as GRE carries them.
inline constexpr std::uint16_t ethertype_ipv4 = 0x0800, ethertype_ipv6 = 0x86DD;

}  // namespace culvert::wire

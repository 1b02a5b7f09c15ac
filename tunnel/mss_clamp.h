#pragma once
#include <cstdint>

#include "culvert/base/bytes.h"

namespace culvert::tunnel {

/// Lowers the MSS option of a TCP SYN (also SYN|ACK) to `limit` bytes, and to what fits an IP packet of `mtu` bytes:
/// mtu - 40 over IPv4, mtu - 60 over IPv6 (RFC 879 §3, RFC 8200 §8.3). Never raises it. Anything that is not such a
/// packet, or whose lengths do not fit, stays as it is: it is not this function's business to drop. true: something
/// changed. The TCP checksum is updated incrementally (RFC 1624).
bool clamp_mss(MutableByteView ip_packet, std::uint16_t mtu, std::uint16_t limit = 0xffff) noexcept;

}  // namespace culvert::tunnel

#pragma once
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <span>

#include "culvert/base/bytes.h"
#include "offload.h"
#include "packet.h"

namespace culvert::tunnel {

/// What goes to a device in one write: a packet as it came, or several of one flow joined into a super-packet without
/// copying: the first with its headers adjusted, of the others the payload only.
struct JoinedPacket {
  Offload offload;
  std::span<iovec> parts;     ///< parts[0] is left free for the device's own header; the packet follows
  std::uint32_t len = 0;      ///< bytes of the packet: parts[1] and up
  std::uint64_t members = 0;  ///< bit i: packet i of those given is in it
};

/// Joins neighbours of one flow, by the rules of the kernel's own GRO, so that a bridge or router behind us sees
/// nothing that it could not have seen: for TCP equal headers but for sequence, checksum and (RFC 6864) IPv4
/// identification, consecutive sequence numbers, equal payload lengths but for a shorter last one, no flags but ACK and
/// PSH, which ends it; for UDP equal-sized datagrams of one flow but for a shorter last one. A packet is joined only
/// when its checksums hold. The order within a flow stays. Nothing is allocated. One worker at a time.
class Coalescer {
 public:
  /// Which kinds the device takes.
  struct Accepts {
    bool tcp = false, udp = false;
  };

  /// Joins the packets (at most PacketBatch::capacity), whose first bytes may be changed: IP length, IPv4 checksum, TCP
  /// flags and checksum of the first of several. The result is valid until the next call or until a packet's bytes
  /// change; packets that joined nothing come out as they went in.
  [[nodiscard]] std::span<const JoinedPacket> join(std::span<const MutableByteView> packets, Accepts accepts) noexcept;
};

}  // namespace culvert::tunnel

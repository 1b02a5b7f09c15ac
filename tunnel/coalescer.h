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

  /// More flows than this at once are joined less well: the one that began first makes room.
  static constexpr std::size_t max_flows = 16;
  /// Bytes of a joined packet, IP header included, IPv4 and IPv6 alike.
  static constexpr std::uint32_t max_joined_len = 65535;

  /// Joins the packets (at most PacketBatch::capacity), whose first bytes may be changed: IP length, IPv4 checksum, TCP
  /// flags and checksum, UDP length and checksum of the first of several. The result stands in the order of the first
  /// members: a packet may move ahead of those of other flows, never behind or ahead of one between the same addresses
  /// with the same ports. It is valid until the next call or until a packet's bytes change; packets that joined nothing
  /// come out as they went in.
  [[nodiscard]] std::span<const JoinedPacket> join(std::span<const MutableByteView> packets, Accepts accepts) noexcept;

 private:
  struct Shape;  ///< of headers: IPv4 or IPv6, TCP or UDP

  /// The latest packet of a flow in joined_, and what could follow it there.
  struct Run {
    const Shape* shape = nullptr;
    std::uint8_t* head = nullptr;     ///< the first packet
    std::uint32_t ports = 0;          ///< both, as on the wire
    std::uint32_t next_sequence = 0;  ///< TCP
    std::uint32_t place = 0;          ///< in joined_
    std::uint16_t header_len = 0;     ///< IP and TCP or UDP
    std::uint16_t segment_len = 0;    ///< payload of the first
    std::uint16_t last_id = 0;        ///< IPv4
    bool same_ids = false;            ///< IPv4: they do not count up
    bool open = false;                ///< false: nothing may join
    bool head_checked = false;        ///< the checksums of the first hold
  };

  void take(std::size_t i, MutableByteView packet, Accepts accepts) noexcept;
  [[nodiscard]] Run* find(const Shape& shape, ByteView packet) noexcept;
  [[nodiscard]] bool extend(Run& run, std::size_t i, ByteView packet) noexcept;
  [[nodiscard]] Run& free_run() noexcept;
  void start(Run* run, const Shape& shape, std::size_t i, MutableByteView packet) noexcept;
  void end_runs_between_addresses_of(ByteView packet) noexcept;
  void pass(std::size_t i, ByteView packet) noexcept;
  void lay_out(std::span<const MutableByteView> packets) noexcept;

  [[nodiscard]] static const Shape* shape_of(ByteView packet) noexcept;
  [[nodiscard]] static bool same_headers(const Run& run, ByteView packet) noexcept;
  [[nodiscard]] static bool next_id_follows(Run& run, bool is_second, ByteView packet) noexcept;
  [[nodiscard]] static bool checksums_hold(const Shape& shape, ByteView packet) noexcept;
  static void adjust_headers(std::uint8_t* head, const JoinedPacket& joined) noexcept;

  std::array<Run, max_flows> runs_;
  std::size_t num_runs_ = 0;  ///< of runs_ in use in this batch
  std::size_t next_evicted_ = 0;
  Run* recent_ = nullptr;  ///< where the previous packet went: mostly this one goes there too
  std::array<JoinedPacket, PacketBatch::capacity> joined_;
  std::size_t num_joined_ = 0;
  std::array<iovec, 2 * PacketBatch::capacity> parts_;
};

}  // namespace culvert::tunnel

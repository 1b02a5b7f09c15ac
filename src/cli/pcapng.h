#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "culvert/base/bytes.h"

namespace culvert::cli {

// The blocks of a pcapng file (draft-ietf-opsawg-pcapng, before that draft-tuexen-opsawg-pcapng), in little-endian
// byte order and with times in nanoseconds. Each function appends one whole block to `out`. Pure; any thread.

inline constexpr std::uint16_t linktype_raw = 101;  ///< packets begin with IPv4 or IPv6

struct PcapngInterface {
  std::string name;         ///< if_name: "cv-tokyo"
  std::string description;  ///< if_description
  std::string filter;       ///< if_filter: libpcap's expression; empty: none
  std::uint32_t snaplen = 0;
};

enum class PacketDirection : std::uint8_t { unknown = 0, inbound = 1, outbound = 2 };  ///< as in epb_flags

struct PcapngPacket {
  std::uint32_t interface = 0;  ///< number of its interface block, from 0
  std::uint64_t time_ns = 0;    ///< since 1970
  ByteView bytes;               ///< as much as was captured
  std::uint32_t original_len = 0;
  PacketDirection direction = PacketDirection::unknown;
  std::string comment;
};

struct PcapngStatistics {
  std::uint32_t interface = 0;
  std::uint64_t time_ns = 0, start_ns = 0, end_ns = 0;
  std::uint64_t written = 0;             ///< isb_usrdeliv: of this interface
  std::optional<std::uint64_t> dropped;  ///< isb_osdrop: by the kernel, for want of room
  std::string comment;
};

/// The section header block, with which a file begins.
void write_section(Bytes& out, const std::string& application);
void write_interface(Bytes& out, const PcapngInterface& interface);
void write_packet(Bytes& out, const PcapngPacket& packet);
void write_statistics(Bytes& out, const PcapngStatistics& statistics);

}  // namespace culvert::cli

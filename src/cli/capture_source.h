#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "pcapng.h"

struct pcap;

namespace culvert::cli {

struct SeenPacket {
  std::uint64_t time_ns = 0;  ///< since 1970
  int ifindex = 0;
  PacketDirection direction = PacketDirection::unknown;
  ByteView bytes;  ///< IP packet, as long as the call
  std::uint32_t original_len = 0;
};

/// Packets of all devices of the namespace, by libpcap (AF_PACKET with a ring, the filter in the kernel): whoever sends
/// and receives them does not wait for us, and what the ring has no room for is counted. One thread.
class CaptureSource {
 public:
  /// So long the kernel may keep a packet until it is read.
  static constexpr std::chrono::milliseconds handed_over_within{150};

  /// Nothing comes before set_filter. Errc::io: no permission (CAP_NET_RAW), no memory.
  [[nodiscard]] static Result<CaptureSource> open();
  CaptureSource(CaptureSource&&) noexcept = default;
  CaptureSource& operator=(CaptureSource&&) noexcept = default;

  /// pcap-filter(7), also with `ifindex`. Errc::invalid says what is wrong with it.
  [[nodiscard]] Result<void> set_filter(const std::string& expression);
  [[nodiscard]] int fd() const noexcept { return fd_; }  ///< readable when there may be packets
  /// Those that are there now, some hundred at most; false once `each` wants no more. Errc::io: the kernel gives none
  /// any more.
  [[nodiscard]] Result<bool> read(const std::function<bool(const SeenPacket&)>& each);
  [[nodiscard]] std::uint64_t dropped() const;  ///< for want of room

  /// Is this an expression that set_filter takes? Names in it may be looked up. Errc::invalid.
  [[nodiscard]] static Result<void> check(const std::string& expression);

 private:
  CaptureSource() = default;
  struct Close {
    void operator()(pcap* handle) const noexcept;
  };
  std::unique_ptr<pcap, Close> handle_;
  int fd_ = -1;
};

/// A packet of libpcap's LINKTYPE_LINUX_SLL2; false: none with IPv4 or IPv6 in it. Any bytes.
[[nodiscard]] bool parse_cooked(ByteView bytes, std::uint32_t original_len, SeenPacket& packet);

}  // namespace culvert::cli

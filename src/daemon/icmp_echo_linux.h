#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/base/time.h"
#include "culvert/wire/echo.h"

namespace culvert::daemon {

/// Echo requests of the gateway's own (ICMP, RFC 792, and ICMPv6, RFC 4443 §4.1), for peers that are no culvert. They
/// leave by DataPlane::send_inner; what comes back is an ordinary packet to an address of ours, which the kernel hands
/// to the raw sockets here. A reply is believed only when it brings back what nobody but the far end of the tunnel has
/// seen: a keyed hash of the question. Control thread.
class IcmpEcho {
 public:
  /// Before privileges are given up. Without sockets (no CAP_NET_RAW) nothing can be asked.
  [[nodiscard]] static IcmpEcho open();
  IcmpEcho(IcmpEcho&& other) noexcept;
  IcmpEcho& operator=(IcmpEcho&&) = delete;
  ~IcmpEcho();

  /// Whether replies of this family can come back.
  [[nodiscard]] bool can_ask(IpFamily family) const noexcept { return fd(family) >= 0; }
  /// Readable when a reply may be there; -1: none will be.
  [[nodiscard]] int fd(IpFamily family) const noexcept { return family == IpFamily::v4 ? v4_ : v6_; }
  /// The whole IP packet, of `len` bytes or as few as the echo needs; DF is set.
  [[nodiscard]] Bytes question(const IpAddress& from, const IpAddress& to, wire::Echo echo, std::size_t len) const;

  struct Reply {
    wire::Echo echo;
    IpAddress from;
    int ifindex = 0;      ///< the device it came in by
    std::size_t len = 0;  ///< bytes of the IP packet
  };
  /// The next one that is ours, of at most 64 that are looked at; nullopt: none waits.
  [[nodiscard]] std::optional<Reply> receive(IpFamily family);

  static constexpr std::size_t least_v4 = 20 + 8 + wire::echo_len, least_v6 = 40 + 8 + wire::echo_len;  ///< bytes of IP

 private:
  IcmpEcho() = default;
  void sign(wire::Echo& echo) const noexcept;
  [[nodiscard]] bool is_ours(const wire::Echo& echo) const noexcept;

  int v4_ = -1, v6_ = -1;
  std::uint16_t id_ = 0;
  std::array<std::uint8_t, 16> key_{};
};

}  // namespace culvert::daemon

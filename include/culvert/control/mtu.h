#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::control {

// `mtu` is answered by a response and one line with this report; then the daemon closes.

/// Bytes that something takes of an outer packet.
struct MtuShare {
  std::string what;
  std::uint64_t bytes = 0;
};
struct MtuTunnel {
  std::string name, device;
  std::uint64_t device_mtu = 0;     ///< now
  bool configured = false;          ///< by `mtu` of the tunnel: it does not follow the path
  std::uint64_t inner_mtu = 0;      ///< the largest inner packet that the path carries in one piece
  std::uint64_t mss_v4 = 0, mss_v6 = 0;
  std::vector<MtuShare> shares;     ///< from the outside in; with inner_mtu they make path_mtu
};
struct MtuReport {
  std::string peer, remote;
  std::uint64_t path_mtu = 0, link_mtu = 0;  ///< bytes of IP: what reaches the peer; what our own link takes
  std::string state;                         ///< as path_mtu_state of status
  std::string asked_by;                      ///< "IKE", "echoes through the tunnel", "nothing"
  bool asking = false;                       ///< a probe is under way: ask again soon
  std::vector<MtuTunnel> tunnels;
};
/// One line of JSON without the newline, as it goes over the socket and as `culvert mtu --json` prints it.
[[nodiscard]] std::string to_json(const MtuReport& report);
/// Tolerant, as parse_response is.
[[nodiscard]] Result<MtuReport> parse_mtu(std::string_view line);

}  // namespace culvert::control

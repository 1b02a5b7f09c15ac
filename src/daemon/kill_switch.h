#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"

namespace culvert::daemon {

/// What the firewall still lets out.
struct KillSwitchPlan {
  std::string name;                  ///< of the client
  std::string device;                ///< of the tunnel; need not exist yet
  std::vector<IpAddress> gateways;   ///< at most max_gateways count
  std::vector<std::uint16_t> ports;  ///< UDP, of the gateways
  std::uint16_t tcp_port = 0;        ///< also TCP there; 0: none
  bool raw_esp = false;              ///< also IP protocol 50 to them
  std::uint32_t lookup_mark = 0;     ///< DNS of sockets with this mark (ours, CAP_NET_ADMIN is needed for it); 0: none
  friend bool operator==(const KillSwitchPlan&, const KillSwitchPlan&) = default;
};

/// An nftables table of its own, `inet culvert_NAME`, that lets nothing leave this host but by the tunnel. The kernel
/// keeps it whatever becomes of us; it goes by open_kill_switch alone (or with the machine).
inline constexpr std::size_t max_gateways = 32;

/// The input of nft(8): replaces the table in one transaction, so that there is no moment without it.
[[nodiscard]] std::string kill_switch_rules(const KillSwitchPlan& plan);
/// Errc::not_found: nft is not installed. On error what was there before is still there.
[[nodiscard]] Result<void> close_kill_switch(const KillSwitchPlan& plan);
/// Removes it. Not there: as wanted.
[[nodiscard]] Result<void> open_kill_switch(const std::string& name);
[[nodiscard]] bool kill_switch_closed(const std::string& name);

}  // namespace culvert::daemon

#pragma once
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/ike/endpoint.h"
#include "netlink_linux.h"

namespace culvert::daemon {

/// Which of our addresses reach which of a peer's, as the kernel routes now. Remembers our addresses until `refresh`,
/// so that a change of the network costs one look at them for all peers. Control thread.
class PathFinder {
 public:
  /// `listen`: what the gateway listens on.
  explicit PathFinder(std::vector<IpAddress> listen) : listen_(std::move(listen)) {}

  void refresh(Netlink& netlink);
  /// What ike::IkeEndpoint::on_paths wants: for each remote what the kernel would send from, then what else leaves by
  /// the device that has the address (several WAN links, routed by source). `ours`, when it is not empty, stands in the
  /// place of the kernel's choice: these, in this order. Ports are 0.
  [[nodiscard]] std::vector<ike::Path> find(Netlink& netlink, const std::vector<IpAddress>& remotes,
                                            const std::vector<IpAddress>& ours) const;

 private:
  [[nodiscard]] bool listens_on(const IpAddress& address) const;

  std::vector<IpAddress> listen_;
  std::vector<LocalAddress> addresses_;
};

}  // namespace culvert::daemon

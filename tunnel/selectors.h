#pragma once
#include <span>
#include <vector>

#include "culvert/child_sa.h"
#include "culvert/wire/flow.h"

namespace culvert::tunnel {

/// Traffic selectors of a pair of SAs, compared with packets (RFC 4301 §4.4.1, §5.2). Immutable after it is made, any
/// thread. A packet fits when its one end is in one of the local and its other end in one of the remote selectors.
class SelectorSet {
 public:
  SelectorSet(std::vector<TrafficSelector> local, std::vector<TrafficSelector> remote)
      : local_(std::move(local)), remote_(std::move(remote)) {}

  /// A packet that we send: its source is local.
  [[nodiscard]] bool allows_outbound(const wire::Flow& flow) const noexcept;
  /// A packet that came in: its source is remote.
  [[nodiscard]] bool allows_inbound(const wire::Flow& flow) const noexcept;
  /// What transport mode can still be checked for without an inner IP header: the protocol, on both sides.
  [[nodiscard]] bool allows_protocol(std::uint8_t protocol) const noexcept;

  [[nodiscard]] std::span<const TrafficSelector> local() const noexcept { return local_; }
  [[nodiscard]] std::span<const TrafficSelector> remote() const noexcept { return remote_; }

 private:
  std::vector<TrafficSelector> local_;
  std::vector<TrafficSelector> remote_;
};

/// Does one selector contain one end of a packet? Ports that cannot be known (fragments, protocols without ports) fit
/// only selectors with all ports or OPAQUE (65535–0).
[[nodiscard]] bool contains(const TrafficSelector& selector, const IpAddress& address, const wire::Flow& flow,
                            std::uint16_t port) noexcept;

}  // namespace culvert::tunnel

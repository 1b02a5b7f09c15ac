#pragma once
#include <functional>
#include <string>
#include <vector>

#include "culvert/base/time.h"
#include "culvert/config/config.h"
#include "culvert/control/protocol.h"
#include "culvert/ike/endpoint.h"
#include "culvert/tunnel/data_plane.h"
#include "path_prober.h"
#include "traffic_watch.h"

namespace culvert::daemon {

/// All that `culvert status` is made of, at one moment.
struct StatusSources {
  const config::Config& config;
  const tunnel::DataPlane& plane;
  std::vector<ike::PeerStatus> peers;  ///< in any order
  std::function<std::string(const Endpoint&)> endpoint_text;
  std::function<std::uint16_t(TunnelId)> mtu;  ///< of the device, now
  const PathProber* paths = nullptr;           ///< what is known of the paths
  const TrafficWatch* traffic = nullptr;       ///< …and of what passes
  TimePoint now{}, started{};
  crypto::WallTime wall_time{};
  std::vector<control::RevocationReport> revocation;
};

/// Every configured peer and tunnel, up or down, in the order of the configuration.
[[nodiscard]] control::StatusReport make_status(const StatusSources& sources);
/// A client that is connected.
[[nodiscard]] control::UserReport make_user(const ike::PeerStatus& client, const config::Config& config,
                                            const tunnel::DataPlane& plane, TimePoint now);
/// Every drop reason with its counter, also those at 0.
[[nodiscard]] std::vector<control::DropReport> make_drops(const tunnel::DataPlane& plane);

/// "confirmed", "searching", …: docs/control.md.
[[nodiscard]] std::string path_state_text(PathMtu::State state);
/// "10.1.0.0/16", "192.0.2.1/32[gre]", "10.0.0.1-10.0.0.9[tcp/80]".
[[nodiscard]] std::string selector_text(const TrafficSelector& selector);

}  // namespace culvert::daemon

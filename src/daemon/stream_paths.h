#pragma once
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "culvert/config/config.h"
#include "culvert/ike/endpoint.h"
#include "stream_relay.h"

namespace culvert::daemon {

/// Paths by TCP beside those by UDP (RFC 9329), for the peers that have a `tcp_port`: IKE sees one more address of the
/// peer, the last in order of preference. Control thread.
class StreamPaths {
 public:
  /// Listens where the gateway has a `tcp_port`; does nothing at all where neither it nor a peer has one.
  [[nodiscard]] static Result<StreamPaths> open(const config::Config& config);

  /// The peers are others now. After an error nothing has changed.
  [[nodiscard]] Result<void> replace_peers(const config::Config& config);
  /// A peer's address is known: adds the path by TCP.
  void add_to(PeerId peer, std::vector<ike::Path>& paths);
  /// Takes what stands for TCP out of what the kernel shall be asked for; its path, if it was in.
  [[nodiscard]] std::optional<ike::Path> take_from(PeerId peer, std::vector<IpAddress>& remotes) const;
  /// Where the packets to an address go: to the other end of the connection that it stands for, else there.
  [[nodiscard]] IpAddress true_remote(const IpAddress& address) const;
  void on_network_change();
  /// "192.0.2.1:443 by TCP" for an address that stands for it, else as it is.
  [[nodiscard]] std::string text_of(const Endpoint& endpoint) const;

 private:
  [[nodiscard]] Result<void> open_relay(const config::GatewayConfig& gateway);
  struct StandIn {
    Endpoint endpoint;
    std::uint16_t tcp_port = 0;
  };
  std::unique_ptr<StreamRelay> relay_;  ///< nullptr: no TCP
  Endpoint ours_;                       ///< the data plane, as the relay reaches it
  std::map<PeerId, StandIn> stand_ins_;
  std::vector<Endpoint> spare_;  ///< of peers that are gone: an address stands for somebody until the end
};

}  // namespace culvert::daemon

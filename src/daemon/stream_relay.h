#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"

namespace culvert::daemon {

struct StreamRelayOptions {
  Endpoint daemon;                            ///< where the data plane takes IKE and ESP in UDP; IPv4
  std::size_t max_connections = 4096;         ///< accepted ones
  std::size_t max_per_source = 64;            ///< of them from one address
  std::uint32_t first_accepted = 0x7f500000;  ///< 127.80.0.0: addresses for who connects, host order
  std::uint32_t first_target = 0x7f400001;    ///< 127.64.0.1: addresses that stand for other gateways
};

/// TCP encapsulation of IKE and ESP (RFC 9329) for networks that block UDP. Each TCP connection gets an address of
/// 127.0.0.0/8 and a UDP socket there on the data plane's port: what comes in frames goes to the data plane as
/// datagrams, and back. So IKE and the data plane know nothing of TCP: the other end looks like one behind a NAT (RFC
/// 7296 §2.23), and MOBIKE moves between UDP and TCP as between any two addresses.
///
/// Has a thread of its own; its functions may be called from any other.
class StreamRelay {
 public:
  [[nodiscard]] static Result<std::unique_ptr<StreamRelay>> create(StreamRelayOptions options);
  ~StreamRelay();  ///< closes all connections
  StreamRelay(const StreamRelay&) = delete;
  StreamRelay& operator=(const StreamRelay&) = delete;

  /// Accepts connections there from now on; port 0: any. The error names the address. Returns the port.
  [[nodiscard]] Result<std::uint16_t> listen(const Endpoint& at);
  /// An address that stands for a gateway that takes TCP: what the data plane sends to its `port` goes into a
  /// connection to what `set_target` names, which is made when there is something to send. Errc::exhausted after
  /// 65,535.
  [[nodiscard]] Result<IpAddress> add_target(std::uint16_t port);
  /// Where the gateway is now, by TCP; a connection to elsewhere is closed. nullopt: what is sent is dropped.
  void set_target(const IpAddress& stands_for, std::optional<Endpoint> target);
  /// Our addresses have changed: connections of ours are made anew when there is something to send.
  void reconnect();
  /// Who is at the other end of the connection that has this address; nullopt: it is none of ours, or closed.
  [[nodiscard]] std::optional<Endpoint> other_end(const IpAddress& address) const;

 private:
  class Impl;
  explicit StreamRelay(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace culvert::daemon

#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/child_sa.h"
#include "culvert/ike/virtual_net.h"
#include "netlink_linux.h"

namespace culvert::daemon {

/// Where we are a gateway's client, as those see it who follow it: DNS, a kill switch.
struct ClientConnection {
  std::string peer, device;
  ike::VirtualNet net;
  std::vector<IpPrefix> routes;     ///< into the device; of length 0: everything (but what the host reaches directly)
  std::vector<IpAddress> gateways;  ///< reached beside the tunnel
  friend bool operator==(const ClientConnection&, const ClientConnection&) = default;
};

/// Told of each change, in order. Owned by the daemon; control thread.
class ClientWatcher {
 public:
  virtual ~ClientWatcher() = default;
  /// There is one, or it has changed. It stays, with its routes, while the gateway is lost and called again.
  virtual void on_connection(const ClientConnection& connection) = 0;
  /// It is over for good: administratively down, or the daemon goes.
  virtual void on_disconnected(const std::string& peer) = 0;
};

/// Puts what gateways give us onto the machine: addresses on the device, routes by what they grant. Control thread.
///
/// Split tunnel: routes in the main table. Full tunnel: a default route in a table of our own, looked at behind all
/// that the main table knows but its default route; the gateway's addresses are looked up in the main table alone, by
/// rules and not by routes, so that they follow the host from network to network.
///
///   5200  to GATEWAY lookup main
///   5210  lookup main suppress_prefixlength 0
///   5220  lookup 5220
class ClientNetwork {
 public:
  /// Removes the rules that a crashed daemon has left. They led nowhere without its device.
  static void remove_leftovers(Netlink& netlink);

  void set_watcher(ClientWatcher* watcher) noexcept { watcher_ = watcher; }
  /// The gateway has given us this, in place of what it gave before.
  void use(Netlink& netlink, PeerId peer, const std::string& name, const std::string& device,
           const ike::VirtualNet& net);
  /// It grants these, and is there. Not `as_granted`: the configuration names the routes.
  void grant(Netlink& netlink, PeerId peer, const std::vector<TrafficSelector>& remote, const IpAddress& gateway,
             bool as_granted);
  /// It is, or may soon be, reached at this address.
  void pin(Netlink& netlink, const IpAddress& gateway);
  /// The device was made anew: what was on it is put there again.
  void renew(Netlink& netlink, const std::string& device, int ifindex);
  void release(Netlink& netlink, PeerId peer);
  void release_all(Netlink& netlink);
  /// There is a full tunnel.
  [[nodiscard]] bool leads_everything(IpFamily family) const;

  /// The prefixes that a range of addresses is made of, at most `most`.
  [[nodiscard]] static std::vector<IpPrefix> prefixes_of(const IpAddress& first, const IpAddress& last,
                                                         std::size_t most);

 private:
  struct Connection {
    ClientConnection said;
    int ifindex = 0;
  };
  void set_routes(Netlink& netlink, Connection& connection, const std::vector<IpPrefix>& wanted);
  void set_rules(Netlink& netlink, IpFamily family, bool wanted);
  void tell(const Connection& connection) const;

  std::map<PeerId, Connection> connections_;
  std::vector<IpAddress> pinned_;  ///< with a rule each
  bool rules_v4_ = false, rules_v6_ = false;
  ClientWatcher* watcher_ = nullptr;
};

}  // namespace culvert::daemon

#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/result.h"
#include "client_network.h"
#include "culvert/config/config.h"
#include "culvert/config/reload.h"
#include "culvert/control/routes.h"
#include "netlink_linux.h"
#include "path_finder.h"
#include "state_dir.h"
#include "tunnel_mtu.h"

namespace culvert::daemon {

/// The machine's side of the tunnels: devices with their addresses, routes and MTU. Owns nothing of the packets.
/// Control thread.
///
/// A device and its routes go with the process, also when that crashes; what was to go into it would then follow the
/// next best route, in the clear. So behind each route stands a guard: an unreachable route to the same prefix that is
/// bound to no device, and goes only when a gateway leaves as it was told to.
class Machine {
 public:
  /// Removes what a crashed daemon left behind, but for devices that are in `kept`. `config` outlives the machine.
  [[nodiscard]] static Result<Machine> create(const config::Config& config, Netlink netlink, StateDir state,
                                              const tunnel::KeptDescriptors& kept = {});

  /// Puts the guards up, makes every device of the configuration, sets its MTU, addresses and routes, and brings it up.
  /// Nothing is rolled back on an error: that is what abandon is for.
  [[nodiscard]] Result<void> set_up(tunnel::DataPlane& plane);
  /// Removes the devices, and with them their addresses and routes, then the guards, and forgets them.
  void tear_down(tunnel::DataPlane& plane);
  /// Leaves devices, routes and guards to the next daemon, which gets the open devices from whoever keeps them. Without
  /// it they go when those are closed, and the guards when a daemon starts or remove_leftovers is called.
  void hand_over();
  /// One of our devices has been deleted: makes it anew, with what belongs to it. Errc::not_found: none of ours.
  [[nodiscard]] Result<void> renew_device(tunnel::DataPlane& plane, int ifindex);
  /// The same for a gateway that nobody told to leave: one that failed while it ran keeps its guards, one that did not
  /// get so far those that a crashed one before it had left. The next start knows of them.
  void abandon(tunnel::DataPlane& plane);

  // ---- another configuration (machine_reload.cpp) ----
  /// The configuration that the machine was made with is another one by now; `before` is what it was. Makes what is new
  /// and changes what has changed; what has not is not touched. After an error everything is as before.
  [[nodiscard]] Result<void> reconfigure(const config::Config& before, const config::ReloadPlan& plan,
                                         tunnel::DataPlane& plane);
  /// Removes what is gone, once nothing uses it any more.
  void finish_reload(const config::Config& before, const config::ReloadPlan& plan, tunnel::DataPlane& plane);
  /// After an error: the configuration is what it was again.
  void index_tunnels();

  /// The true shape of a child's packets is known: sets the MTU of its tunnels to what fits exactly.
  /// Bytes of IP that the route to `remote` takes here, whatever ICMP says.
  [[nodiscard]] std::uint32_t path_mtu(const IpAddress& remote);
  /// `limit`: bytes of IP that the path was found to carry.
  void adapt_mtu(tunnel::DataPlane& plane, ChildId child, const SaShape& shape, const IpAddress& remote,
                 std::uint32_t limit = 65535);

  // ---- as a gateway's client ----
  void watch_clients(ClientWatcher* watcher) noexcept { client_network_.set_watcher(watcher); }
  /// nullopt: it is over.
  void use_virtual_net(PeerId peer, const std::optional<ike::VirtualNet>& net);
  /// The gateway grants `remote` to this child, and is at `gateway`. Of other children nothing is done.
  void grant(PeerId peer, ChildId child, const std::vector<TrafficSelector>& remote, const IpAddress& gateway);

  /// Routes, guards and rules of ours, and what has become of them (steering.cpp).
  [[nodiscard]] Result<std::vector<control::RouteReport>> report_routes();
  [[nodiscard]] const StateDir& state() const noexcept { return state_; }
  [[nodiscard]] std::uint16_t mtu(TunnelId id) const;
  /// Routes to peers are from now on looked up as those of packets with `gateway.fwmark`.
  void follow_mark() noexcept { netlink_.set_mark(config_->gateway.fwmark); }
  /// Our addresses have changed: find_paths looks at them anew.
  void refresh_addresses() {
    path_finder_.refresh(netlink_);
    own_addresses_ = netlink_.addresses().value_or(std::vector<IpPrefix>{});
  }
  /// Whom an echo request of our own can be sent to, behind one of the child's tunnels.
  struct FarEnd {
    TunnelId tunnel;
    IpAddress from, to;
    bool named = false;  ///< by the configuration; else it follows from the device's own address
  };
  [[nodiscard]] std::optional<FarEnd> far_end(ChildId child) const;
  /// See PathFinder; without those that lead into one of our own devices.
  [[nodiscard]] std::vector<ike::Path> find_paths(std::vector<IpAddress> remotes, const std::vector<IpAddress>& ours);
  [[nodiscard]] bool owns(int ifindex) const noexcept;  ///< one of our own devices
  /// A sentence when packets to this address would go into one of our own devices: ESP into itself.
  [[nodiscard]] std::optional<std::string> leads_into_tunnel(const IpAddress& remote);

 private:
  Machine(const config::Config& config, Netlink netlink, StateDir state)
      : config_(&config), netlink_(std::move(netlink)), state_(std::move(state)), path_finder_(config.gateway.listen) {
    index_tunnels();
  }
  [[nodiscard]] Result<void> remove_leftovers(const tunnel::KeptDescriptors& kept);
  [[nodiscard]] Result<void> remove_unwanted(const config::TunnelSettings& settings, int ifindex);
  [[nodiscard]] const config::TunnelSettings* virtual_tunnel(PeerId peer) const;
  [[nodiscard]] Result<void> keep_record() const;
  [[nodiscard]] Result<void> set_up_guards();
  void remove_devices(tunnel::DataPlane& plane);
  void remove_guards();
  [[nodiscard]] static std::vector<GuardRecord> guards_of(const config::Config& config);
  // machine_reload.cpp
  using Undo = std::vector<std::function<void()>>;
  [[nodiscard]] std::pair<std::vector<GuardRecord>, std::vector<GuardRecord>> new_guards(
      const config::Config& before) const;
  [[nodiscard]] Result<void> add_guards(const std::vector<GuardRecord>& added, Undo& undo);
  [[nodiscard]] Result<void> leave_places(const config::Config& before, const config::ReloadPlan& plan, Undo& undo);
  [[nodiscard]] Result<void> withdraw(const config::TunnelSettings& from, const std::vector<IpPrefix>& routes,
                                      const std::vector<IpPrefix>& addresses, Undo& undo);
  [[nodiscard]] Result<void> change_routes(const config::TunnelSettings& before, const config::TunnelSettings& next,
                                           int ifindex, Undo& undo);
  [[nodiscard]] Result<void> make_room(const config::Config& before, const config::ReloadPlan& plan,
                                       tunnel::DataPlane& plane, Undo& undo);
  [[nodiscard]] Result<void> add_tunnel(const config::TunnelSettings& settings, tunnel::DataPlane& plane, Undo& undo);
  [[nodiscard]] Result<void> change(const config::TunnelSettings& before, const config::TunnelSettings& next,
                                    tunnel::DataPlane& plane, Undo& undo);
  [[nodiscard]] Result<void> change_mtu(const config::TunnelSettings& before, const config::TunnelSettings& next,
                                        int ifindex, tunnel::DataPlane& plane, Undo& undo);
  void remove_tunnels(const std::vector<const config::TunnelSettings*>& gone, tunnel::DataPlane& plane);
  [[nodiscard]] Result<void> set_up(const config::TunnelSettings& settings, tunnel::DataPlane& plane);
  [[nodiscard]] Result<void> set_up_device(const config::TunnelSettings& settings, int ifindex, std::uint16_t mtu);
  [[nodiscard]] static RoutePlace place_of(const config::TunnelSettings& settings) noexcept {
    return {settings.table, settings.metric};
  }
  [[nodiscard]] std::uint16_t initial_mtu(const config::TunnelSettings& settings);
  [[nodiscard]] std::optional<IpAddress> source_for(const config::TunnelSettings& settings, const IpPrefix& route,
                                                    const std::vector<IpPrefix>& ours) const;

  const config::Config* config_;
  Netlink netlink_;
  StateDir state_;
  PathFinder path_finder_;
  ClientNetwork client_network_;
  MachineRecord ours_;                 ///< as recorded
  std::vector<GuardRecord> kept_guards_;  ///< not to be removed by abandon
  std::map<TunnelId, std::uint16_t> mtus_;
  std::vector<IpPrefix> own_addresses_;  ///< as refresh_addresses found them
  std::multimap<ChildId, const config::TunnelSettings*> tunnels_of_;
};

}  // namespace culvert::daemon

#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"

struct nl_sock;
struct nl_msg;

namespace culvert::daemon {

struct LinkInfo {
  int index = 0;
  std::string name;
  std::uint32_t mtu = 0;  ///< bytes
  bool up = false;
};

/// What the kernel would do with a packet to an address: FIB lookup, no cached path MTU (ICMP may have put that there).
struct RouteLookup {
  int ifindex = 0;
  std::string device;
  std::uint32_t mtu = 0;  ///< of the route when it has one, else of the device
};

/// An address by which others may reach this host.
struct LocalAddress {
  IpAddress address;
  int ifindex = 0;
};

/// Protocol number of our routes, guards (add_guard) and rules. Nobody else's: not the kernel's (linux/rtnetlink.h: up
/// to 18, 42, 84, 99, 186–192), not FRR's (zebra/rt_netlink.h: 186–198; zebra deletes at its start what has one of
/// those), Calico's (80) or Coil's (30).
inline constexpr std::uint8_t our_protocol = 233;
/// What it was up to version 0.1: FRR's openfabric.
inline constexpr std::uint8_t former_protocol = 197;
inline constexpr std::uint32_t main_table = 254;  ///< RT_TABLE_MAIN

/// Where a route stands beside its prefix.
struct RoutePlace {
  std::uint32_t table = main_table;
  std::uint32_t metric = 0;  ///< 0: 1024 for IPv6, as the kernel has it
  friend auto operator<=>(const RoutePlace&, const RoutePlace&) noexcept = default;
};
/// As the kernel says it of a route to `to`.
[[nodiscard]] inline RoutePlace as_kernel_has_it(const IpPrefix& to, RoutePlace place) noexcept {
  if (place.metric == 0 && !to.address.is_v4()) place.metric = 1024;  // IP6_RT_PRIO_USER
  return place;
}

/// As the kernel has it.
struct DeviceRoute {
  IpPrefix to;
  RoutePlace place;  ///< as_kernel_has_it
  std::uint8_t protocol = our_protocol;
};

/// A rule of the routing policy (ip rule), with our protocol number.
struct RoutingRule {
  IpFamily family = IpFamily::v4;
  std::uint32_t priority = 0, table = 0;
  std::optional<IpAddress> to;
  bool only_specific = false;  ///< suppress_prefixlength 0: the table's default route does not count
  std::uint32_t mark = 0;      ///< of sockets (SO_MARK); 0: any
};

/// A route as the kernel has it, whoever made it.
struct KernelRoute {
  IpPrefix to;
  RoutePlace place;
  std::uint8_t protocol = 0;
  bool unreachable = false;  ///< it leads nowhere: unreachable, blackhole, prohibit
  int ifindex = 0;           ///< of its first next hop
  std::string device;
};

struct LinkChange {
  std::optional<std::uint32_t> mtu;
  bool bring_up = false;
};

/// Links, addresses and routes of this network namespace, by rtnetlink. Owned by the control thread; every call waits
/// for the kernel's answer, which comes at once (a time-out of 2 s stands behind it). Errors name the object and what
/// the kernel said.
class Netlink {
 public:
  [[nodiscard]] static Result<Netlink> open();

  /// Errc::not_found when there is none.
  [[nodiscard]] Result<LinkInfo> find_link(const std::string& name);
  [[nodiscard]] Result<void> change_link(int ifindex, const LinkChange& change);
  /// No automatic link-local address, hence no router solicitations either. To be called before the link goes up.
  /// Errc::io where the kernel has no IPv6, or the device none.
  [[nodiscard]] Result<void> keep_v6_addresses_away(int ifindex);
  /// No queueing discipline: packets go straight to the queues of the TUN device, which drop what they have no room for
  /// in any case. To be called before the link goes up: the kernel would give each of the 256 queues that a TUN device
  /// has room for a discipline of its own, megabytes in all. Errc::io when the kernel refuses.
  [[nodiscard]] Result<void> set_no_queue(int ifindex);
  /// Deletes a device. Errc::not_found when there is none.
  [[nodiscard]] Result<void> remove_link(int ifindex);

  /// Deletes many devices at once: one by one the kernel waits some milliseconds for each. They are put into a group
  /// with the number of this process for the moment. Those that are gone already do no harm.
  [[nodiscard]] Result<void> remove_links(std::span<const int> ifindexes);

  /// `prefix` may have host bits; IPv6 without duplicate address detection (nobody else is on a point-to-point tunnel).
  [[nodiscard]] Result<void> add_address(int ifindex, const IpPrefix& prefix);
  /// Errc::not_found when there is none.
  [[nodiscard]] Result<void> remove_address(int ifindex, const IpPrefix& prefix);
  [[nodiscard]] Result<std::vector<IpPrefix>> addresses();
  /// Of one device, but for those that the kernel has made itself (link-local ones).
  [[nodiscard]] Result<std::vector<IpPrefix>> addresses_of(int ifindex);
  /// What add_route has put anywhere for this device, and static routes of the main table.
  [[nodiscard]] Result<std::vector<DeviceRoute>> routes_of(int ifindex);
  /// Neither loopback nor link-local ones, nor such as are not ready yet or about to go.
  [[nodiscard]] Result<std::vector<LocalAddress>> local_addresses();

  /// Scope link. A route to the same prefix in the same place through the same device is replaced; one through another
  /// device is left alone: Errc::invalid then names it. `source` is the preferred source address of what this host
  /// itself sends.
  [[nodiscard]] Result<void> add_route(int ifindex, const IpPrefix& to, const std::optional<IpAddress>& source,
                                       const RoutePlace& place = {});
  /// Errc::not_found when there is none.
  [[nodiscard]] Result<void> remove_route(int ifindex, const IpPrefix& to, const RoutePlace& place = {},
                                          std::uint8_t protocol = our_protocol);
  /// There already: as wanted.
  [[nodiscard]] Result<void> add_rule(const RoutingRule& rule);
  /// Errc::not_found when there is none.
  [[nodiscard]] Result<void> remove_rule(const RoutingRule& rule);
  /// Removes one rule of ours with this priority, also one with our former number; false: there is none.
  [[nodiscard]] bool remove_rules(IpFamily family, std::uint32_t priority);
  /// An unreachable route behind all others to the same prefix in its table: with a metric and a protocol of our own,
  /// bound to no device. There already: as wanted; it takes the place of one with our former number.
  [[nodiscard]] Result<void> add_guard(const IpPrefix& to, std::uint32_t table = main_table);
  /// Errc::not_found when there is none.
  [[nodiscard]] Result<void> remove_guard(const IpPrefix& to, std::uint32_t table = main_table,
                                          std::uint8_t protocol = our_protocol);
  /// All tables but that of local addresses (netlink_routes_linux.cpp).
  [[nodiscard]] Result<std::vector<KernelRoute>> all_routes();
  [[nodiscard]] Result<std::vector<RoutingRule>> our_rules();
  /// Lookups are from now on those of packets with this mark (SO_MARK); 0: of packets without one.
  void set_mark(std::uint32_t mark) noexcept { mark_ = mark; }
  [[nodiscard]] std::uint32_t mark() const noexcept { return mark_; }
  [[nodiscard]] Result<RouteLookup> lookup_route(const IpAddress& to);
  /// The device by which a packet from `from`, one of our own addresses, would leave. Errc::not_found: by none.
  [[nodiscard]] Result<int> route_device(const IpAddress& to, const IpAddress& from);

 private:
  struct Close {
    void operator()(nl_sock* socket) const noexcept;
  };
  explicit Netlink(nl_sock* socket) noexcept : socket_(socket) {}
  struct RouteAnswer {
    int ifindex = 0;
    std::uint32_t mtu = 0;
  };
  [[nodiscard]] Result<RouteAnswer> ask_route(const IpAddress& to, const IpAddress* from);
  static int take_route(nl_msg* message, void* out);
  [[nodiscard]] Result<LinkInfo> link_by(int ifindex, const char* name);
  /// In words, the routes to exactly `to` in this place; sets `same_device` when one of them leads to `ifindex`.
  [[nodiscard]] std::string describe_routes(const IpPrefix& to, const RoutePlace& place, int ifindex,
                                            bool& same_device);

  std::unique_ptr<nl_sock, Close> socket_;
  std::uint32_t mark_ = 0;
};

}  // namespace culvert::daemon

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

/// Of the unreachable routes that stand behind a tunnel's routes (add_guard); iproute2's table of names leaves it free.
inline constexpr std::uint8_t guard_protocol = 197;

/// A rule of the routing policy (ip rule), with our protocol number.
struct RoutingRule {
  IpFamily family = IpFamily::v4;
  std::uint32_t priority = 0, table = 0;
  std::optional<IpAddress> to;
  bool only_specific = false;  ///< suppress_prefixlength 0: the table's default route does not count
  std::uint32_t mark = 0;      ///< of sockets (SO_MARK); 0: any
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
  /// What add_route has put into the main table for this device, or somebody else by hand.
  [[nodiscard]] Result<std::vector<IpPrefix>> routes_of(int ifindex);
  /// Neither loopback nor link-local ones, nor such as are not ready yet or about to go.
  [[nodiscard]] Result<std::vector<LocalAddress>> local_addresses();

  /// Main table unless another is named, scope link. A route to the same prefix through the same device is replaced; one through another device
  /// is left alone: Errc::invalid then names it. `source` is the preferred source address of what this host itself
  /// sends.
  [[nodiscard]] Result<void> add_route(int ifindex, const IpPrefix& to, const std::optional<IpAddress>& source,
                                       std::uint32_t table = 254);
  /// Errc::not_found when there is none.
  [[nodiscard]] Result<void> remove_route(int ifindex, const IpPrefix& to, std::uint32_t table = 254);
  /// There already: as wanted.
  [[nodiscard]] Result<void> add_rule(const RoutingRule& rule);
  /// Errc::not_found when there is none.
  [[nodiscard]] Result<void> remove_rule(const RoutingRule& rule);
  /// Removes one rule of ours with this priority; false: there is none.
  [[nodiscard]] bool remove_rules(IpFamily family, std::uint32_t priority);
  /// An unreachable route in the main table behind all others to the same prefix: with a metric and a protocol of our
  /// own, bound to no device. There already: as wanted.
  [[nodiscard]] Result<void> add_guard(const IpPrefix& to);
  /// Errc::not_found when there is none.
  [[nodiscard]] Result<void> remove_guard(const IpPrefix& to);
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
  /// In words, the routes to exactly `to`; sets `same_device` when one of them leads to `ifindex`.
  [[nodiscard]] std::string describe_routes(const IpPrefix& to, int ifindex, bool& same_device);

  std::unique_ptr<nl_sock, Close> socket_;
};

}  // namespace culvert::daemon

#include "netlink_linux.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "private_netns.h"
#include "tun_device.h"

using namespace culvert;
using daemon::DeviceRoute;
using daemon::former_protocol;
using daemon::main_table;
using daemon::Netlink;
using daemon::RoutePlace;

namespace {

using Tun = test::TunDevice;

IpPrefix prefix(const char* text) {
  return IpPrefix::parse(text).value();
}
IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

/// What ip(8) sees: another program's view of what we asked the kernel for.
std::string ip(const std::string& arguments) {
  std::string output;
  std::array<char, 512> chunk{};
  FILE* pipe = popen(("ip " + arguments + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) output += chunk.data();
  pclose(pipe);
  return output;
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

#define NEEDS_NETNS(netns)                                  \
  if (!(netns).ok()) {                                      \
    MESSAGE("skipped: not root, or no network namespaces"); \
    return;                                                 \
  }

TEST_CASE("a device gets its MTU, its addresses without duplicate address detection, and comes up") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Tun tun("cvt0");
  REQUIRE(tun.made());
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  const auto link = netlink->find_link("cvt0");
  REQUIRE(link.has_value());
  CHECK_FALSE(link->up);
  REQUIRE(netlink->keep_v6_addresses_away(link->index).has_value());
  REQUIRE(netlink->change_link(link->index, {1400, true}).has_value());
  REQUIRE(netlink->add_address(link->index, prefix("169.254.10.1/30")).has_value());
  REQUIRE(netlink->add_address(link->index, prefix("fd00:10::1/64")).has_value());
  REQUIRE(netlink->add_address(link->index, prefix("fd00:10::1/64")).has_value());  // there already: as wanted

  const auto seen = ip("-d addr show dev cvt0");
  CHECK(contains(seen, "mtu 1400"));
  CHECK(contains(seen, "UP"));
  CHECK(contains(seen, "inet 169.254.10.1/30"));
  CHECK(contains(seen, "inet6 fd00:10::1/64 scope global"));
  CHECK(contains(seen, "nodad"));
  CHECK_FALSE(contains(seen, "fe80::"));  // no automatic address
  const auto all = netlink->addresses();
  REQUIRE(all.has_value());
  CHECK(std::ranges::find(*all, prefix("169.254.10.1/30")) != all->end());
}

TEST_CASE("routes of both families lead into the device with the preferred source, can be set twice, and go") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Tun tun("cvt0");
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  const int index = netlink->find_link("cvt0").value().index;
  REQUIRE(netlink->change_link(index, {1400, true}).has_value());
  REQUIRE(netlink->add_address(index, prefix("10.1.0.1/16")).has_value());

  REQUIRE(netlink->add_route(index, prefix("10.2.0.0/16"), address("10.1.0.1")).has_value());
  CHECK(contains(ip("route show"), "10.2.0.0/16 dev cvt0 proto 233 scope link src 10.1.0.1"));
  REQUIRE(netlink->add_route(index, prefix("10.2.0.0/16"), std::nullopt).has_value());
  CHECK(contains(ip("route show"), "10.2.0.0/16 dev cvt0 proto 233 scope link \n"));
  REQUIRE(netlink->add_route(index, prefix("fd02::/48"), std::nullopt).has_value());
  CHECK(contains(ip("-6 route show"), "fd02::/48 dev cvt0 proto 233"));
  REQUIRE(netlink->add_route(index, prefix("0.0.0.0/0"), std::nullopt).has_value());
  CHECK(contains(ip("route show"), "default dev cvt0"));
  REQUIRE(
      netlink->add_route(index, prefix("10.1.0.0/16"), std::nullopt).has_value());  // the connected one, by another way

  REQUIRE(netlink->remove_route(index, prefix("10.2.0.0/16")).has_value());
  CHECK_FALSE(contains(ip("route show"), "10.2.0.0/16"));
  CHECK_FALSE(netlink->remove_route(index, prefix("10.2.0.0/16")).has_value());
}

TEST_CASE("a route that leads elsewhere already is named in the error and left alone") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Tun ours("cvt0");
  const Tun other("other0");
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  const int index = netlink->find_link("cvt0").value().index;
  const int other_index = netlink->find_link("other0").value().index;
  REQUIRE(netlink->change_link(index, {1400, true}).has_value());
  REQUIRE(netlink->change_link(other_index, {1400, true}).has_value());
  REQUIRE(netlink->add_address(other_index, prefix("10.9.0.1/24")).has_value());
  ip("route add 10.2.0.0/16 via 10.9.0.7 dev other0");
  ip("-6 route add fd02::/48 dev other0 metric 1024");

  const auto v4 = netlink->add_route(index, prefix("10.2.0.0/16"), std::nullopt);
  REQUIRE_FALSE(v4.has_value());
  CHECK(v4.error().code == Errc::invalid);
  CHECK(contains(v4.error().detail, "10.2.0.0/16 exists already, via 10.9.0.7 dev other0"));
  CHECK(contains(ip("route show 10.2.0.0/16"), "via 10.9.0.7 dev other0"));
  const auto v6 = netlink->add_route(index, prefix("fd02::/48"), std::nullopt);
  REQUIRE_FALSE(v6.has_value());
  CHECK(contains(v6.error().detail, "dev other0"));
}

TEST_CASE("a guard is an unreachable route that everything else to the prefix beats, and that no device takes along") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  ip("link set lo up");
  REQUIRE(netlink->add_guard(prefix("10.2.0.0/16")).has_value());
  REQUIRE(netlink->add_guard(prefix("10.2.0.0/16")).has_value());  // there already: as wanted
  REQUIRE(netlink->add_guard(prefix("fd02::/48")).has_value());
  {
    const Tun tun("cvt0");
    const int index = netlink->find_link("cvt0").value().index;
    REQUIRE(netlink->change_link(index, {1400, true}).has_value());
    REQUIRE(netlink->add_route(index, prefix("10.2.0.0/16"), std::nullopt).has_value());
    REQUIRE(netlink->add_route(index, prefix("fd02::/48"), std::nullopt).has_value());
    CHECK(contains(ip("route get 10.2.3.4"), "dev cvt0"));
    CHECK(contains(ip("-6 route get fd02::1"), "dev cvt0"));
  }
  for (const char* shown : {"unreachable 10.2.0.0/16 proto ", "unreachable fd02::/48 dev lo proto "})
    CHECK(contains(ip("route show") + ip("-6 route show"), shown));
  // By its number: other packages may have a name for it (FRR has).
  for (const char* shown : {"10.2.0.0/16 proto 233 ", "fd02::/48 dev lo proto 233 "})
    CHECK(contains(ip("-N route show") + ip("-N -6 route show"), shown));
  CHECK(contains(ip("route show"), "metric 4000000000"));
  CHECK(contains(ip("route get 10.2.3.4"), "No route to host"));
  CHECK(contains(ip("-6 route get fd02::1"), "No route to host"));

  // A backup that somebody else provides is taken, and left alone by what removes ours.
  ip("link add other type bridge");
  ip("link set other up");
  ip("route add 10.2.0.0/16 dev other metric 5000");
  CHECK(contains(ip("route get 10.2.3.4"), "dev other"));
  REQUIRE(netlink->remove_guard(prefix("10.2.0.0/16")).has_value());
  REQUIRE(netlink->remove_guard(prefix("fd02::/48")).has_value());
  CHECK_FALSE(contains(ip("route show") + ip("-6 route show"), "unreachable"));
  CHECK(contains(ip("route show"), "10.2.0.0/16 dev other"));
  const auto gone = netlink->remove_guard(prefix("10.2.0.0/16"));
  REQUIRE_FALSE(gone.has_value());
  CHECK(gone.error().code == Errc::not_found);
}

TEST_CASE("routes and guards stand in the table and with the metric that they are given") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Tun tun("cvt0");
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  ip("link set lo up");
  const int index = netlink->find_link("cvt0").value().index;
  REQUIRE(netlink->change_link(index, {1400, true}).has_value());
  const RoutePlace near{100, 0}, far{100, 50};
  for (const char* net : {"10.2.0.0/16", "fd02::/48"}) {
    REQUIRE(netlink->add_route(index, prefix(net), std::nullopt, far).has_value());
    REQUIRE(netlink->add_route(index, prefix(net), std::nullopt, near).has_value());
    REQUIRE(netlink->add_guard(prefix(net), 100).has_value());
  }
  CHECK(ip("route show") == "");
  CHECK(contains(ip("route show table 100"), "10.2.0.0/16 dev cvt0 proto 233 scope link metric 50"));
  CHECK(contains(ip("route show table 100"), "10.2.0.0/16 dev cvt0 proto 233 scope link \n"));
  CHECK(contains(ip("-6 route show table 100"), "fd02::/48 dev cvt0 proto 233 metric 50"));
  CHECK(contains(ip("-6 route show table 100"), "fd02::/48 dev cvt0 proto 233 metric 1024"));  // the kernel's default
  CHECK(contains(ip("route show table 100"), "unreachable 10.2.0.0/16 proto 233 metric 4000000000"));
  CHECK(contains(ip("-6 route show table 100"), "unreachable fd02::/48 dev lo proto 233 metric 4000000000"));

  // Each by itself, also the one of the kernel's default metric.
  for (const char* net : {"10.2.0.0/16", "fd02::/48"})
    REQUIRE(netlink->remove_route(index, prefix(net), near).has_value());
  CHECK(contains(ip("route show table 100"), "dev cvt0 proto 233 scope link metric 50"));
  CHECK(contains(ip("-6 route show table 100"), "dev cvt0 proto 233 metric 50"));
  CHECK_FALSE(contains(ip("-6 route show table 100"), "metric 1024"));
  const auto routes = netlink->routes_of(index);
  REQUIRE(routes.has_value());
  REQUIRE(routes->size() == 2);
  for (const DeviceRoute& route : *routes) CHECK(route.place == far);
  CHECK_FALSE(netlink->remove_guard(prefix("10.2.0.0/16")).has_value());  // none in the main table
  REQUIRE(netlink->remove_guard(prefix("10.2.0.0/16"), 100).has_value());
  REQUIRE(netlink->remove_guard(prefix("fd02::/48"), 100).has_value());
}

TEST_CASE("a guard with the number of older versions is taken over, or found to be removed") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  ip("link set lo up");
  ip("route add unreachable 10.2.0.0/16 proto 197 metric 4000000000");
  ip("-6 route add unreachable fd02::/48 proto 197 metric 4000000000");
  for (const char* net : {"10.2.0.0/16", "fd02::/48"}) REQUIRE(netlink->add_guard(prefix(net)).has_value());
  CHECK(contains(ip("-N route show"), "7 10.2.0.0/16 proto 233"));
  CHECK(contains(ip("-N -6 route show"), "7 fd02::/48 dev lo proto 233"));  // RTN_UNREACHABLE
  CHECK_FALSE(contains(ip("-N route show") + ip("-N -6 route show"), "proto 197"));
  ip("route add unreachable 10.3.0.0/16 proto 197 metric 4000000000");
  REQUIRE(netlink->remove_guard(prefix("10.3.0.0/16"), main_table, former_protocol).has_value());
  CHECK_FALSE(contains(ip("route show"), "10.3.0.0/16"));
}

TEST_CASE("a lookup is that of a packet with our mark") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Tun tun("cvt0");
  const Tun other("other0");
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  for (const char* device : {"cvt0", "other0"})
    REQUIRE(netlink->change_link(netlink->find_link(device).value().index, {1400, true}).has_value());
  ip("route add default dev cvt0");
  ip("route add default dev other0 table 7");
  ip("rule add fwmark 51820 lookup 7");
  CHECK(netlink->lookup_route(address("198.51.100.1")).value().device == "cvt0");
  netlink->set_mark(51820);
  CHECK(netlink->lookup_route(address("198.51.100.1")).value().device == "other0");
}

TEST_CASE("a route lookup names the device and its MTU, or that of the route") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Tun tun("cvt0");
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  const int index = netlink->find_link("cvt0").value().index;
  REQUIRE(netlink->change_link(index, {1400, true}).has_value());
  REQUIRE(netlink->add_address(index, prefix("10.9.0.1/24")).has_value());
  REQUIRE(netlink->add_address(index, prefix("fd09::1/64")).has_value());
  ip("route add 10.8.0.0/16 via 10.9.0.2 mtu 1300");

  const auto connected = netlink->lookup_route(address("10.9.0.2"));
  REQUIRE(connected.has_value());
  CHECK(connected->device == "cvt0");
  CHECK(connected->mtu == 1400);
  CHECK(netlink->lookup_route(address("fd09::2")).value().mtu == 1400);
  CHECK(netlink->lookup_route(address("10.8.1.1")).value().mtu == 1300);
  CHECK_FALSE(netlink->lookup_route(address("192.0.2.1")).has_value());
  CHECK(netlink->lookup_route(address("10.9.0.3")).has_value());  // still in step after an error
}

TEST_CASE("what does not exist is not found, and a device can be removed") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  const auto missing = netlink->find_link("nosuch0");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Errc::not_found);
  CHECK_FALSE(netlink->change_link(4711, {1400, true}).has_value());
  CHECK_FALSE(netlink->add_address(4711, prefix("10.0.0.1/8")).has_value());
  CHECK_FALSE(netlink->add_route(4711, prefix("10.0.0.0/8"), std::nullopt).has_value());
  const Tun tun("cvt0");
  REQUIRE(netlink->remove_link(netlink->find_link("cvt0").value().index).has_value());
  CHECK_FALSE(netlink->find_link("cvt0").has_value());
}

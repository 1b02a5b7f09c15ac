#include "path_finder.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "private_netns.h"
#include "tun_device.h"

using namespace culvert;
using daemon::Netlink;
using daemon::PathFinder;

namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}
ike::Path path(const char* local, const char* remote) {
  return {{ip(local), 0}, {ip(remote), 0}};
}
void run(const char* command) {
  REQUIRE(std::system(command) == 0);
}

/// Two links to the internet and a LAN; the default route goes by the first, what comes from the second's address by
/// it.
struct Gateway {
  test::TunDevice wan{"cvw0"}, second{"cvw1"}, lan{"cvl0"};
  Gateway() {
    run("ip addr add 192.0.2.1/24 dev cvw0 && ip addr add 198.51.100.1/24 dev cvw1 && ip addr add 10.1.0.1/24 dev cvl0 "
        "&&"
        "for d in cvw0 cvw1 cvl0; do ip link set $d up; done; ip link set lo up;"
        "ip route add default dev cvw0; ip route add default dev cvw1 table 101; ip rule add from 198.51.100.1 table "
        "101");
  }
};

}  // namespace

#define NEEDS_NETNS(netns)                                  \
  if (!(netns).ok()) {                                      \
    MESSAGE("skipped: not root, or no network namespaces"); \
    return;                                                 \
  }

TEST_CASE("for each address of a peer: what the kernel would send from, then what leaves by the device that has it") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Gateway gateway;
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  PathFinder finder({IpAddress::any(IpFamily::v4), IpAddress::any(IpFamily::v6)});
  finder.refresh(*netlink);
  const std::vector remotes{ip("203.0.113.1"), ip("203.0.113.2")};
  // The LAN's address is none of them: with it the packet would leave by another device.
  CHECK(finder.find(*netlink, remotes, {}) ==
        std::vector{path("192.0.2.1", "203.0.113.1"), path("192.0.2.1", "203.0.113.2"),
                    path("198.51.100.1", "203.0.113.1"), path("198.51.100.1", "203.0.113.2")});
  CHECK(finder.find(*netlink, {ip("2001:db8::1")}, {}).empty());  // no route

  run("ip route del default dev cvw0");
  CHECK(finder.find(*netlink, {ip("203.0.113.1")}, {}) == std::vector{path("198.51.100.1", "203.0.113.1")});
}

TEST_CASE(
    "addresses that the configuration names stand in the place of the kernel's choice, as far as they are there") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Gateway gateway;
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  PathFinder finder({IpAddress::any(IpFamily::v4)});
  finder.refresh(*netlink);
  const std::vector ours{ip("198.51.100.1"), ip("192.0.2.1"), ip("192.0.2.99")};
  const std::vector expected{path("198.51.100.1", "203.0.113.1"), path("192.0.2.1", "203.0.113.1")};
  CHECK(finder.find(*netlink, {ip("203.0.113.1")}, ours) == expected);
  run("ip addr del 198.51.100.1/24 dev cvw1");
  finder.refresh(*netlink);
  CHECK(finder.find(*netlink, {ip("203.0.113.1")}, ours) == std::vector{path("192.0.2.1", "203.0.113.1")});
}

TEST_CASE("only addresses that we listen on are used") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Gateway gateway;
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  PathFinder finder({ip("192.0.2.1")});
  finder.refresh(*netlink);
  CHECK(finder.find(*netlink, {ip("203.0.113.1")}, {}) == std::vector{path("192.0.2.1", "203.0.113.1")});
}

#include "network_watch.h"

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>

#include "netlink_linux.h"
#include "private_netns.h"
#include "tun_device.h"

using namespace culvert;
using namespace std::chrono_literals;
using daemon::Netlink;
using daemon::NetworkWatch;

namespace {

struct Watched {
  boost::asio::io_context io{1};
  int ignored = -1;
  int changes = 0;
  std::vector<int> lost;
  std::unique_ptr<NetworkWatch> watch;

  [[nodiscard]] bool open() {
    auto opened = NetworkWatch::open(
        io, [this](int ifindex) { return ifindex == ignored; }, [this](int ifindex) { lost.push_back(ifindex); },
        [this] { ++changes; });
    if (opened) watch = std::move(*opened);
    return opened.has_value();
  }
  void run_for(std::chrono::milliseconds time) {
    io.restart();
    io.run_for(time);
  }
  [[nodiscard]] bool hears_within(std::chrono::milliseconds time) {
    const int before = changes;
    const auto until = Clock::now() + time;
    while (changes == before && Clock::now() < until) run_for(10ms);
    return changes > before;
  }
};

}  // namespace

#define NEEDS_NETNS(netns)                                  \
  if (!(netns).ok()) {                                      \
    MESSAGE("skipped: not root, or no network namespaces"); \
    return;                                                 \
  }

TEST_CASE("links, addresses and routes that change are told once for a burst, those of our own devices are not") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const test::TunDevice wan("cvt0"), ours("cvt1");
  REQUIRE(wan.made());
  REQUIRE(ours.made());
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  const int wan_index = netlink->find_link("cvt0")->index;
  Watched watched;
  watched.ignored = netlink->find_link("cvt1")->index;
  REQUIRE(watched.open());
  watched.run_for(100ms);
  CHECK(watched.changes == 0);

  REQUIRE(netlink->change_link(watched.ignored, {1300, true}).has_value());
  REQUIRE(netlink->add_address(watched.ignored, *IpPrefix::parse("10.7.0.1/24")).has_value());
  watched.run_for(300ms);
  CHECK(watched.changes == 0);

  REQUIRE(netlink->change_link(wan_index, {std::nullopt, true}).has_value());
  REQUIRE(netlink->add_address(wan_index, *IpPrefix::parse("192.0.2.1/24")).has_value());
  REQUIRE(netlink->add_route(wan_index, *IpPrefix::parse("198.51.100.0/24"), std::nullopt).has_value());
  CHECK(watched.hears_within(1s));
  watched.run_for(500ms);
  CHECK(watched.changes == 1);

  REQUIRE(netlink->remove_route(wan_index, *IpPrefix::parse("198.51.100.0/24")).has_value());
  CHECK(watched.hears_within(1s));
}

TEST_CASE(
    "events without end are told at a bounded rate, and more were there than the socket could hold is an event, too") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const test::TunDevice wan("cvt0");
  REQUIRE(wan.made());
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  const int index = netlink->find_link("cvt0")->index;
  REQUIRE(netlink->change_link(index, {std::nullopt, true}).has_value());
  Watched watched;
  REQUIRE(watched.open());
  for (int i = 0; i < 3000; ++i) {
    const IpPrefix prefix{IpAddress::v4(0x0A000000U + static_cast<std::uint32_t>(i) * 256), 24};
    REQUIRE(netlink->add_route(index, prefix, std::nullopt).has_value());
  }
  CHECK(watched.hears_within(2s));
  const auto started = Clock::now();
  const int before = watched.changes;
  for (int i = 0; Clock::now() - started < 1s; ++i) {
    const IpPrefix prefix{IpAddress::v4(0x0B000000U + static_cast<std::uint32_t>(i) * 256), 24};
    REQUIRE(netlink->add_route(index, prefix, std::nullopt).has_value());
    watched.run_for(2ms);
  }
  CHECK(watched.changes - before >= 1);
  CHECK(watched.changes - before <= 5);
}

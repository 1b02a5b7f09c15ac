#include "path_prober.h"

#include <doctest/doctest.h>

using namespace culvert;
using namespace std::chrono_literals;
using daemon::PathMtu;
using daemon::PathProber;

namespace {

constexpr TimePoint start{1000s};

IpAddress address(std::uint32_t number) {
  return *IpAddress::parse("10.0." + std::to_string(number / 256) + "." + std::to_string(number % 256));
}
ike::PathProbed result(PeerId peer, std::uint16_t size, bool passed) {
  ike::PathProbed probed{};
  probed.peer = peer;
  probed.path.remote.address = address(peer.value());
  probed.size = size;
  probed.possible = true;
  probed.passed = passed;
  return probed;
}

const PathProber::LinkMtu link_mtu = [](const IpAddress&) -> std::uint16_t { return 1500; };

}  // namespace

TEST_CASE("a new path is asked once, and its answer is what is known of it") {
  PathProber prober;
  prober.on_path(PeerId(3), address(3));
  const auto probe = prober.next(start, link_mtu);
  REQUIRE(probe);
  CHECK(probe->peer == PeerId(3));
  CHECK(probe->size == 1500);
  CHECK_FALSE(prober.next(start, link_mtu));
  CHECK_FALSE(prober.on_result(start, result(PeerId(3), 1500, true)));  // as was believed
  CHECK(prober.find(PeerId(3))->state() == PathMtu::State::confirmed);
  CHECK_FALSE(prober.next(start, link_mtu));
}

TEST_CASE("of many paths that come at once each tick has its share, in their order, and none is forgotten") {
  PathProber prober;
  constexpr std::uint32_t num = 1050;
  for (std::uint32_t i = 0; i < num; ++i) prober.on_path(PeerId(i), address(i));
  std::uint32_t asked = 0;
  for (int tick = 0; tick < 10; ++tick) {
    std::size_t in_this = 0;
    while (const auto probe = prober.next(start + tick * 1s, link_mtu)) {
      CHECK(probe->peer == PeerId(asked++));
      CHECK_FALSE(prober.on_result(start + tick * 1s, result(probe->peer, 1500, true)));
      ++in_this;
    }
    CHECK(in_this == PathProber::max_a_tick);
    prober.on_tick();
  }
  while (prober.next(start + 10s, link_mtu)) ++asked;
  CHECK(asked == num);
}

TEST_CASE("a path that looks broken is asked before those that are new") {
  PathProber prober;
  prober.on_path(PeerId(0), address(0));
  REQUIRE(prober.next(start, link_mtu));
  CHECK_FALSE(prober.on_result(start, result(PeerId(0), 1500, true)));
  for (std::uint32_t i = 1; i < 500; ++i) prober.on_path(PeerId(i), address(i));
  prober.on_suspicion(start + 5s, PeerId(0));
  const auto probe = prober.next(start + 5s, link_mtu);
  REQUIRE(probe);
  CHECK(probe->peer == PeerId(0));
}

TEST_CASE(
    "a tick finds what has become due by itself: a probe without an answer goes on, one that was answered rests") {
  PathProber prober;
  prober.on_path(PeerId(1), address(1));
  prober.on_path(PeerId(2), address(2));
  REQUIRE(prober.next(start, link_mtu));
  REQUIRE(prober.next(start, link_mtu));
  CHECK_FALSE(prober.on_result(start, result(PeerId(1), 1500, true)));
  CHECK_FALSE(prober.on_result(start + 2s, result(PeerId(2), 1500, false)));  // nothing smaller has passed yet
  const auto probe = prober.next(start + 2s, link_mtu);
  REQUIRE(probe);
  CHECK(probe->peer == PeerId(2));
  CHECK(probe->size < 1500);
  prober.switch_off(PeerId(2));
  for (int tick = 0; tick < 100; ++tick) {
    prober.on_tick();
    CHECK_FALSE(prober.next(start + 3s + tick * 1s, link_mtu));
  }
  bool again = false;
  for (int tick = 0; tick < 3600 && !again; ++tick) {
    prober.on_tick();
    again = prober.next(start + 200s + tick * 1s, link_mtu).has_value();
  }
  CHECK(again);  // RFC 8899 §5.3: confirmed paths are looked at again
}

TEST_CASE("a peer that a reload has removed is neither asked nor known any more, and its number may come again") {
  PathProber prober;
  for (std::uint32_t i = 0; i < 3; ++i) prober.on_path(PeerId(i), address(i));
  prober.forget_if([](PeerId peer) { return peer == PeerId(1); });
  CHECK(prober.next(start, link_mtu)->peer == PeerId(0));
  CHECK(prober.next(start, link_mtu)->peer == PeerId(2));
  CHECK_FALSE(prober.next(start, link_mtu));
  CHECK(prober.find(PeerId(1)) == nullptr);
  CHECK_FALSE(prober.on_result(start, result(PeerId(1), 1500, false)));
  prober.on_path(PeerId(1), address(1));
  CHECK(prober.next(start, link_mtu)->peer == PeerId(1));
}

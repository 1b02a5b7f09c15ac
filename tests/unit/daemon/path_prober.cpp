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

}  // namespace

TEST_CASE("a new path is asked once, and its answer is what is known of it") {
  PathProber prober;
  prober.on_path(start, PeerId(3), address(3), 1500);
  const auto probe = prober.next(start);
  REQUIRE(probe);
  CHECK(probe->peer == PeerId(3));
  CHECK(probe->size == 1500);
  CHECK_FALSE(prober.next(start));
  CHECK_FALSE(prober.on_result(start, result(PeerId(3), 1500, true)));  // as was believed
  CHECK(prober.find(PeerId(3))->state() == PathMtu::State::confirmed);
  CHECK_FALSE(prober.next(start));
}

TEST_CASE("of many paths that come at once each tick has its share, in their order, and none is forgotten") {
  PathProber prober;
  constexpr std::uint32_t num = 1050;
  for (std::uint32_t i = 0; i < num; ++i) prober.on_path(start, PeerId(i), address(i), 1500);
  std::uint32_t asked = 0;
  for (int tick = 0; tick < 10; ++tick) {
    std::size_t in_this = 0;
    while (const auto probe = prober.next(start + tick * 1s)) {
      CHECK(probe->peer == PeerId(asked++));
      CHECK_FALSE(prober.on_result(start + tick * 1s, result(probe->peer, 1500, true)));
      ++in_this;
    }
    CHECK(in_this == PathProber::max_a_tick);
    prober.on_tick();
  }
  while (prober.next(start + 10s)) ++asked;
  CHECK(asked == num);
}

TEST_CASE("a path that looks broken is asked before those that are new") {
  PathProber prober;
  prober.on_path(start, PeerId(0), address(0), 1500);
  REQUIRE(prober.next(start));
  CHECK_FALSE(prober.on_result(start, result(PeerId(0), 1500, true)));
  for (std::uint32_t i = 1; i < 500; ++i) prober.on_path(start + 5s, PeerId(i), address(i), 1500);
  prober.on_suspicion(start + 5s, PeerId(0));
  const auto probe = prober.next(start + 5s);
  REQUIRE(probe);
  CHECK(probe->peer == PeerId(0));
}

TEST_CASE(
    "a tick finds what has become due by itself: a probe without an answer goes on, one that was answered rests") {
  PathProber prober;
  prober.on_path(start, PeerId(1), address(1), 1500);
  prober.on_path(start, PeerId(2), address(2), 1500);
  REQUIRE(prober.next(start));
  REQUIRE(prober.next(start));
  CHECK_FALSE(prober.on_result(start, result(PeerId(1), 1500, true)));
  CHECK(prober.on_result(start + 2s, result(PeerId(2), 1500, false)));  // smaller for now
  const auto probe = prober.next(start + 2s);
  REQUIRE(probe);
  CHECK(probe->peer == PeerId(2));
  CHECK(probe->size < 1500);
  prober.switch_off(PeerId(2));
  for (int tick = 0; tick < 100; ++tick) {
    prober.on_tick();
    CHECK_FALSE(prober.next(start + 3s + tick * 1s));
  }
  bool again = false;
  for (int tick = 0; tick < 3600 && !again; ++tick) {
    prober.on_tick();
    again = prober.next(start + 200s + tick * 1s).has_value();
  }
  CHECK(again);  // RFC 8899 §5.3: confirmed paths are looked at again
}

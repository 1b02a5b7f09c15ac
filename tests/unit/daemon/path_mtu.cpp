#include "path_mtu.h"

#include <doctest/doctest.h>

using namespace culvert;
using namespace culvert::daemon;
using namespace std::chrono_literals;

namespace {

/// A path that carries packets of at most `carries` bytes.
struct Run {
  PathMtu mtu;
  std::uint16_t carries;
  TimePoint now = TimePoint(1h);
  int probes = 0;
  int lost = 0;

  /// Answers all probes that are due; at most 40, or the search does not end.
  void settle() {
    for (int i = 0; i < 40; ++i) {
      const auto size = mtu.next(now);
      if (!size) return;
      ++probes;
      lost += *size > carries;
      now += 300ms;
      mtu.on_result(now, *size, *size <= carries);
    }
    FAIL("the search does not end");
  }
};

}  // namespace

TEST_CASE("a path that carries what our link takes costs one probe, and the next ten minutes later") {
  Run run{PathMtu(1500, IpFamily::v4), 1500};
  run.settle();
  CHECK(run.probes == 1);
  CHECK(run.mtu.state() == PathMtu::State::confirmed);
  CHECK(run.mtu.size() == 1500);
  run.now += 9min;
  CHECK_FALSE(run.mtu.next(run.now));
  run.now += 2min;  // RFC 8899 §5.1.1: PMTU_RAISE_TIMER is 600 s
  CHECK(run.mtu.next(run.now) == 1500);
}

TEST_CASE("whatever a path carries is found to four bytes, never too much, with few probes") {
  for (std::uint16_t carries = 576; carries <= 1500; carries += 1) {
    Run run{PathMtu(1500, IpFamily::v4), carries};
    run.settle();
    CAPTURE(carries);
    CHECK(run.mtu.state() == PathMtu::State::confirmed);
    CHECK(run.mtu.size() <= carries);
    CHECK(run.mtu.size() + 4 > carries);
    CHECK(run.probes <= 14);
  }
}

TEST_CASE("the search is over in three seconds where an unanswered probe takes 300 ms") {
  for (const std::uint16_t carries : {1492, 1460, 1420, 1390, 1350, 1300}) {
    Run run{PathMtu(1500, IpFamily::v6), carries};
    run.settle();
    CAPTURE(carries);
    CHECK(run.lost * 300ms <= 2s);
  }
}

TEST_CASE("a path that shrinks is noticed at the first suspicion, and what passes is used before the search is over") {
  Run run{PathMtu(1500, IpFamily::v4), 1500};
  run.settle();
  run.carries = 1440;
  run.now += 5s;
  run.mtu.on_suspicion(run.now);
  REQUIRE(run.mtu.next(run.now) == 1500);
  run.mtu.on_result(run.now, 1500, false);
  REQUIRE(run.mtu.next(run.now) == 1400);
  run.mtu.on_result(run.now, 1400, true);
  CHECK(run.mtu.size() == 1400);
  run.settle();
  CHECK(run.mtu.size() > 1432);
  CHECK(run.mtu.size() <= 1440);
}

TEST_CASE("a path that grows again is noticed by the raise timer") {
  Run run{PathMtu(1500, IpFamily::v4), 1390};
  run.settle();
  const std::uint16_t small = run.mtu.size();
  run.now += 2min;
  run.settle();
  CHECK(run.mtu.size() == small);  // nothing has changed, and nothing is lost by asking
  run.carries = 1500;
  run.now += 11min;
  run.settle();
  CHECK(run.mtu.size() == 1500);
}

TEST_CASE("a path on which nothing is answered keeps its MTU: that is not about sizes") {
  Run run{PathMtu(1500, IpFamily::v4), 100};
  run.settle();
  CHECK(run.mtu.state() == PathMtu::State::dark);
  CHECK(run.mtu.size() == 1500);
  run.carries = 1500;
  run.now += 2min;
  run.settle();
  CHECK(run.mtu.state() == PathMtu::State::confirmed);
}

TEST_CASE("IPv6 is not asked below 1280, and jumbo frames are searched from there up") {
  Run narrow{PathMtu(1500, IpFamily::v6), 1279};  // RFC 8200 §5: no such path
  narrow.settle();
  CHECK(narrow.mtu.state() == PathMtu::State::dark);
  Run jumbo{PathMtu(9000, IpFamily::v6), 4000};
  jumbo.settle();
  CHECK(jumbo.mtu.size() > 3992);
  CHECK(jumbo.mtu.size() <= 4000);
}

TEST_CASE("results that nobody asked for change nothing") {
  PathMtu mtu(1500, IpFamily::v4);
  mtu.on_result(TimePoint(1h), 576, false);
  mtu.on_result(TimePoint(1h), 1500, false);  // not sent yet
  CHECK(mtu.size() == 1500);
  REQUIRE(mtu.next(TimePoint(1h)) == 1500);
  mtu.on_result(TimePoint(1h), 1400, true);
  CHECK(mtu.state() == PathMtu::State::unconfirmed);
  mtu.on_result(TimePoint(1h), 1492, true);  // a block of AES-CBC less
  CHECK(mtu.state() == PathMtu::State::confirmed);
  CHECK(mtu.size() == 1500);
}

TEST_CASE("a suspicion asks once a second at most, and not while a probe is under way") {
  PathMtu mtu(1500, IpFamily::v4);
  TimePoint now(1h);
  REQUIRE(mtu.next(now));
  mtu.on_suspicion(now);
  CHECK_FALSE(mtu.next(now));
  mtu.on_result(now, 1500, true);
  mtu.on_suspicion(now);
  REQUIRE(mtu.next(now));
  mtu.on_result(now, 1500, true);
  mtu.on_suspicion(now + 500ms);
  CHECK_FALSE(mtu.next(now + 500ms));
  mtu.on_suspicion(now + 1100ms);
  CHECK(mtu.next(now + 1100ms));
}

TEST_CASE("a probe whose answer never comes is asked again, and a peer that cannot be asked is left alone") {
  PathMtu mtu(1500, IpFamily::v4);
  REQUIRE(mtu.next(TimePoint(1h)));
  CHECK_FALSE(mtu.next(TimePoint(1h) + 29s));
  CHECK(mtu.next(TimePoint(1h) + 31s) == 1500);
  mtu.switch_off();
  CHECK_FALSE(mtu.next(TimePoint(2h)));
  CHECK(mtu.size() == 1500);
}

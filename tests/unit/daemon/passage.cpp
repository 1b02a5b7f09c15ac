#include "passage.h"

#include <doctest/doctest.h>

#include "traffic_watch.h"

using namespace culvert;
using namespace culvert::daemon;
using namespace std::chrono_literals;
using Verdict = Passage::Verdict;

namespace {

constexpr Duration interval = 10s;
const TimePoint start = TimePoint(1h);

/// Ticks of a second, with probes that are answered or not, and what passes in each.
struct Ticks {
  Passage passage;
  TimePoint now = start;
  bool answers = true;
  ChildTraffic passing;
  std::size_t num_probes = 0;

  void run(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      now += 1s;
      passage.on_traffic(now, 1s, passing);
      const auto number = passage.next(now, interval);
      if (!number) continue;
      ++num_probes;
      if (answers) passage.on_answer(now + 20ms, *number, 20ms, interval);
    }
  }
  [[nodiscard]] Verdict verdict(bool counts = true) const { return passage.verdict(now, interval, counts); }
};

}  // namespace

TEST_CASE("a child of which nothing is known is idle, and one whose probes are answered passes") {
  Ticks ticks;
  CHECK(ticks.verdict() == Verdict::idle);
  ticks.run(25);
  CHECK(ticks.verdict() == Verdict::passes);
  CHECK(ticks.num_probes == 3);  // at once, and each ten seconds
  CHECK(ticks.passage.rtt() == 20ms);
  CHECK(ticks.passage.jitter() == 0ms);
  CHECK(ticks.passage.num_lost() == 0);
}

TEST_CASE("three probes without an answer make it blocked, four seconds after the first of them") {
  Ticks ticks;
  ticks.run(1);
  ticks.answers = false;
  ticks.run(12);
  CHECK(ticks.verdict() == Verdict::passes);  // the first is missed, two more are under way
  ticks.run(1);
  CHECK(ticks.verdict() == Verdict::blocked);
  CHECK(ticks.passage.num_lost() == 3);
  ticks.answers = true;
  ticks.run(1);
  CHECK(ticks.verdict() == Verdict::passes);
}

TEST_CASE("once it is known to be blocked it is asked each five seconds, and the first answer is enough") {
  Ticks ticks;
  ticks.answers = false;
  ticks.run(60);
  const std::size_t before = ticks.num_probes;
  ticks.run(60);
  CHECK(ticks.num_probes - before <= 12);
  CHECK(ticks.num_probes - before >= 8);
  CHECK(ticks.verdict() == Verdict::blocked);
  ticks.answers = true;
  ticks.run(6);
  CHECK(ticks.verdict() == Verdict::passes);
}

TEST_CASE("loss alone is no black hole: while packets come in it takes six probes in a row") {
  Ticks ticks;
  ticks.run(1);
  ticks.answers = false;
  ticks.passing = {.inbound_packets = 5, .inbound_bytes = 500};
  ticks.run(15);
  CHECK(ticks.passage.num_missed() >= 4);
  CHECK(ticks.verdict() != Verdict::blocked);
  ticks.run(5);
  CHECK(ticks.verdict() == Verdict::blocked);
  CHECK(ticks.passage.heard_meanwhile());
}

TEST_CASE("whoever is not known to answer does not make it blocked") {
  Ticks ticks;
  ticks.answers = false;
  ticks.run(60);
  CHECK(ticks.verdict(false) == Verdict::idle);
  ticks.passing = {.inbound_packets = 1, .inbound_bytes = 100, .outbound_packets = 1, .outbound_bytes = 100};
  ticks.run(3);
  CHECK(ticks.verdict(false) == Verdict::passes);
}

TEST_CASE("users who send for ten seconds without an answer are told, until they stop") {
  Ticks ticks;
  ticks.passing = {.outbound_packets = 3, .outbound_bytes = 300};
  const auto tick = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      ticks.now += 1s;
      ticks.passage.on_traffic(ticks.now, 1s, ticks.passing);
    }
  };
  tick(9);
  CHECK(ticks.verdict(false) == Verdict::idle);
  tick(3);
  CHECK(ticks.verdict(false) == Verdict::unanswered);
  ticks.passing = {};
  tick(12);
  CHECK(ticks.verdict(false) == Verdict::idle);
}

TEST_CASE("what a kernel sends by itself when a device comes up is no traffic that wants an answer") {
  Ticks ticks;
  ticks.answers = false;
  for (int second = 0; second < 60; ++second) {
    ticks.now += 1s;
    ChildTraffic passed;
    if (second < 4) passed = {.outbound_packets = 1, .outbound_bytes = 76};
    ticks.passage.on_traffic(ticks.now, 1s, passed);
    CHECK(ticks.verdict(false) == Verdict::idle);
  }
}

TEST_CASE("an answer that comes too late is counted as lost, and still proves that packets pass") {
  Passage passage;
  const auto first = passage.next(start, interval);
  REQUIRE(first);
  const auto second = passage.next(start + 1s, interval);
  REQUIRE(second);
  passage.on_answer(start + 1100ms, *first, 1100ms, interval);
  CHECK(passage.num_missed() == 0);
  CHECK(passage.num_lost() == 1);
  passage.on_answer(start + 1200ms, *second, 200ms, interval);
  CHECK(passage.num_lost() == 1);
  CHECK(passage.num_results() == 2);
  CHECK_FALSE(passage.next(start + 2s, interval));
}

TEST_CASE("a suspicion asks at once, and a second later at the earliest while probes are missed") {
  Passage passage;
  const auto first = passage.next(start, interval);
  passage.on_answer(start + 10ms, *first, 10ms, interval);
  CHECK_FALSE(passage.next(start + 1s, interval));
  passage.on_suspicion(start + 1s);
  CHECK(passage.next(start + 1s, interval));
  passage.on_suspicion(start + 1s);
  CHECK_FALSE(passage.next(start + 1500ms, interval));
}

TEST_CASE("traffic both ways is proof: probes then leave a third as often") {
  Ticks ticks;
  ticks.passing = {.inbound_packets = 9, .inbound_bytes = 900, .outbound_packets = 9, .outbound_bytes = 900};
  ticks.run(91);
  CHECK(ticks.num_probes == 4);
}

TEST_CASE("rates follow what passes, and vanish when nothing does") {
  Ticks ticks;
  ticks.passing = {.inbound_packets = 1000, .inbound_bytes = 1'000'000, .outbound_packets = 10, .outbound_bytes = 400};
  ticks.run(15);
  CHECK(ticks.passage.rates().in_bytes == doctest::Approx(1e6).epsilon(0.01));
  CHECK(ticks.passage.rates().in_packets == doctest::Approx(1000).epsilon(0.01));
  CHECK(ticks.passage.rates().out_bytes == doctest::Approx(400).epsilon(0.01));
  ticks.passing = {};
  ticks.run(60);
  CHECK(ticks.passage.rates().in_bytes == 0);
  CHECK(ticks.passage.rates().out_packets == 0);
}

// RFC 6298 §2.3: RTTVAR <- 3/4 RTTVAR + 1/4 |SRTT - R'|, SRTT <- 7/8 SRTT + 1/8 R'.
TEST_CASE("round-trip times are smoothed as TCP's") {
  Passage passage;
  TimePoint now = start;
  for (const Duration rtt : {80ms, 160ms}) {
    now += 10s;
    passage.on_answer(now, *passage.next(now, interval), rtt, interval);
  }
  CHECK(passage.rtt() == 90ms);
  CHECK(passage.jitter() == 20ms);
}

TEST_CASE("of 64 probes one in ten lost is ten percent") {
  Passage passage;
  TimePoint now = start;
  for (int i = 0; i < 200; ++i) {
    now += 10s;
    const auto number = passage.next(now, interval);
    REQUIRE(number);
    if (i % 10 != 0) {
      passage.on_answer(now + 5ms, *number, 5ms, interval);
    } else {
      now += 2s;
      const auto again = passage.next(now, interval);  // the one before is lost; this one takes its place
      REQUIRE(again);
      passage.on_answer(now + 5ms, *again, 5ms, interval);
    }
  }
  CHECK(passage.num_results() == 64);
  CHECK(passage.num_lost() >= 5);
  CHECK(passage.num_lost() <= 7);
}

TEST_CASE("what is known of a child goes with its last pair of SAs, and answers with the program at the other end") {
  TrafficWatch watch;
  const PeerId peer(1);
  const ChildId child(7);
  watch.on_installed(start, peer, child, true);
  REQUIRE(watch.find(child));
  CHECK(watch.find(child)->counts());
  watch.find(child)->passage.on_answer(start, *watch.find(child)->passage.next(start, interval), 1ms, interval);
  watch.on_installed(start, peer, child, true);  // a rekey
  CHECK(watch.find(child)->passage.answered());
  watch.on_removed(child);
  REQUIRE(watch.find(child));
  watch.on_installed(start, peer, child, false);  // another program
  CHECK_FALSE(watch.find(child)->passage.answered());
  CHECK_FALSE(watch.find(child)->counts());
  watch.on_removed(child);
  watch.on_removed(child);
  CHECK_FALSE(watch.find(child));
  watch.on_removed(child);
}

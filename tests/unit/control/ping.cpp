#include "culvert/control/ping.h"

#include <doctest/doctest.h>

#include "culvert/control/protocol.h"

using namespace culvert;
using namespace culvert::control;

TEST_CASE("what a ping asks for is read back as it was written") {
  const PingRequest request{
      .count = 5, .interval = std::chrono::milliseconds(200), .size = 1400, .dont_fragment = true};
  CHECK(to_text(request) == "count=5 interval=200 size=1400 df");
  const auto read = parse_ping(to_text(request));
  REQUIRE(read);
  CHECK(read->count == 5);
  CHECK(read->interval == std::chrono::milliseconds(200));
  CHECK(read->size == 1400);
  CHECK(read->dont_fragment);
  CHECK(parse_ping("")->count == 0);
}

TEST_CASE("a ping with a word that nobody knows, or a number out of bounds, is refused") {
  for (const char* wrong : {"count=-1", "count=100001", "count=", "size=63", "size=9001", "interval=19",
                            "interval=60001", "interval=1e3", "ttl=3", "df=1", "=", "count=5  size=64", "size=64\n"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_ping(wrong));
    CHECK_FALSE(parse_request(to_json(Request{"ping", "b", wrong})));
  }
  CHECK_FALSE(parse_request(R"({"command":"ping","what":"count=1"})"));
  CHECK(parse_request(R"({"command":"ping","peer":"b"})"));
}

TEST_CASE("a line of a ping is read back, and anything else is none") {
  const auto lost = parse_ping_report(to_json(PingReport{.sequence = 7, .rtt_us = std::nullopt, .sent = false}));
  REQUIRE(lost);
  CHECK(lost->sequence == 7);
  CHECK_FALSE(lost->rtt_us);
  CHECK_FALSE(lost->sent);
  CHECK(parse_ping_report(to_json(PingReport{.sequence = 8, .rtt_us = 1234}))->rtt_us == 1234);
  CHECK_FALSE(parse_ping_report("{}"));
  CHECK_FALSE(parse_ping_report("7"));
}

// By hand: 1, 2, 3, 4 ms have the average 2.5 and the standard deviation sqrt(5/4) = 1.118034 (iputils' ping: sqrt(mean
// of squares - square of mean)).
TEST_CASE("the summary of a ping has the figures of ping(8)") {
  PingSummary summary;
  summary.packets = {{1, 1000}, {2, 2000}, {3, std::nullopt}, {4, 4000}, {5, 3000}};
  complete(summary);
  CHECK(summary.sent == 5);
  CHECK(summary.received == 4);
  CHECK(summary.rtt_min_us == 1000);
  CHECK(summary.rtt_max_us == 4000);
  CHECK(summary.rtt_avg_us == 2500);
  CHECK(summary.rtt_mdev_us == 1118);
  PingSummary none;
  none.packets = {{1, std::nullopt}};
  complete(none);
  CHECK(none.received == 0);
  CHECK_FALSE(none.rtt_avg_us);
}

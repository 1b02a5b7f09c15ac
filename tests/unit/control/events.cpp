// The names against docs/control.md, the JSON against RFC 8259.
#include "culvert/control/events.h"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "culvert/base/event.h"

using namespace culvert;
using control::EventReport;

TEST_CASE("every event has a name of its own, and a row in the documentation") {
  std::stringstream page;
  page << std::ifstream(CULVERT_SOURCE_DIR "/docs/control.md").rdbuf();
  REQUIRE(page.str().contains("## monitor"));
  std::string seen = " ";
  for (auto kind = static_cast<std::size_t>(EventKind::none) + 1; kind < static_cast<std::size_t>(EventKind::count_);
       ++kind) {
    const std::string name(event_name(static_cast<EventKind>(kind)));
    REQUIRE_FALSE(name.empty());
    CHECK_FALSE(seen.contains(" " + name + " "));
    seen += name + " ";
    CHECK_MESSAGE(page.str().contains("| `" + name + "` |"), name);
  }
  CHECK(event_name(EventKind::none).empty());
  CHECK(event_name(EventKind::count_).empty());
}

TEST_CASE("an event is an object on one line; what does not apply is left out") {
  EventReport event{.time = "2026-11-23T03:00:00.123Z",
                    .event = "tunnel-down",
                    .peer = "tokyo",
                    .tunnel = "a,b",
                    .spi = "",
                    .reason = "say \"no\"\n",
                    .text = "x",
                    .missed = std::nullopt};
  CHECK(control::to_json(event) ==
        R"({"schema":1,"time":"2026-11-23T03:00:00.123Z","event":"tunnel-down","peer":"tokyo","tunnel":"a,b",)"
        R"("reason":"say \"no\"\\x0a","text":"x"})");
  const auto read = control::parse_event(control::to_json(event));
  REQUIRE(read.has_value());
  CHECK(read->event == "tunnel-down");
  CHECK(read->tunnel == "a,b");
  CHECK(read->spi.empty());
  CHECK_FALSE(read->missed.has_value());
}

TEST_CASE("what is no event is refused, and members from the future are skipped") {
  for (const char* text : {"", "[]", "{}", "hello", R"({"schema":2,"event":"x"})"})
    CHECK_FALSE(control::parse_event(text).has_value());
  const auto read = control::parse_event(R"({"schema":1,"event":"missed","missed":7,"colour":"red","peer":3})");
  REQUIRE(read.has_value());
  CHECK(read->missed == 7);
  CHECK(read->peer.empty());
}

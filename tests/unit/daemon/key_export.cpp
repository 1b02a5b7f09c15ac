#include "key_export.h"

#include <doctest/doctest.h>

#include <string>

#include "culvert/base/log.h"

using namespace culvert;
using namespace std::chrono_literals;
using daemon::KeyExport;

namespace {

const TimePoint start{1000s};

KeyExport::Order order(std::optional<PeerId> peer = PeerId(7), std::string by = "uid 0 (pid 1)") {
  return {std::move(by), "peer tokyo", peer, 60s};
}

/// What was logged as a warning meanwhile.
struct Warnings {
  std::string text;
  Warnings() {
    log::set_sink([this](log::Level level, std::string_view line) {
      if (level == log::Level::warn) (text += line) += '\n';
    });
  }
  ~Warnings() { log::set_sink({}); }
};

}  // namespace

TEST_CASE("keys are given to who asked for them, each once, and beginning and end are said loudly") {
  const Warnings warnings;
  KeyExport keys;
  CHECK_FALSE(keys.active());
  CHECK_FALSE(keys.wants(PeerId(7)));
  REQUIRE(keys.begin(start, order()));
  CHECK(warnings.text.find("KEY EXPORT: uid 0 (pid 1) gets the keys of peer tokyo for 60 s") != std::string::npos);
  CHECK(keys.wants(PeerId(7)));
  CHECK_FALSE(keys.wants(PeerId(8)));
  keys.add("one");
  keys.add("two");
  CHECK(keys.take(start + 1s, "uid 0 (pid 1)").value() == std::vector<std::string>{"one", "two"});
  CHECK(keys.take(start + 1s, "uid 0 (pid 1)").value().empty());
  CHECK(keys.take(start + 1s, "uid 0 (pid 2)").error().code == Errc::not_found);
  CHECK(keys.describe(start + 1s) == "uid 0 (pid 1) gets the keys of peer tokyo for 59 s more");
  keys.end("it was stopped");
  CHECK(warnings.text.find("KEY EXPORT: over (it was stopped): uid 0 (pid 1) got 2 keys") != std::string::npos);
  CHECK(keys.describe(start + 1s).empty());
  CHECK(keys.take(start + 1s, "uid 0 (pid 1)").error().code == Errc::not_found);
}

TEST_CASE("one at a time: a second one is refused until the first is over") {
  const Warnings warnings;
  KeyExport keys;
  REQUIRE(keys.begin(start, order()));
  const auto second = keys.begin(start + 5s, order(std::nullopt, "uid 0 (pid 2)"));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::exhausted);
  CHECK(second.error().detail.find("uid 0 (pid 1)") != std::string::npos);
  CHECK(keys.begin(start + 11s, order(std::nullopt, "uid 0 (pid 2)")));  // the first one has not come back
  CHECK(keys.wants(PeerId(8)));                                          // everybody's
}

TEST_CASE("it ends when its time is up, however often keys are fetched, and when nobody fetches them") {
  const Warnings warnings;
  KeyExport keys;
  REQUIRE(keys.begin(start, order()));
  for (auto at = 0s; at < 60s; at += 5s) CHECK(keys.take(start + at, "uid 0 (pid 1)"));
  CHECK_FALSE(keys.take(start + 60s, "uid 0 (pid 1)"));
  CHECK(warnings.text.find("its time is up") != std::string::npos);
  REQUIRE(keys.begin(start, order()));
  keys.on_tick(start + 9s);
  CHECK(keys.active());
  keys.on_tick(start + 10s);
  CHECK_FALSE(keys.active());
  CHECK(warnings.text.find("nobody fetches them") != std::string::npos);
}

TEST_CASE("keys that wait are bounded: the newest stay, and the loss is logged once") {
  const Warnings warnings;
  KeyExport keys;
  keys.add("to nobody");
  REQUIRE(keys.begin(start, order()));
  for (std::size_t i = 0; i < KeyExport::max_waiting + 3; ++i) keys.add(std::to_string(i));
  const auto lines = keys.take(start, "uid 0 (pid 1)").value();
  CHECK(lines.size() == KeyExport::max_waiting);
  CHECK(lines.front() == "3");
  CHECK(lines.back() == std::to_string(KeyExport::max_waiting + 2));
  const auto said = warnings.text.find("more keys than");
  CHECK(said != std::string::npos);
  CHECK(warnings.text.find("more keys than", said + 1) == std::string::npos);
}

#include "culvert/base/log.h"

#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "culvert/base/drop_reason.h"

namespace logging = culvert::log;

TEST_CASE("a flood of messages is cut to fewer than ten lines a second, and what was left out is counted") {
  std::vector<std::string> lines;
  logging::set_sink([&](logging::Level, std::string_view line) { lines.emplace_back(line); });
  const auto before = logging::num_suppressed();
  for (int i = 0; i < 10000; ++i) logging::info("line {}", i);
  logging::set_sink({});
  CHECK(lines.size() >= 1);
  CHECK(lines.size() <= 18);  // 9 a second, and the 10,000 calls may straddle a second on a slow machine
  CHECK(logging::num_suppressed() - before >= 9980);
}

TEST_CASE("an alarm is not left out in a flood, but where only errors are wanted") {
  std::string said;
  logging::set_sink([&](logging::Level level, std::string_view line) {
    if (level == logging::Level::warn) said += line;
  });
  for (int i = 0; i < 50; ++i) logging::info("a flood");
  logging::alarm("keys are given away");
  logging::set_level(logging::Level::error);
  logging::alarm("not wanted");
  logging::set_level(logging::Level::info);
  logging::set_sink({});
  CHECK(said.find("keys are given away") != std::string::npos);
  CHECK(said.find("not wanted") == std::string::npos);
}

TEST_CASE("text that a peer chose cannot forge a line or colour a terminal") {
  CHECK(logging::sanitize("gw.example.net") == "gw.example.net");
  CHECK(logging::sanitize("a\nerror all is lost\x1b[31m") == "a\\x0aerror all is lost\\x1b[31m");
  CHECK(logging::sanitize("\\x0a") == "\\x5cx0a");
  CHECK(logging::sanitize(std::string(1000, 'x')).size() == 259);
}

TEST_CASE("each drop reason has a name of its own and a text") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < culvert::num_drop_reasons; ++i) {
    const auto reason = static_cast<culvert::DropReason>(i);
    CHECK(culvert::drop_reason_name(reason) != "unknown");
    CHECK(culvert::drop_reason_text(reason).size() > 5);
    names.insert(culvert::drop_reason_name(reason));
  }
  CHECK(names.size() == culvert::num_drop_reasons);
}

TEST_CASE("what a line is about goes with it to where lines go") {
  struct Seen {
    logging::Level level;
    std::string message, peer, reason;
  };
  std::vector<Seen> seen;
  logging::set_output([&](const logging::Record& record) {
    seen.push_back({record.level, std::string(record.message), record.about.peer, record.about.reason});
  });
  // The limit may still be busy with what another test has written.
  for (int i = 0; i < 300 && seen.empty(); ++i) {
    logging::Subject{.peer = "tokyo", .reason = "lost"}.warn("peer {}: down", "tokyo");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::erase_if(seen, [](const Seen& line) { return line.message.find("left out") != std::string::npos; });
  }
  logging::set_output({});
  REQUIRE(!seen.empty());
  CHECK(seen[0].level == logging::Level::warn);
  CHECK(seen[0].message == "peer tokyo: down");
  CHECK(seen[0].peer == "tokyo");
  CHECK(seen[0].reason == "lost");
}

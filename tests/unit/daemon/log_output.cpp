// systemd.journal-fields(7) and syslog(3) for the journal, RFC 8259 and RFC 3339 for JSON.
#include "log_output.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

using namespace culvert;
using namespace std::chrono_literals;

namespace {

const auto then = std::chrono::system_clock::time_point(1'000'000'000'123ms);  // date -u -d @1000000000

}  // namespace

TEST_CASE("a line as JSON has its time, level and text, and the fields that it is about") {
  const log::Subject about{.peer = "tokyo", .tunnel = "tokyo-gre", .spi = "0x00001234", .reason = "no answer"};
  CHECK(daemon::log_json({log::Level::warn, "peer tokyo: down", about}, then) ==
        R"({"time":"2001-09-09T01:46:40.123Z","level":"warning","message":"peer tokyo: down","peer":"tokyo",)"
        R"("tunnel":"tokyo-gre","spi":"0x00001234","reason":"no answer"})");
  CHECK(daemon::log_json({log::Level::info, "ready", {}}, then) ==
        R"({"time":"2001-09-09T01:46:40.123Z","level":"info","message":"ready"})");
}

TEST_CASE("nothing that is logged leaves its string, or its line") {
  const log::Subject about{.reason = "a\nb\xff\x1b[31m"};
  CHECK(
      daemon::log_json({log::Level::error, "say \"no\" \\", about}, then) ==
      R"({"time":"2001-09-09T01:46:40.123Z","level":"error","message":"say \"no\" \\","reason":"a\\x0ab\\xff\\x1b[31m"})");
}

TEST_CASE("the journal gets priorities of syslog, and a field for each thing that the line is about") {
  const log::Subject about{.peer = "tokyo", .spi = "0x00001234"};
  CHECK(daemon::journal_fields({log::Level::warn, "x=y", about}) ==
        std::vector<std::string>{"MESSAGE=x=y", "PRIORITY=4", "SYSLOG_IDENTIFIER=culvertd", "CULVERT_PEER=tokyo",
                                 "CULVERT_SPI=0x00001234"});
  CHECK(daemon::journal_fields({log::Level::debug, "", {}})[1] == "PRIORITY=7");
  CHECK(daemon::journal_fields({log::Level::info, "", {}})[1] == "PRIORITY=6");
  CHECK(daemon::journal_fields({log::Level::error, "", {}})[1] == "PRIORITY=3");
}

TEST_CASE("the journal is where JOURNAL_STREAM names the very stream") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  struct stat about {};
  REQUIRE(fstat(ends[1], &about) == 0);
  const std::string same = std::to_string(about.st_dev) + ":" + std::to_string(about.st_ino);
  const std::string other = std::to_string(about.st_dev) + ":" + std::to_string(about.st_ino + 1);
  CHECK(daemon::leads_to_journal(ends[1], same.c_str()));
  CHECK_FALSE(daemon::leads_to_journal(ends[1], other.c_str()));
  for (const char* none : {static_cast<const char*>(nullptr), "", ":", "12", "x:y"})
    CHECK_FALSE(daemon::leads_to_journal(ends[1], none));
  CHECK_FALSE(daemon::leads_to_journal(-1, same.c_str()));
  close(ends[0]);
  close(ends[1]);
}

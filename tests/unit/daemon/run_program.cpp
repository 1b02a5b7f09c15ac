#include "run_program.h"

#include <doctest/doctest.h>

using namespace culvert;
using namespace culvert::daemon;

TEST_CASE("a program's exit status and output are its error, and its arguments reach no shell") {
  CHECK(run_program({"/bin/true"}));
  const auto failed = run_program({"/bin/ls", "/nothing; echo $(id)"});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == Errc::io);
  CHECK(failed.error().system_error == 2);  // GNU ls: "serious trouble"
  CHECK(failed.error().detail.find("nothing; echo $(id)") != std::string::npos);
}

TEST_CASE("a program gets its input whole") {
  const std::string input(300'000, 'x');
  CHECK(run_program({"/usr/bin/cmp", "-n", "300000", "-", "/dev/zero"}, std::string(300'000, '\0')));
  CHECK_FALSE(run_program({"/usr/bin/cmp", "-n", "300000", "-", "/dev/zero"}, input));
}

TEST_CASE("a program that does not end is killed, and one that is not there is said not to be") {
  const auto begun = Clock::now();
  const auto late = run_program({"/bin/sleep", "60"}, {}, std::chrono::milliseconds(50));
  REQUIRE_FALSE(late);
  CHECK(late.error().detail.find("took too long") != std::string::npos);
  CHECK(Clock::now() - begun < std::chrono::seconds(10));
  const auto absent = run_program({"/nowhere/program"});
  REQUIRE_FALSE(absent);
  CHECK(absent.error().code == Errc::not_found);
  CHECK(find_program("no-such-program-here").empty());
}

#include "state_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fstream>
#include <string>

#include "temp_dir.h"

using namespace culvert;
using daemon::MachineRecord;
using daemon::StateDir;

TEST_CASE("a second daemon with the same state_dir is refused, and told who holds it") {
  const test::TempDir dir;
  auto first = StateDir::open(dir.path() / "state");
  REQUIRE(first.has_value());
  const auto second = StateDir::open(dir.path() / "state");
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == Errc::invalid);
  CHECK(second.error().detail.find("pid " + std::to_string(getpid())) != std::string::npos);
}

TEST_CASE("the lock goes with its daemon, and leaves no file") {
  const test::TempDir dir;
  { REQUIRE(StateDir::open(dir.path()).has_value()); }
  CHECK(std::filesystem::is_empty(dir.path()));
  CHECK(StateDir::open(dir.path()).has_value());
}

TEST_CASE("what was recorded and not forgotten is a leftover for the next daemon") {
  const test::TempDir dir;
  const MachineRecord some{{{"cv-tokyo", 12}, {"guard", 13}},
                           {{IpPrefix::parse("10.2.0.0/16").value(), 254}, {IpPrefix::parse("fd02::/48").value(), 100}},
                           {}};
  {
    auto state = StateDir::open(dir.path());
    REQUIRE(state.has_value());
    CHECK(state->leftovers().empty());
    REQUIRE(state->record(some).has_value());
  }
  {
    auto state = StateDir::open(dir.path());
    REQUIRE(state.has_value());
    CHECK(state->leftovers() == some);
    state->forget();
  }
  CHECK(StateDir::open(dir.path()).value().leftovers().empty());
}

TEST_CASE("a record of another boot, or one that makes no sense, is ignored") {
  const test::TempDir dir;
  for (const char* text :
       {"00000000-0000-0000-0000-000000000000 1\ndevice cv0 12\nguard 10.2.0.0/16\n", "", "garbage", "\n\n\n"}) {
    std::ofstream(dir.path() / "machine") << text;
    CHECK(StateDir::open(dir.path()).value().leftovers().empty());
  }
  REQUIRE(StateDir::open(dir.path()).value().record({{{"cv0", 13}}, {}, {}}).has_value());
  std::ofstream(dir.path() / "machine", std::ios::app)
      << "device\ndevice cv1\ndevice cv2 x\ndevice cv3 0\nguard\nguard 10.2.0.0/33\nguard nonsense\nother 1 2\n\n";
  CHECK(StateDir::open(dir.path()).value().leftovers() == MachineRecord{{{"cv0", 13}}, {}, {}});
}

TEST_CASE("guards of a daemon that wrote no tables are known to be those of the former number") {
  const test::TempDir dir;
  REQUIRE(
      StateDir::open(dir.path()).value().record({{}, {{IpPrefix::parse("10.3.0.0/16").value(), 254}}, {}}).has_value());
  std::ofstream(dir.path() / "machine", std::ios::app) << "guard 10.2.0.0/16\nguard 10.4.0.0/16 x\n";
  const auto left = StateDir::open(dir.path()).value().leftovers();
  CHECK(left.guards.size() == 1);
  CHECK(left.former_guards ==
        std::vector{IpPrefix::parse("10.2.0.0/16").value(), IpPrefix::parse("10.4.0.0/16").value()});
}

TEST_CASE("directories are open to pass through whatever the umask, files to nobody else") {
  const test::TempDir dir;
  const mode_t old_umask = umask(0077);
  const auto state = StateDir::open(dir.path() / "a" / "b");
  umask(old_umask);
  REQUIRE(state.has_value());
  REQUIRE(state->record({{{"cv0", 13}}, {}, {}}).has_value());
  struct stat status {};
  REQUIRE(stat((dir.path() / "a" / "b").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0755);
  for (const char* name : {"culvertd.lock", "machine"}) {
    REQUIRE(stat((dir.path() / "a" / "b" / name).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
  }
}

TEST_CASE("a state_dir that cannot be made is a clear error") {
  const test::TempDir dir;
  std::ofstream(dir.path() / "file") << "x";
  const auto state = StateDir::open(dir.path() / "file" / "state");
  REQUIRE_FALSE(state.has_value());
  CHECK(state.error().detail.find("file") != std::string::npos);
}

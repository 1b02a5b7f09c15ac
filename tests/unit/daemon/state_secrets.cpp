// The secrets of a StateDir.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "state_dir.h"
#include "temp_dir.h"

using namespace culvert;
using namespace culvert::daemon;
using culvert::test::TempDir;

namespace {

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

}  // namespace

TEST_CASE("a secret is made once, for its owner alone, and found again by the next daemon") {
  const TempDir folder;
  Secret first;
  {
    const auto state = StateDir::open(folder.path());
    REQUIRE(state);
    auto made = state->secret("crash-secret", 32);
    REQUIRE(made);
    CHECK(made->size() == 32);
    CHECK(mode_of(folder.path() / "crash-secret") == 0600);
    const auto other = state->secret("another", 32);
    REQUIRE(other);
    CHECK_FALSE(other->equals(made->view()));
    first = std::move(*made);
  }
  const auto state = StateDir::open(folder.path());
  REQUIRE(state);
  const auto again = state->secret("crash-secret", 32);
  REQUIRE(again);
  CHECK(again->equals(first.view()));
  CHECK(state->kept_secret("crash-secret", 32).equals(first.view()));
  CHECK(state->kept_secret("crash-secret", 31).empty());
  CHECK(state->kept_secret("no such", 32).empty());
}

TEST_CASE("a secret that others may read, of another length, or that is a link, is not used") {
  const TempDir folder;
  const auto state = StateDir::open(folder.path());
  REQUIRE(state);
  const auto file = folder.path() / "crash-secret";
  const std::string known(32, 'k');
  SUBCASE("readable by others") {
    std::ofstream(file) << known;
    REQUIRE(chmod(file.c_str(), 0644) == 0);
  }
  SUBCASE("too short") {
    std::ofstream(file) << "k";
    REQUIRE(chmod(file.c_str(), 0600) == 0);
  }
  SUBCASE("a link to a file of ours") {
    const auto target = folder.path() / "target";
    std::ofstream(target) << known;
    REQUIRE(chmod(target.c_str(), 0600) == 0);
    REQUIRE(symlink(target.c_str(), file.c_str()) == 0);
  }
  const auto made = state->secret("crash-secret", 32);
  REQUIRE(made);
  CHECK_FALSE(made->equals(as_bytes(known)));
  CHECK(mode_of(file) == 0600);
  CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(file)));
}

TEST_CASE("what is kept replaces what was kept before, whole") {
  const TempDir folder;
  const auto state = StateDir::open(folder.path());
  REQUIRE(state);
  REQUIRE(state->keep_secret("keys", as_bytes("the first, which is longer")));
  REQUIRE(state->keep_secret("keys", as_bytes("the second")));
  CHECK(state->kept_secret("keys", 100).equals(as_bytes("the second")));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "keys.new"));
}

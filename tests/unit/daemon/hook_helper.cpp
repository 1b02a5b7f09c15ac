// What the process that runs hooks runs, and what it does not.
#include "hook_helper.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "temp_dir.h"

using namespace culvert;
using namespace culvert::daemon;

namespace {

/// A configuration with one tunnel, "t", and a script for it.
struct World {
  explicit World(const std::string& script, const HookHelper::Limits& limits = {}) {
    ::chmod(dir.path().c_str(), 0755);
    program = (dir.path() / "hook").string();
    write(program, "#!/bin/sh\n" + script, 0755);
    config = dir.path() / "culvert.toml";
    name({program, "a", "$(b)"});
    auto started = HookHelper::start(limits);
    REQUIRE(started.has_value());
    helper = std::move(*started);
  }
  static void write(const std::filesystem::path& file, const std::string& text, ::mode_t mode) {
    std::ofstream(file) << text;
    REQUIRE(::chmod(file.c_str(), mode) == 0);
  }
  void name(const std::vector<std::string>& argv) const {
    std::string list;
    for (const std::string& argument : argv) list += (list.empty() ? "\"" : ", \"") + argument + "\"";
    write(config, "[tunnel.t]\nup = [" + list + "]\n", 0644);
  }
  HookJob job(std::uint32_t id, std::vector<std::string> argv, std::vector<std::string> environment = {}) const {
    return {id, "t", "t", true, std::move(argv), std::move(environment)};
  }
  HookJob job(std::uint32_t id) const { return job(id, {program, "a", "$(b)"}); }
  /// How it ended; "?" when it did not within 5 s.
  std::string end_of(std::uint32_t id) {
    const TimePoint until = Clock::now() + std::chrono::seconds(5);
    while (!ended.contains(id) && !gone && Clock::now() < until) {
      pollfd waiting{helper->fd(), POLLIN, 0};
      ::poll(&waiting, 1, 100);
      helper->hear({[this](std::uint32_t job, std::string_view line) { lines[job].emplace_back(line); },
                    [this](std::uint32_t job, std::string_view trouble) { ended[job] = trouble; },
                    [this] { gone = true; }});
    }
    return ended.contains(id) ? ended[id] : "?";
  }
  std::string run(const HookJob& job) {
    REQUIRE(helper->run(job));
    return end_of(job.id);
  }

  test::TempDir dir;
  std::string program;
  std::filesystem::path config;
  std::unique_ptr<HookHelper> helper;
  std::map<std::uint32_t, std::vector<std::string>> lines;
  std::map<std::uint32_t, std::string> ended;
  bool gone = false;
};

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the helper runs what the configuration names, with its arguments as they are and the environment it gets") {
  World world("echo \"$# $1 $2 $CULVERT_EVENT\"; echo said");
  REQUIRE(world.helper->load(world.config).has_value());
  HookJob job = world.job(7);
  job.environment = {"CULVERT_EVENT=up", "CULVERT_REMOTE_ID=b.example"};
  CHECK(world.run(job) == "");
  CHECK(world.lines[7] == std::vector<std::string>{"2 a $(b) up", "said"});
}

TEST_CASE("the helper runs nothing else, whoever asks") {
  World world("echo ran");
  CHECK(contains(world.run(world.job(1)), "not what the configuration file names"));  // it has read none yet
  REQUIRE(world.helper->load(world.config).has_value());
  CHECK(contains(world.run(world.job(2, {"/bin/sh", "-c", "touch /x"})), "not what the configuration file names"));
  CHECK(contains(world.run(world.job(3, {world.program, "a"})), "not what the configuration file names"));
  CHECK(contains(world.run(world.job(4, {world.program, "a", "$(b)", "c"})), "not what the configuration file names"));
  HookJob down = world.job(5);
  down.up = false;
  CHECK(contains(world.run(down), "not what the configuration file names"));
  HookJob other = world.job(6);
  other.tunnel = "u";
  CHECK(contains(world.run(other), "not what the configuration file names"));
  for (const char* variable :
       {"LD_PRELOAD=/tmp/x.so", "PATH=/tmp", "CULVERT_X", "CULVERT_X=a\nb", "CULVERT_X=$(y)", "CULVERT_X=a;b",
        "CULVERT_x=1", "CULVERT_X=\x1b[31m", "BASH_ENV=/x", "CULVERT_X=`y`", "CULVERT_X=a\"b"})
    CHECK(world.run(world.job(8, {world.program, "a", "$(b)"}, {variable})) == "its environment is not safe");
  CHECK(world.lines.empty());
  CHECK(world.run(world.job(9)) == "");
  CHECK(world.lines[9] == std::vector<std::string>{"ran"});
}

TEST_CASE("what was read before a reload may still run, and what a reload brings, too") {
  World world("true");
  REQUIRE(world.helper->load(world.config).has_value());
  world.name({world.program, "new"});
  REQUIRE(world.helper->load(world.config).has_value());
  CHECK(world.run(world.job(1, {world.program, "new"})) == "");
  CHECK(world.run(world.job(2)) == "");  // a reload that is taken back needs no file
}

TEST_CASE("a file that others may change is refused, in words, when it is read and when it is run") {
  World world("true");
  const auto refused = [&] {
    const auto loaded = world.helper->load(world.config);
    return loaded ? std::string() : loaded.error().detail;
  };
  ::chmod(world.config.c_str(), 0666);
  CHECK(contains(refused(), "the file that names them must be root's"));
  CHECK(contains(refused(), "chmod go-w"));
  ::chmod(world.config.c_str(), 0644);
  ::chmod(world.program.c_str(), 0757);
  CHECK(contains(refused(), "has mode 0757, so group or others could change what is run as root"));
  ::chmod(world.program.c_str(), 0644);
  CHECK(contains(refused(), "is not executable"));
  ::chmod(world.program.c_str(), 0755);
  ::chmod(world.dir.path().c_str(), 0777);
  CHECK(contains(refused(), "has mode 0777"));
  ::chmod(world.dir.path().c_str(), 01777);  // sticky, as /tmp: nobody else can put another file there
  CHECK(refused() == "");
  if (::geteuid() == 0) {
    REQUIRE(::chown(world.program.c_str(), 65534, 65534) == 0);
    CHECK(contains(refused(), "belongs to uid 65534"));
    CHECK(contains(world.run(world.job(1)), "belongs to uid 65534"));
    REQUIRE(::chown(world.program.c_str(), 0, 0) == 0);
    const auto link = world.dir.path() / "link";
    std::filesystem::create_symlink(world.program, link);
    REQUIRE(::lchown(link.c_str(), 65534, 65534) == 0);
    world.name({link.string()});
    CHECK(
        contains(refused(), "belongs to uid 65534"));  // whoever owns a link in a sticky folder may make another of it
  }
  world.name({"hook"});
  CHECK(contains(refused(), "is no whole path"));
  world.name({(world.dir.path() / "nowhere").string()});
  CHECK(contains(refused(), "No such file"));
  world.name({world.dir.path().string()});
  CHECK(contains(refused(), "is not a regular file"));
  World::write(world.config, "[tunnel.t\n", 0644);
  CHECK(contains(refused(), "culvert.toml:1"));
}

TEST_CASE("a program that takes too long is ended with all that it has started, one that fails says how") {
  World world("case $1 in slow) trap '' TERM; sleep 100 & sleep 100;; fail) exit 4;; kill) kill -9 $$;; esac",
              {std::chrono::milliseconds(300), std::chrono::milliseconds(200)});
  for (const char* how : {"slow", "fail", "kill"}) {
    world.name({world.program, how});
    REQUIRE(world.helper->load(world.config).has_value());
  }
  CHECK(contains(world.run(world.job(1, {world.program, "slow"})), "took longer than"));
  CHECK(world.run(world.job(2, {world.program, "fail"})) == "exit status 4");
  CHECK(world.run(world.job(3, {world.program, "kill"})) == "ended by signal 9");
}

TEST_CASE("what a program prints is bounded, and a background process does not hold its end up") {
  World world("yes abcdefgh | head -n 100000; head -c 100000 /dev/zero | tr '\\0' x; sleep 100 & ");
  REQUIRE(world.helper->load(world.config).has_value());
  CHECK(world.run(world.job(1)) == "");
  CHECK(world.lines[1].size() <= 21);
  for (const std::string& line : world.lines[1]) CHECK(line.size() <= 500);
}

TEST_CASE("of more than a few at a time the helper takes none") {
  World world("sleep 2");
  REQUIRE(world.helper->load(world.config).has_value());
  for (std::uint32_t id = 1; id <= HookQueue::max_running; ++id) REQUIRE(world.helper->run(world.job(id)));
  CHECK(contains(world.run(world.job(100)), "too many run already"));
}

TEST_CASE("a helper that ends, as it does where there are no hooks, leaves no process behind that somebody must wait for") {
  const auto children = [] {
    std::string pids;
    std::getline(std::ifstream("/proc/self/task/" + std::to_string(::getpid()) + "/children"), pids);
    return pids;
  };
  const std::string before = children();
  World world("true");
  REQUIRE(world.helper->load(world.config).has_value());
  CHECK(children() == before);
  world.helper.reset();
  CHECK(children() == before);
}

TEST_CASE("nothing in an escaped value means anything to a shell") {
  CHECK(escape_value("tokyo.example.net") == "tokyo.example.net");
  CHECK(escape_value("user@example.net") == "user@example.net");
  CHECK(escape_value("CN=gw, O=Example") == "CN=gw,%20O=Example");
  CHECK(escape_value("$(touch x)`y`") == "%24%28touch%20x%29%60y%60");
  CHECK(escape_value("-rf") == "%2Drf");
  CHECK(escape_value("a-b") == "a-b");
  CHECK(escape_value(std::string_view("a\0b\n\x1b*?[~#!&|;<>\"'\\", 19)) ==
        "a%00b%0A%1B%2A%3F%5B%7E%23%21%26%7C%3B%3C%3E%22%27%5C");
  CHECK(escape_value("50%") == "50%25");
  CHECK(escape_value(std::string(100000, 'a')).size() == 512);
  for (int c = 0; c < 256; ++c) {
    const std::string text(1, static_cast<char>(c));
    CHECK(is_safe_value(escape_value(text)));
  }
}

// conf.d/*.toml beside the configuration.
#include "fixture.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;

namespace {

constexpr std::string_view osaka =
    "[peer.osaka]\n"                        // 1
    "address = [\"198.51.100.2\"]\n"        // 2
    "id = \"osaka.example.net\"\n"          // 3
    "auth = { psk_file = \"good.psk\" }\n"  // 4
    "[tunnel.o]\n"                          // 5
    "peer = \"osaka\"\n"                    // 6
    "carry = \"ip\"\n"                      // 7
    "device = \"cv-osaka\"\n"               // 8
    "local = [\"10.1.0.0/16\"]\n"           // 9
    "remote = [\"10.3.0.0/16\"]\n";         // 10

struct Merged {
  Merged() {
    main = folder.write("gw.toml", sound_ip);
    REQUIRE(std::filesystem::create_directory(folder.file("conf.d")));
  }
  std::filesystem::path add(std::string_view name, std::string_view text) const {
    return folder.write("conf.d/" + std::string(name), text);
  }
  Folder folder;
  std::filesystem::path main;
};

}  // namespace

TEST_CASE("files of conf.d are merged in the order of their names; their file names are relative to the main file") {
  const Merged merged;
  merged.add("20-osaka.toml", osaka);
  merged.add("10-log.toml", "[gateway]\nlog_level = \"debug\"\n");
  merged.add("30-ignored.toml.bak", "no TOML at all");
  merged.add(".30-hidden.toml", "no TOML at all");
  const auto config = load(merged.main);
  if (!config) FAIL(all_of(config.error()));
  REQUIRE(config->peers.size() == 2);
  CHECK(config->peers[0].name == "tokyo");
  CHECK(config->peers[1].name == "osaka");
  CHECK(config->tunnels[1].peer == config->peers[1].id);
  CHECK(config->gateway.log_level == log::Level::debug);
  CHECK(config->gateway.id.to_string() == "paris.example.net");
}

TEST_CASE("without conf.d, and with an empty one, there is the file alone") {
  const Merged merged;
  CHECK(load(merged.main).has_value());
  std::filesystem::remove(merged.folder.file("conf.d"));
  CHECK(load(merged.main).has_value());
}

TEST_CASE("what stands twice is a mistake that names both places") {
  const Merged merged;
  const auto other = merged.add("a.toml", "[gateway]\nid = \"lyon.example.net\"\n[peer.tokyo]\nstart = \"wait\"\n");
  const auto config = load(merged.main);
  REQUIRE_FALSE(config.has_value());
  REQUIRE(config.error().size() == 2);
  CHECK(config.error()[0].to_string() ==
        other.string() + ":2:1: gateway.id: stands at " + merged.main.string() + ":2, too: one of the two has to go");
  CHECK(config.error()[1].to_string() ==
        other.string() + ":3:7: peer.tokyo: stands at " + merged.main.string() + ":4, too: one of the two has to go");
}

TEST_CASE("mistakes of all files come at once, each with its file; others are named with theirs") {
  const Merged merged;
  const auto first = merged.add("a.toml", replaced(osaka, "cv-osaka", "cv-tokyo"));
  const auto second = merged.add("b.toml", "[gateway]\nwokers = 3\n");
  const auto config = load(merged.main);
  REQUIRE_FALSE(config.has_value());
  const std::string all = all_of(config.error());
  CAPTURE(all);
  REQUIRE(config.error().size() == 2);
  CHECK(config.error()[0].file == first.string());
  CHECK(config.error()[0].line == 8);
  CHECK(config.error()[0].message.find("tunnel t (" + merged.main.string() + ":9)") != std::string::npos);
  CHECK(config.error()[1].file == second.string());
  CHECK(config.error()[1].key == "gateway.wokers");
}

TEST_CASE("a file of conf.d that is no TOML keeps the others from counting, and each such file is named") {
  const Merged merged;
  const auto first = merged.add("a.toml", "[peer.osaka\n");
  const auto second = merged.add("b.toml", "= 3\n");
  const auto config = load(merged.main);
  REQUIRE_FALSE(config.has_value());
  REQUIRE(config.error().size() == 2);
  CHECK(config.error()[0].file == first.string());
  CHECK(config.error()[1].file == second.string());
}

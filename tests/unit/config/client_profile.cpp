// A client's profile becomes the configuration of one peer and one tunnel.
#include "culvert/config/client_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "fixture.h"
#include "keys.h"

using namespace culvert;
using namespace culvert::config;

using culvert::config::test::Folder;

namespace {

auto parse_in(const Folder& folder, std::string_view text, std::string_view name = "office.toml") {
  return parse_client(text, folder.file(name));
}

constexpr const char* smallest = R"(
server = ["vpn.example.net", "192.0.2.1"]
id     = "ada@example.net"
auth   = { psk_file = "good.psk" }
)";

}  // namespace

TEST_CASE("a profile of three keys is a client that asks for addresses of both families and takes what is granted") {
  const Folder folder;
  const auto profile = parse_in(folder, smallest);
  REQUIRE(profile);
  CHECK(profile->name == "office");
  CHECK(profile->device == "cv-office");
  CHECK(profile->servers == std::vector<std::string>{"vpn.example.net", "192.0.2.1"});
  CHECK(profile->ports == std::vector<std::uint16_t>{500, 4500});
  CHECK(profile->dns);
  CHECK_FALSE(profile->kill_switch);
  REQUIRE(profile->config.peers.size() == 1);
  const auto& peer = profile->config.peers[0];
  CHECK(peer.request_v4);
  CHECK(peer.request_v6);
  CHECK(peer.start == ike::StartMode::always);
  CHECK(peer.remote_id.to_string() == "vpn.example.net");
  REQUIRE(profile->config.tunnels.size() == 1);
  CHECK(profile->config.tunnels[0].virtual_address);
  CHECK(profile->config.tunnels[0].routes_as_granted);
}

TEST_CASE("a profile without a way to check the gateway's certificate is refused") {
  const Folder folder;
  const auto profile =
      parse_in(folder, "server = \"vpn.example.net\"\nauth = { certificate = \"a.pem\", key = \"a.key\" }\n");
  REQUIRE_FALSE(profile);
  CHECK(std::ranges::any_of(profile.error(), [](const Diagnostic& d) { return d.key == "ca"; }));
}

TEST_CASE("a profile's mistakes are told with their lines and with the key that was meant") {
  const Folder folder;
  const auto profile = parse_in(folder, std::string(smallest) + "kil_switch = true\nroutes = [\"10.0.0.1/8\"]\n");
  REQUIRE_FALSE(profile);
  REQUIRE(profile.error().size() == 2);
  CHECK(profile.error()[0].line == 5);
  CHECK(profile.error()[0].message.find("did you mean 'kill_switch'?") != std::string::npos);
  CHECK(profile.error()[1].line == 6);
}

TEST_CASE("a profile needs a server that it can call, and a name that may stand in file names and firewall tables") {
  const Folder folder;
  CHECK_FALSE(parse_in(folder, "server = \"any\"\nid = \"a@b.c\"\nauth = { psk_file = \"good.psk\" }\n"));
  for (const char* name : {"-x.toml", "of fice.toml", "office;reboot.toml", "a.b.toml", ".toml",
                           "a123456789012345678901234567890123.toml"}) {
    CAPTURE(name);
    CHECK_FALSE(parse_in(folder, smallest, name));
  }
  const auto longest = parse_in(folder, smallest, "a1234567890123456789012345678901.toml");
  REQUIRE(longest);
  CHECK(longest->device.size() <= 15);
}

TEST_CASE("the reference of road warriors describes every key of a profile as the program does") {
  std::ostringstream text;
  text << std::ifstream(std::string(CULVERT_SOURCE_DIR) + "/docs/road-warriors.md").rdbuf();
  for (const auto& spec : client_keys()) {
    const std::string row = fmt::format("| `{}` | {} | {} | {} |\n", spec.name, spec.type, spec.fallback, spec.meaning);
    CAPTURE(row);
    CHECK(text.str().find(row) != std::string::npos);
  }
}

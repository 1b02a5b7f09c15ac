// Expected values are those of the vendors' documents, which docs/clouds.md names.
#include <fmt/format.h>

#include <sstream>

#include "fixture.h"
#include "profiles.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;
using namespace std::chrono_literals;

namespace {

std::string cloud(std::string_view profile, std::string_view peer_keys = "", std::string_view tunnel_keys = "") {
  return fmt::format(
      "[gateway]\nid = \"203.0.113.1\"\n"
      "[peer.cloud]\naddress = [\"198.51.100.1\"]\nid = \"198.51.100.1\"\nauth = {{ psk_file = \"good.psk\" }}\n"
      "profile = \"{}\"\n{}\n"
      "[tunnel.cloud]\npeer = \"cloud\"\ncarry = \"ip\"\ndevice = \"cv-cloud\"\naddress = [\"169.254.10.2/30\"]\n{}\n",
      profile, peer_keys, tunnel_keys);
}

std::vector<std::string> words(const std::vector<ike::Proposal>& proposals) {
  std::vector<std::string> all;
  for (const auto& proposal : proposals) all.push_back(ike::to_string(proposal));
  return all;
}

std::string document(std::string_view name) {
  std::ostringstream text;
  text << std::ifstream(std::string(CULVERT_SOURCE_DIR) + "/docs/" + std::string(name)).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("an AWS tunnel is one pair of SAs for everything, and routes nothing by itself") {
  const Folder folder;
  const Config config = sound(folder, cloud("aws"));
  const ike::PeerConfig& peer = config.peers.at(0);
  CHECK(peer.ike_lifetime == 28'800s);
  CHECK(peer.child_lifetime == 3'600s);
  CHECK(peer.liveness == 10s);
  CHECK(peer.start == ike::StartMode::always);
  CHECK(words(peer.ike_proposals).front() == "aes256gcm16-prfsha384-ecp384");
  REQUIRE(peer.children.size() == 1);
  REQUIRE(peer.children.front().local.size() == 1);
  REQUIRE(peer.children.front().remote.size() == 1);
  CHECK(peer.children.front().local[0].prefix->to_string() == "0.0.0.0/0");
  CHECK(peer.children.front().remote[0].prefix->to_string() == "0.0.0.0/0");
  CHECK(peer.children.front().mode == ike::ModePreference::tunnel);
  CHECK(peer.children.front().replay_window == 1024);
  CHECK(config.tunnels.at(0).routes.empty());
  CHECK(config.tunnels[0].plane.max_mss == 1406);
}

TEST_CASE("the two tunnels of an AWS connection stand side by side, with one identity of ours") {
  const Folder folder;
  std::string text = cloud("aws");
  text +=
      "[peer.cloud2]\naddress = [\"198.51.100.2\"]\nid = \"198.51.100.2\"\nauth = { psk_file = \"good.psk\" }\n"
      "profile = \"aws\"\n"
      "[tunnel.cloud2]\npeer = \"cloud2\"\ncarry = \"ip\"\ndevice = \"cv-cloud2\"\naddress = [\"169.254.11.2/30\"]\n";
  CHECK(sound(folder, text).tunnels.size() == 2);
}

TEST_CASE("Azure may rekey without a key exchange") {
  const Folder folder;
  const Config config = sound(folder, cloud("azure"));
  const ike::PeerConfig& peer = config.peers.at(0);
  CHECK(peer.child_lifetime == 27'000s);
  CHECK(config.tunnels.at(0).plane.max_mss == 1350);
  for (const std::string& esp : words(peer.esp_proposals)) {
    CAPTURE(esp);
    CHECK(esp.find("-none") != std::string::npos);
  }
}

TEST_CASE("Google gets one algorithm a role") {
  const Folder folder;
  const Config config = sound(folder, cloud("gcp"));
  const ike::PeerConfig& peer = config.peers.at(0);
  CHECK(peer.ike_lifetime == 36'000s);
  CHECK(peer.child_lifetime == 10'800s);
  CHECK(config.tunnels.at(0).plane.max_mss == 1360);
  REQUIRE(peer.ike_proposals.size() == 1);
  REQUIRE(peer.esp_proposals.size() == 1);
  CHECK(peer.ike_proposals[0].transforms.size() == 3);  // encryption, PRF, key exchange
  CHECK(peer.esp_proposals[0].transforms.size() == 3);  // encryption, key exchange, ESN
  const Config several = sound(folder, cloud("gcp", "ike = [\"aes256-sha256-ecp384\", \"aes128-sha256-ecp256\"]"));
  REQUIRE(several.warnings.size() == 1);
  CHECK(several.warnings[0].key == "peer.cloud.ike");
  CHECK(several.warnings[0].message.find("may change the algorithms") != std::string::npos);
}

TEST_CASE("what the file names wins over the profile") {
  const Folder folder;
  const Config config =
      sound(folder, cloud("aws", "ike_lifetime = \"2h\"\nliveness = \"30s\"\nesp = [\"aes128gcm16-ecp256-noesn\"]",
                          "local = [\"10.1.0.0/16\"]\nremote = [\"10.2.0.0/16\"]\nmss = 1300\nreplay_window = 2048"));
  const ike::PeerConfig& peer = config.peers.at(0);
  CHECK(peer.ike_lifetime == 2h);
  CHECK(peer.child_lifetime == 1h);
  CHECK(peer.liveness == 30s);
  CHECK(words(peer.esp_proposals) == std::vector<std::string>{"aes128gcm16-ecp256-noesn"});
  CHECK(peer.children.front().replay_window == 2048);
  CHECK(config.tunnels.at(0).plane.max_mss == 1300);
  REQUIRE(config.tunnels[0].routes.size() == 1);  // named nets are routed as ever
  CHECK(config.tunnels[0].routes[0].to_string() == "10.2.0.0/16");
}

TEST_CASE("routes into a cloud may be named instead of learned") {
  const Folder folder;
  const Config config = sound(folder, cloud("azure", "", "routes = [\"10.20.0.0/16\"]"));
  REQUIRE(config.tunnels.at(0).routes.size() == 1);
  CHECK(config.tunnels[0].routes[0].to_string() == "10.20.0.0/16");
}

TEST_CASE("boxes that route GRE may carry it") {
  const Folder folder;
  for (const std::string_view profile : {"fortigate", "cisco"}) {
    CAPTURE(profile);
    const std::string text = replaced(cloud(profile), "carry = \"ip\"", "carry = \"gre\"");
    CHECK(sound(folder, text).peers.at(0).children.front().mode == ike::ModePreference::prefer_transport);
  }
}

TEST_CASE("what a cloud does not speak is refused, at its place") {
  check_mistakes(cloud("aws"), {{"carry = \"ip\"", "carry = \"gre\"", 11, 9, "tunnel.cloud.carry", "carries no GRE"},
                                {"\"aws\"", "\"asw\"", 7, 11, "peer.cloud.profile", "'aws'"}});
  const std::string second =
      "[tunnel.more]\npeer = \"cloud\"\ncarry = \"ip\"\ndevice = \"cv9\"\nlocal = [\"10.1.0.0/16\"]\n"
      "remote = [\"10.2.0.0/16\"]\n";
  check_mistakes(cloud("gcp", "", "# more"), {{"# more", second, 15, 8, "tunnel.more.peer", "allows one pair of SAs"}});
}

TEST_CASE("an MSS that nothing applies is refused") {
  check_mistakes(sound_gre, {{"# tunnel", "clamp_mss = false\nmss = 1300", 14, 7, "tunnel.t.mss", "has no effect"},
                             {"# tunnel", "mss = 100", 13, 7, "tunnel.t.mss", "500"}});
  const Folder folder;
  CHECK(sound(folder, cloud("aws", "", "clamp_mss = false")).tunnels.at(0).plane.clamp_mss == false);
}

TEST_CASE("the documents of the profiles say what the program does") {
  for (const auto& [word, profile] : profile_choices()) {
    CAPTURE(word);
    const std::string text = document(profile->clients ? "native-clients.md" : "clouds.md");
    const auto hours = [](Duration time) { return std::chrono::duration_cast<std::chrono::seconds>(time).count(); };
    const std::string row =
        fmt::format("| `{}` | {} | {} | {} | {} |", word, hours(profile->ike_lifetime), hours(profile->child_lifetime),
                    hours(profile->liveness), profile->mss == 0 ? "what fits" : std::to_string(profile->mss));
    CAPTURE(row);
    CHECK(text.find(row) != std::string::npos);
    for (const auto& list : {profile->ike, profile->esp}) {
      for (const std::string_view proposal : list) {
        CAPTURE(proposal);
        CHECK(text.find(fmt::format("`{}`", proposal)) != std::string::npos);
      }
    }
  }
}

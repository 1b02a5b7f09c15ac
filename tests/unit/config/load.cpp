// What a sound file becomes.
#include <chrono>

#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "culvert/config/client_profile.h"
#include "fixture.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;
using namespace std::chrono_literals;

namespace {

IpAddress address(std::string_view text) {
  return IpAddress::parse(text).value();
}
IpPrefix prefix(std::string_view text) {
  return IpPrefix::parse(text).value();
}

}  // namespace

TEST_CASE("keys that are left out have the defaults of the reference") {
  const Folder folder;
  const Config config = sound(folder, sound_gre);
  CHECK(config.gateway.listen == std::vector{address("0.0.0.0"), address("::")});
  CHECK(config.gateway.ike_port == 500);
  CHECK(config.gateway.nat_port == 4500);
  CHECK(config.peers[0].nat_port == 4500);
  CHECK(config.gateway.workers >= 1);
  CHECK(config.gateway.busy_poll == Duration::zero());
  CHECK(config.gateway.aead.empty());
  CHECK(config.gateway.control_socket == "/run/culvert/control.sock");
  CHECK(config.gateway.control_group == "culvert");
  CHECK_FALSE(config.gateway.allow_key_export);
  CHECK(config.gateway.state_dir == "/run/culvert");
  const ike::PeerConfig& peer = config.peers.at(0);
  CHECK(peer.start == ike::StartMode::always);
  CHECK(peer.encapsulation == ike::EncapsulationPreference::udp);
  CHECK(peer.ike_lifetime == Duration(4h));
  CHECK(peer.child_lifetime == Duration(1h));
  CHECK(peer.child_bytes == 0);
  CHECK(peer.jitter == doctest::Approx(0.1));
  CHECK(peer.liveness == Duration(30s));
  CHECK(peer.retransmit_first == Duration(1s));
  CHECK(peer.retransmit_tries == 7);
  CHECK(peer.fragment_size == 1280);
  CHECK(peer.mobike);
  CHECK(peer.local_addresses.empty());
  CHECK(peer.keepalive == Duration(20s));
  CHECK(peer.unique == ike::UniquePolicy::replace);
  CHECK(peer.reauth_lifetime == Duration(0));
  CHECK(peer.childless == ike::ChildlessPolicy::allow);
  CHECK(peer.ike_proposals == ike::default_ike_proposals());
  CHECK(peer.esp_proposals == ike::default_esp_proposals());
  const tunnel::TunnelConfig& plane = config.tunnels.at(0).plane;
  CHECK(plane.mtu == 0);
  CHECK(plane.clamp_mss);
  CHECK(plane.copy_dscp);
  CHECK_FALSE(plane.gre_key.has_value());
  CHECK_FALSE(plane.gre_sequence);
  CHECK_FALSE(plane.trap);
  CHECK(config.tunnels[0].routes.empty());
  CHECK(config.tunnels[0].fail_closed);
  CHECK(config.warnings.empty());
}

TEST_CASE("every key reaches its place") {
  const Folder folder;
  const Config config = sound(folder, R"(
[gateway]
id = "paris.example.net"
listen = "192.0.2.1"
port = 1500
nat_port = 14500
workers = 3
busy_poll_us = 50
aead = "openssl"
log_level = "debug"
control_socket = "run/control.sock"
control_group = "wheel"
state_dir = "state"
crash_detection = false
allow_key_export = true
redirect = "osaka.example.net"
[peer.tokyo]
address = ["tokyo.example.net", "198.51.100.1"]
port = 2500
nat_port = 24500
id = "tokyo.example.net"
local_id = "paris-to-tokyo.example.net"
start = "on-traffic"
ike = ["aes256gcm16-prfsha384-x25519", "aes128-sha256-ecp256"]
esp = "aes256gcm16-x25519-esn"
encapsulation = "raw"
ike_lifetime = "8h"
child_lifetime = "90m"
child_bytes = "10GiB"
child_packets = 1000000
rekey_jitter = 0
liveness = "0s"
retransmit_timeout = "500ms"
retransmit_tries = 3
fragment_size = 576
mobike = false
local_address = ["192.0.2.1"]
keepalive = "7s"
unique = "keep"
reauth_lifetime = "1d"
childless = "prefer"
resumption = true
follow_redirects = true
[peer.tokyo.auth]
psk_file = "good.psk"
[tunnel.t]
peer = "tokyo"
carry = "gre"
device = "cv-tokyo"
mode = "tunnel"
key = 4294967295
sequence = true
checksum = true
source = "10.9.0.1"
destination = "10.9.0.2"
address = ["169.254.10.1/30", "fd00:10::1/64"]
routes = ["10.2.0.0/16"]
fail_closed = false
mtu = 1350
clamp_mss = false
copy_dscp = false
replay_window = 64
)");
  const GatewayConfig& gateway = config.gateway;
  CHECK(gateway.listen == std::vector{address("192.0.2.1")});
  CHECK(gateway.ike_port == 1500);
  CHECK(gateway.nat_port == 14500);
  CHECK(gateway.workers == 3);
  CHECK(gateway.busy_poll == Duration(50us));
  CHECK(gateway.aead == "openssl");
  CHECK(gateway.log_level == log::Level::debug);
  CHECK(gateway.control_socket == folder.file("run/control.sock"));
  CHECK(gateway.control_group == "wheel");
  CHECK(gateway.state_dir == folder.file("state"));
  CHECK_FALSE(gateway.crash_detection);
  CHECK(gateway.allow_key_export);
  CHECK(gateway.redirect == "osaka.example.net");
  const ike::PeerConfig& peer = config.peers.at(0);
  CHECK(peer.addresses == std::vector<std::string>{"tokyo.example.net", "198.51.100.1"});
  CHECK(peer.port == 2500);
  CHECK(peer.nat_port == 24500);
  CHECK(peer.remote_id == *ike::Identity::parse("tokyo.example.net"));
  CHECK(peer.local_id == *ike::Identity::parse("paris-to-tokyo.example.net"));
  CHECK(as_text(peer.auth.peer_psk()->view()) == "a key of twenty-four byt");
  CHECK(peer.start == ike::StartMode::on_traffic);
  REQUIRE(peer.ike_proposals.size() == 2);
  CHECK(peer.ike_proposals[0].number == 1);
  CHECK(peer.ike_proposals[1].number == 2);
  CHECK(peer.esp_proposals.size() == 1);
  CHECK(peer.encapsulation == ike::EncapsulationPreference::raw);
  CHECK(peer.ike_lifetime == Duration(8h));
  CHECK(peer.child_lifetime == Duration(90min));
  CHECK(peer.child_bytes == 10737418240);
  CHECK(peer.child_packets == 1'000'000);
  CHECK(peer.jitter == 0);
  CHECK(peer.liveness == Duration(0));
  CHECK(peer.retransmit_first == Duration(500ms));
  CHECK(peer.retransmit_tries == 3);
  CHECK(peer.fragment_size == 576);
  CHECK_FALSE(peer.mobike);
  CHECK(peer.local_addresses == std::vector{address("192.0.2.1")});
  CHECK(peer.keepalive == Duration(7s));
  CHECK(peer.unique == ike::UniquePolicy::keep);
  CHECK(peer.reauth_lifetime == Duration(24h));
  CHECK(peer.childless == ike::ChildlessPolicy::prefer);
  CHECK(peer.resumption);
  CHECK(peer.follow_redirects);
  const TunnelSettings& settings = config.tunnels.at(0);
  CHECK(settings.addresses == std::vector{prefix("169.254.10.1/30"), prefix("fd00:10::1/64")});
  CHECK(settings.routes == std::vector{prefix("10.2.0.0/16")});
  const tunnel::TunnelConfig& plane = settings.plane;
  CHECK(plane.name == "t");
  CHECK(plane.device == "cv-tokyo");
  CHECK(plane.carry == tunnel::Carry::gre);
  CHECK(plane.gre_key == 4294967295u);
  CHECK(plane.gre_sequence);
  CHECK(plane.gre_checksum);
  CHECK(plane.gre_source == address("10.9.0.1"));
  CHECK(plane.gre_destination == address("10.9.0.2"));
  CHECK(plane.mtu == 1350);
  CHECK_FALSE(plane.clamp_mss);
  CHECK_FALSE(plane.copy_dscp);
  CHECK(plane.trap);
  const ike::ChildConfig& child = peer.children.front();
  CHECK(child.replay_window == 64);
  CHECK(child.mode == ike::ModePreference::tunnel);
  CHECK(child.local == std::vector{ike::SelectorSpec{prefix("10.9.0.1/32"), 47}});
  CHECK(child.remote == std::vector{ike::SelectorSpec{prefix("10.9.0.2/32"), 47}});
}

TEST_CASE("a plain tunnel has its nets as selectors and the remote ones as routes") {
  const Folder folder;
  const Config config = sound(folder, replaced(sound_ip, "[\"10.2.0.0/16\"]", "[\"10.2.0.0/16\", \"10.3.0.0/24\"]"));
  const ike::ChildConfig& child = config.peers.at(0).children.front();
  CHECK(child.name == "t");
  CHECK(child.mode == ike::ModePreference::tunnel);
  CHECK(child.local == std::vector{ike::SelectorSpec{prefix("10.1.0.0/16"), 0}});
  CHECK(child.remote ==
        std::vector{ike::SelectorSpec{prefix("10.2.0.0/16"), 0}, ike::SelectorSpec{prefix("10.3.0.0/24"), 0}});
  CHECK(config.tunnels.at(0).routes == std::vector{prefix("10.2.0.0/16"), prefix("10.3.0.0/24")});
}

TEST_CASE("GRE tunnels of one peer between the same addresses share a child, others have their own") {
  const Folder folder;
  const auto tunnel = [](std::string name, std::string peer, std::string more) {
    return "[tunnel." + name + "]\npeer = \"" + peer + "\"\ncarry = \"gre\"\ndevice = \"cv-" + name + "\"\n" + more +
           "\n";
  };
  const Config config = sound(
      folder,
      replaced(sound_gre, "# end",
               "[peer.osaka]\naddress = \"any\"\nid = \"osaka.example.net\"\nauth = { psk_file = \"good.psk\" }\n" +
                   tunnel("a", "tokyo", "key = 1") + tunnel("b", "osaka", "key = 1") +
                   tunnel("c", "tokyo", "key = 1\nsource = \"10.9.0.1\"\ndestination = \"10.9.0.2\"") +
                   tunnel("d", "tokyo", "key = 2\nreplay_window = 64") + tunnel("e", "tokyo", "key = 3") +
                   tunnel("f", "tokyo", "key = 4")));
  REQUIRE(config.peers.size() == 2);
  const std::vector tokyo(config.peers[0].children.begin(), config.peers[0].children.end());
  const std::vector osaka(config.peers[1].children.begin(), config.peers[1].children.end());
  REQUIRE(tokyo.size() == 2);
  REQUIRE(osaka.size() == 1);
  CHECK(tokyo[0].name == "t,a,d,…");
  CHECK(tokyo[0].mode == ike::ModePreference::prefer_transport);
  CHECK(tokyo[0].local == std::vector{ike::SelectorSpec{std::nullopt, 47}});
  CHECK(tokyo[0].replay_window == 64);
  CHECK(tokyo[1].name == "c");
  CHECK(tokyo[1].mode == ike::ModePreference::tunnel);
  CHECK(tokyo[0].id != tokyo[1].id);
  CHECK(osaka[0].id != tokyo[0].id);
  CHECK(osaka[0].id != tokyo[1].id);
  std::vector<ChildId> carriers;
  for (const auto& settings : config.tunnels) carriers.push_back(settings.plane.child);
  const ChildId shared = tokyo[0].id;
  CHECK(carriers == std::vector{shared, shared, osaka[0].id, tokyo[1].id, shared, shared, shared});
}

TEST_CASE("the mode of GRE between the gateways follows the key") {
  const Folder folder;
  const auto mode = [&](std::string_view text) {
    return sound(folder, replaced(sound_gre, "# tunnel", text)).peers[0].children.front().mode;
  };
  CHECK(mode("mode = \"auto\"") == ike::ModePreference::prefer_transport);
  CHECK(mode("mode = \"transport\"") == ike::ModePreference::transport);
  CHECK(mode("mode = \"tunnel\"") == ike::ModePreference::tunnel);
}

TEST_CASE("ids are the indices in the order of the file") {
  const Folder folder;
  const Config config = sound(
      folder,
      replaced(sound_gre, "# end",
               "[tunnel.b]\npeer = \"aachen\"\ncarry = \"gre\"\ndevice = \"x\"\n"
               "[peer.aachen]\naddress = \"any\"\nid = \"aachen.example.net\"\nauth = { psk_file = \"good.psk\" }\n"));
  CHECK(config.peers.at(0).name == "tokyo");
  CHECK(config.peers.at(1).name == "aachen");
  CHECK(config.peers[1].id == PeerId{1});
  CHECK(config.tunnels.at(1).peer == PeerId{1});
  CHECK(config.tunnels[1].plane.id == TunnelId{1});
}

namespace {

/// What `culvert pki` and `culvert genkey` would have made.
void write_certificates(const Folder& folder) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto name = [](std::string_view text) { return *crypto::encode_distinguished_name(text); };
  const auto ca_key = *crypto::PrivateKey::generate({}), key = *crypto::PrivateKey::generate({});
  const auto ca = *crypto::issue_self_signed_ca(ca_key, {name("CN=Example"), {now - 1h, now + 9600h}, {}, {}, {}});
  crypto::LeafRequest request;
  request.subject = name("CN=paris");
  request.validity = {now - 1h, now + 960h};
  request.names = {{crypto::AlternativeName::Type::dns, "paris.example.net"}};
  folder.write("ca.pem", ca.pem());
  folder.write("paris.pem", crypto::issue_leaf(ca_key, ca, key.public_key(), request)->pem());
  request.names = {{crypto::AlternativeName::Type::dns, "vpn.example.net"}};
  folder.write("vpn.pem", crypto::issue_leaf(ca_key, ca, key.public_key(), request)->pem());
  request.names = {{crypto::AlternativeName::Type::email, "ada@example.net"}};
  folder.write("ada.pem", crypto::issue_leaf(ca_key, ca, key.public_key(), request)->pem());
  folder.write("ca.crl", crypto::issue_crl(ca_key, ca, {}, 1, now - 1h, now + 96h)->pem());
  for (const auto* file : {"paris.key", "gateway.key", "vpn.key", "ada.key"}) folder.write(file, as_text(key.to_pem(Secret())->view()));
}

}  // namespace

TEST_CASE("the examples of conf/ pass the check") {
  const Folder folder;
  write_certificates(folder);
  for (const auto* key : {"site.psk", "tokyo.psk", "osaka.psk", "van.psk", "aws-1.psk", "aws-2.psk", "azure.psk",
                          "gcp-0.psk", "gcp-1.psk", "fortigate.psk", "cisco.psk"})
    folder.write(key, "0s6jEhl0GzPfVvHX2e9ay0TsKuzZ8cDZX3D8QFkVqjJ3E=\n");
  std::size_t num_examples = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(CULVERT_SOURCE_DIR) + "/conf")) {
    if (entry.path().extension() != ".toml") continue;
    CAPTURE(entry.path());
    const auto copy = folder.file(entry.path().filename().string());
    std::filesystem::copy_file(entry.path(), copy);
    ++num_examples;
    if (entry.path().parent_path().filename() == "clients") {  // for `culvert connect`
      const auto profile = load_client(copy);
      if (!profile) FAIL(all_of(profile.error()));
      CHECK(profile->config.warnings.empty());
      continue;
    }
    const auto config = load(copy);
    if (!config) FAIL(all_of(config.error()));
    CHECK(config->warnings.empty());
  }
  CHECK(num_examples >= 14);
}

#include "status_report.h"

#include <doctest/doctest.h>
#include <chrono>
#include <string>
#include <utility>

#include "fake_plane.h"

using namespace culvert;
using namespace std::chrono_literals;
using daemon::make_status;

namespace {

IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

/// Two peers: tokyo with one GRE child and two tunnels on it, oslo with plain ESP.
config::Config two_peers() {
  config::Config config;
  config.gateway.id = ike::Identity::parse("paris.example.net").value();
  config.gateway.workers = 4;
  for (std::uint32_t i = 0; i < 2; ++i) {
    ike::PeerConfig peer;
    peer.id = PeerId(i);
    peer.name = i == 0 ? "tokyo" : "oslo";
    peer.remote_id = ike::Identity::parse(peer.name + ".example.net").value();
    config.peers.push_back(std::move(peer));
  }
  for (std::uint32_t i = 0; i < 3; ++i) {
    config::TunnelSettings tunnel;
    tunnel.peer = PeerId(i < 2 ? 0 : 1);
    tunnel.plane.id = TunnelId(i);
    tunnel.plane.name = "t" + std::to_string(i);
    tunnel.plane.device = "cv" + std::to_string(i);
    tunnel.plane.child = ChildId(i < 2 ? 0 : 1);
    tunnel.plane.carry = i < 2 ? tunnel::Carry::gre : tunnel::Carry::ip;
    if (i == 1) tunnel.plane.gre_key = 42;
    tunnel.addresses = {IpPrefix::parse("169.254.10.1/30").value()};
    tunnel.routes = {IpPrefix::parse("10.2.0.0/16").value()};
    config.tunnels.push_back(std::move(tunnel));
  }
  return config;
}

ike::PeerStatus tokyo_up(TimePoint now) {
  ike::PeerStatus peer;
  peer.peer = PeerId(0);
  peer.name = "tokyo";
  peer.state = ike::PeerStatus::State::established;
  peer.path = {{address("192.0.2.1"), 4500}, {address("198.51.100.2"), 4500}};
  peer.spi_i = IkeSpi(0x0102030405060708);
  peer.spi_r = IkeSpi(0xff);
  peer.initiator = true;
  peer.suite = "AES-GCM-16-256 …";
  peer.remote_id = "tokyo.example.net";
  peer.nat_remote = true;
  peer.established = now - 90s;
  peer.rekey_at = now + 3600s;
  ike::ChildStatus child;
  child.child = ChildId(0);
  child.name = "t0";
  child.up = true;
  child.inbound_spi = Spi(0x1234);
  child.outbound_spi = Spi(0xabcdef01);
  child.suite = "AES-GCM-16-256 x25519 ESN";
  child.mode = EspMode::transport;
  child.local = {TrafficSelector::from_prefix({address("192.0.2.1"), 32}, 47)};
  child.remote = {TrafficSelector::from_prefix({address("198.51.100.2"), 32}, 47)};
  child.established = now - 60s;
  child.rekey_at = now - 1s;
  peer.children = {child};
  return peer;
}

struct World {
  config::Config config = two_peers();
  test::FakePlane plane;
  daemon::TrafficWatch traffic;
  TimePoint now = TimePoint{} + 100000s;
  control::StatusReport report(std::vector<ike::PeerStatus> peers) {
    return make_status({config,
                        plane,
                        std::move(peers),
                        [](const Endpoint& endpoint) { return endpoint.to_string(); },
                        [](TunnelId id) { return static_cast<std::uint16_t>(1400 + id.value()); },
                        nullptr,
                        &traffic,
                        now,
                        now - 120s,
                        {},
                        {}});
  }
};

}  // namespace

TEST_CASE("an established peer is shown with its SAs, their ages, counters and selectors") {
  World world;
  world.plane.traffic_of[Spi(0x1234)] = {7, 700, 9, 900};
  world.plane.counters_of[TunnelId(1)] = {1, 2, 3, 4};
  const auto report = world.report({tokyo_up(world.now)});
  CHECK(report.id == "paris.example.net");
  CHECK(report.uptime_s == 120);
  CHECK(report.workers == 4);
  CHECK(report.packet_memory == 4096);  // what the plane says
  REQUIRE(report.peers.size() == 2);
  const auto& peer = report.peers[0];
  CHECK(peer.state == "up");
  CHECK(peer.role == "initiator");
  CHECK(peer.local == "192.0.2.1:4500");
  CHECK(peer.remote == "198.51.100.2:4500");
  CHECK(peer.spi_i == "0x0102030405060708");
  CHECK(peer.spi_r == "0x00000000000000ff");
  CHECK_FALSE(peer.nat_local);
  CHECK(peer.nat_remote);
  CHECK(peer.established_s == 90);
  CHECK(peer.rekey_in_s == 3600);
  REQUIRE(peer.children.size() == 1);
  const auto& child = peer.children[0];
  CHECK(child.state == "up");
  CHECK(child.inbound_spi == "0x00001234");
  CHECK(child.outbound_spi == "0xabcdef01");
  CHECK(child.mode == "transport");
  CHECK(child.encapsulation == "udp");
  CHECK(child.esn);
  CHECK(child.local == std::vector<std::string>{"192.0.2.1/32[gre]"});
  CHECK(child.established_s == 60);
  CHECK(child.rekey_in_s == 0);  // overdue, not a huge number
  CHECK(child.inbound_packets == 7);
  CHECK(child.outbound_bytes == 900);
  REQUIRE(peer.tunnels.size() == 2);
  CHECK(peer.tunnels[0].state == "up");
  CHECK(peer.tunnels[0].child == "t0");
  CHECK_FALSE(peer.tunnels[0].key.has_value());
  CHECK(peer.tunnels[1].key == 42u);
  CHECK(peer.tunnels[1].mtu == 1401);
  CHECK(peer.tunnels[1].outbound_bytes == 4);
  CHECK(peer.tunnels[1].addresses == std::vector<std::string>{"169.254.10.1/30"});
}

TEST_CASE("a configured tunnel that is down is listed with the reason, whatever ike knows about its peer") {
  World world;
  SUBCASE("ike knows nothing of the peer") {}
  ike::PeerStatus down;
  SUBCASE("ike knows why") {
    down.peer = PeerId(1);
    down.state = ike::PeerStatus::State::connecting;
    down.reason = "no answer from 198.51.100.3";
    down.retry_at = world.now + 8s;
    ike::ChildStatus child;
    child.child = ChildId(1);
    child.name = "t2";
    child.reason = "its IKE SA is down";
    down.children = {child};
  }
  const auto report = world.report({down});
  REQUIRE(report.peers.size() == 2);
  REQUIRE(report.peers[1].tunnels.size() == 1);
  CHECK(report.peers[1].tunnels[0].name == "t2");
  CHECK(report.peers[1].tunnels[0].state == "down");
  CHECK(report.peers[1].remote_id == "oslo.example.net");
  if (down.peer == PeerId(1)) {
    CHECK(report.peers[1].state == "connecting");
    CHECK(report.peers[1].reason == "no answer from 198.51.100.3");
    CHECK(report.peers[1].retry_in_s == 8);
    CHECK(report.peers[1].children.at(0).reason == "its IKE SA is down");
    CHECK(report.peers[1].children.at(0).inbound_spi.empty());
  } else {
    CHECK(report.peers[1].state == "down");
  }
}

TEST_CASE("each state of a peer has its word, and the operator's down goes before all") {
  World world;
  using State = ike::PeerStatus::State;
  const std::pair<State, const char*> words[] = {{State::down, "down"},
                                                 {State::resolving, "resolving"},
                                                 {State::connecting, "connecting"},
                                                 {State::established, "up"},
                                                 {State::waiting, "waiting"}};
  for (const auto& [state, word] : words) {
    ike::PeerStatus peer;
    peer.peer = PeerId(0);
    peer.state = state;
    CHECK(world.report({peer}).peers[0].state == word);
    peer.admin_down = true;
    CHECK(world.report({peer}).peers[0].state == "admin-down");
  }
}

TEST_CASE("what a peer chose cannot colour the operator's terminal") {
  World world;
  ike::PeerStatus peer;
  peer.peer = PeerId(0);
  peer.remote_id = "evil\x1b[31m";
  peer.reason = "it said\nroot:";
  const auto report = world.report({peer});
  CHECK(report.peers[0].remote_id.find('\x1b') == std::string::npos);
  CHECK(report.peers[0].reason.find('\n') == std::string::npos);
}

TEST_CASE("every drop reason is reported under its stable name, also at 0") {
  test::FakePlane plane;
  plane.drop_counters[static_cast<std::size_t>(DropReason::replay)] = 5;
  const auto drops = daemon::make_drops(plane);
  REQUIRE(drops.size() == num_drop_reasons);
  std::uint64_t sum = 0;
  for (const auto& drop : drops) {
    CHECK_FALSE(drop.text.empty());
    sum += drop.packets;
    if (drop.reason == "replay") CHECK(drop.packets == 5);
  }
  CHECK(sum == 5);
}

TEST_CASE("selectors read as prefixes where they are, as ranges where not") {
  using daemon::selector_text;
  CHECK(selector_text(TrafficSelector::from_prefix(IpPrefix::parse("10.1.0.0/16").value())) == "10.1.0.0/16");
  CHECK(selector_text(TrafficSelector::from_prefix(IpPrefix::parse("0.0.0.0/0").value())) == "0.0.0.0/0");
  CHECK(selector_text(TrafficSelector::from_prefix(IpPrefix::parse("fd00::/8").value(), 58)) == "fd00::/8[icmpv6]");
  CHECK(selector_text({6, 80, 80, address("10.0.0.1"), address("10.0.0.9")}) == "10.0.0.1-10.0.0.9[tcp/80]");
  CHECK(selector_text({17, 1000, 2000, address("10.0.0.0"), address("10.0.0.255")}) == "10.0.0.0/24[udp/1000-2000]");
  CHECK(selector_text({6, 65535, 0, address("10.0.0.0"), address("10.0.0.255")}) == "10.0.0.0/24[tcp/opaque]");
}

TEST_CASE("a child SA that is up and blocked makes its tunnel degraded, with the reason in words") {
  World world;
  world.config.peers[0].probe_interval = 10s;
  world.traffic.on_installed(world.now, world.config.peers[0].id, ChildId(0), true);
  daemon::Passage& passage = world.traffic.find(ChildId(0))->passage;
  auto report = world.report({tokyo_up(world.now)});
  CHECK(report.peers[0].tunnels[0].state == "up");
  CHECK(report.peers[0].children[0].traffic == "idle");
  CHECK(report.peers[0].children[0].probe == "echo");
  CHECK_FALSE(report.peers[0].children[0].rtt_us);
  for (int i = 0; i < 4; ++i) {
    CHECK(passage.next(world.now, 10s));
    world.now += 1s;
  }
  report = world.report({tokyo_up(world.now)});
  CHECK(report.peers[0].state == "up");
  CHECK(report.peers[0].tunnels[0].state == "degraded");
  CHECK(report.peers[0].children[0].traffic == "blocked");
  CHECK(report.peers[0].children[0].traffic_reason ==
        "3 probes in a row were not answered, and none ever was: ESP is dropped on the way");
  CHECK(report.peers[0].children[0].probes == 3);
  CHECK(report.peers[0].children[0].probes_lost == 3);
  passage.on_answer(world.now, 4, 7ms, 10s);
  report = world.report({tokyo_up(world.now)});
  CHECK(report.peers[0].tunnels[0].state == "up");
  CHECK(report.peers[0].children[0].rtt_us == 7000);
}

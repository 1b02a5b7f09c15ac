#include "metrics_report.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "culvert/base/drop_reason.h"
#include "fake_plane.h"

using namespace culvert;
using namespace std::chrono_literals;
using ike::PeerEvent;

namespace {

/// tokyo with one tunnel, up; oslo with one, down.
struct World {
  World() {
    for (std::uint32_t i = 0; i < 2; ++i) {
      ike::PeerConfig peer;
      peer.id = PeerId(i);
      peer.name = i == 0 ? "tokyo" : "oslo";
      config.peers.push_back(std::move(peer));
      config::TunnelSettings tunnel;
      tunnel.peer = PeerId(i);
      tunnel.plane.id = TunnelId(i);
      tunnel.plane.name = i == 0 ? "tokyo-gre" : "oslo-lan";
      tunnel.plane.device = i == 0 ? "cv0" : "cv1";
      tunnel.plane.child = ChildId(i);
      tunnel.plane.carry = i == 0 ? tunnel::Carry::gre : tunnel::Carry::ip;
      config.tunnels.push_back(std::move(tunnel));
      ike::PeerMeasure measure;
      measure.peer = PeerId(i);
      measures.peers.push_back(measure);
    }
    measures.children_up = {ChildId(0)};
    measures.peers[0].up = measures.peers[0].expected = true;
    measures.peers[0].established = now - 90s;
    measures.peers[0].counters.add(PeerEvent::handshake);
  }
  std::string text(daemon::MetricsFormat format = daemon::MetricsFormat::prometheus) {
    return daemon::make_metrics(
        format, {config, plane, measures, history, counters, traffic, [](TunnelId) { return std::uint32_t{1400}; }, now,
                 crypto::WallTime(1000000s), crypto::WallTime(900000s), 0.25});
  }
  [[nodiscard]] bool has(const std::string& line) {
    const std::string all = text();
    CAPTURE(line);
    return all.find("\n" + line + "\n") != std::string::npos;
  }

  TimePoint now = TimePoint{} + 5000s;
  config::Config config;
  test::FakePlane plane;
  ike::Measures measures;
  daemon::ConfigHistory history;
  daemon::CounterHistory counters;
  daemon::TrafficWatch traffic;
};

}  // namespace

TEST_CASE("every configured tunnel and peer has its series, also those that are down") {
  World world;
  world.plane.counters_of[TunnelId(0)] = {1, 2, 3, 4};
  CHECK(world.has(R"(culvert_tunnel_up{tunnel="tokyo-gre",peer="tokyo"} 1)"));
  CHECK(world.has(R"(culvert_tunnel_up{tunnel="oslo-lan",peer="oslo"} 0)"));
  CHECK(world.has(R"(culvert_tunnel_info{tunnel="oslo-lan",peer="oslo",device="cv1",carry="ip"} 1)"));
  CHECK(world.has(R"(culvert_tunnel_inbound_packets_total{tunnel="tokyo-gre",peer="tokyo"} 1)"));
  CHECK(world.has(R"(culvert_tunnel_inbound_bytes_total{tunnel="tokyo-gre",peer="tokyo"} 2)"));
  CHECK(world.has(R"(culvert_tunnel_outbound_packets_total{tunnel="tokyo-gre",peer="tokyo"} 3)"));
  CHECK(world.has(R"(culvert_tunnel_outbound_bytes_total{tunnel="tokyo-gre",peer="tokyo"} 4)"));
  CHECK(world.has(R"(culvert_tunnel_outbound_bytes_total{tunnel="oslo-lan",peer="oslo"} 0)"));
  CHECK(world.has(R"(culvert_peer_up{peer="oslo"} 0)"));
  CHECK(world.has(R"(culvert_peer_handshakes_total{peer="tokyo"} 1)"));
  CHECK(world.has(R"(culvert_peer_handshakes_total{peer="oslo"} 0)"));
  CHECK(world.has(R"(culvert_peer_established_timestamp_seconds{peer="tokyo"} 999910)"));
  CHECK(world.has(R"(culvert_peer_established_timestamp_seconds{peer="oslo"} 0)"));
}

TEST_CASE("what is known of a tunnel's traffic is told, and what is not has no sample") {
  World world;
  world.config.peers[0].probe_interval = 10s;
  CHECK(world.has(R"(culvert_tunnel_degraded{tunnel="tokyo-gre",peer="tokyo"} 0)"));
  CHECK(world.has(R"(culvert_tunnel_degraded{tunnel="oslo-lan",peer="oslo"} 0)"));
  CHECK(world.text().find("\nculvert_tunnel_rtt_seconds{") == std::string::npos);

  world.traffic.on_installed(world.now, PeerId(0), ChildId(0), true);
  daemon::TrafficWatch::Child& child = *world.traffic.find(ChildId(0));
  CHECK(world.text().find("\nculvert_tunnel_probe_loss_ratio{") == std::string::npos);  // nothing has been asked
  auto number = child.passage.next(world.now, 10s);
  REQUIRE(number);
  child.passage.on_answer(world.now + 20ms, *number, 20ms, 10s);
  CHECK(world.has(R"(culvert_tunnel_rtt_seconds{tunnel="tokyo-gre",peer="tokyo"} 0.02)"));
  CHECK(world.text().find("\nculvert_tunnel_jitter_seconds{tunnel=\"tokyo-gre\"") != std::string::npos);
  CHECK(world.has(R"(culvert_tunnel_probe_loss_ratio{tunnel="tokyo-gre",peer="tokyo"} 0)"));
  CHECK(world.text().find("\nculvert_tunnel_rtt_seconds{tunnel=\"oslo") == std::string::npos);

  for (int i = 0; i < 600; ++i) {  // nobody answers any more
    world.now += 1s;
    (void)child.passage.next(world.now, 10s);
  }
  CHECK(world.has(R"(culvert_tunnel_up{tunnel="tokyo-gre",peer="tokyo"} 1)"));
  CHECK(world.has(R"(culvert_tunnel_degraded{tunnel="tokyo-gre",peer="tokyo"} 1)"));
  CHECK_FALSE(world.has(R"(culvert_tunnel_probe_loss_ratio{tunnel="tokyo-gre",peer="tokyo"} 0)"));
}

TEST_CASE("a tunnel for clients is up while nobody is there") {
  World world;
  world.config.peers[1].pools = {0};
  CHECK(world.has(R"(culvert_tunnel_up{tunnel="oslo-lan",peer="oslo"} 1)"));
}

TEST_CASE("every drop reason is a series, also at 0") {
  World world;
  world.plane.drop_counters[static_cast<std::size_t>(DropReason::replay)] = 5;
  CHECK(world.has(R"(culvert_dropped_packets_total{reason="replay"} 5)"));
  for (std::size_t i = 0; i < num_drop_reasons; ++i) {
    const std::string series =
        "culvert_dropped_packets_total{reason=\"" + std::string(drop_reason_name(static_cast<DropReason>(i))) + "\"} ";
    CAPTURE(series);
    CHECK(world.text().find(series) != std::string::npos);
  }
}

TEST_CASE("errors are counted by kind and direction, all kinds are there, and unknown ones share a place") {
  World world;
  world.measures.errors_sent.add(14);      // RFC 7296 §3.10.1: NO_PROPOSAL_CHOSEN
  world.measures.errors_received.add(24);  // AUTHENTICATION_FAILED
  world.measures.errors_received.add(3);   // reserved
  world.measures.errors_received.add(9999);
  CHECK(world.has(R"(culvert_ike_errors_total{error="NO_PROPOSAL_CHOSEN",direction="sent"} 1)"));
  CHECK(world.has(R"(culvert_ike_errors_total{error="NO_PROPOSAL_CHOSEN",direction="received"} 0)"));
  CHECK(world.has(R"(culvert_ike_errors_total{error="AUTHENTICATION_FAILED",direction="received"} 1)"));
  CHECK(world.has(R"(culvert_ike_errors_total{error="other",direction="received"} 2)"));
  CHECK(world.has(R"(culvert_ike_errors_total{error="TS_UNACCEPTABLE",direction="sent"} 0)"));
}

TEST_CASE("counters go on where those of a tunnel or peer of the same name begin anew") {
  World world;
  world.plane.counters_of[TunnelId(0)] = {100, 1000, 10, 50};
  (void)world.text();
  world.plane.counters_of[TunnelId(0)] = {120, 1200, 10, 50};
  // A reload that replaces the tunnel, and the peer.
  world.counters.note(world.config, world.plane, world.measures);
  world.config.tunnels[0].plane.id = TunnelId(7);
  world.config.peers[0].id = world.config.tunnels[0].peer = world.measures.peers[0].peer = PeerId(8);
  world.measures.peers[0].counters = {};
  world.counters.note(world.config, world.plane, world.measures);
  CHECK(world.has(R"(culvert_tunnel_inbound_packets_total{tunnel="tokyo-gre",peer="tokyo"} 120)"));
  world.plane.counters_of[TunnelId(7)] = {500, 1, 0, 0};
  world.measures.peers[0].counters.add(PeerEvent::handshake);
  CHECK(world.has(R"(culvert_tunnel_inbound_packets_total{tunnel="tokyo-gre",peer="tokyo"} 620)"));
  CHECK(world.has(R"(culvert_tunnel_outbound_bytes_total{tunnel="tokyo-gre",peer="tokyo"} 50)"));
  CHECK(world.has(R"(culvert_peer_handshakes_total{peer="tokyo"} 2)"));
}

TEST_CASE("families stand once each, in both formats") {
  World world;
  for (const auto format : {daemon::MetricsFormat::open_metrics, daemon::MetricsFormat::prometheus}) {
    const std::string text = world.text(format);
    std::size_t num = 0;
    for (std::size_t at = text.find("# TYPE "); at != std::string::npos; at = text.find("# TYPE ", at + 1)) {
      const std::string line = text.substr(at, text.find(' ', at + 7) - at + 1);
      CAPTURE(line);
      CHECK(text.find(line, at + 1) == std::string::npos);
      ++num;
    }
    CHECK(num > 40);
  }
}

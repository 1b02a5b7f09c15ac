#include "render.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

using namespace culvert::cli;
using namespace culvert::control;

namespace {

StatusReport two_peers() {
  ChildReport gre;
  gre.name = "tokyo-gre";
  gre.state = "up";
  gre.inbound_spi = "0xc0ffee01";
  gre.outbound_spi = "0xdeadbeef";
  gre.suite = "AES-GCM-16-256 x25519 ESN";
  gre.mode = "transport";
  gre.encapsulation = "udp";
  gre.local = {"192.0.2.1/32[gre]"};
  gre.remote = {"198.51.100.1/32[gre]"};
  gre.established_s = 725;
  gre.rekey_in_s = 2400;
  TunnelReport tokyo_gre;
  tokyo_gre.name = "tokyo-gre";
  tokyo_gre.device = "cv-tokyo";
  tokyo_gre.carry = "gre";
  tokyo_gre.state = "up";
  tokyo_gre.child = "tokyo-gre";
  tokyo_gre.mtu = 1390;
  tokyo_gre.key = 42;
  tokyo_gre.addresses = {"169.254.10.1/30", "fd00:10::1/64"};
  tokyo_gre.routes = {"10.2.0.0/16", "10.20.0.0/16"};
  tokyo_gre.inbound_packets = 1234567;
  tokyo_gre.inbound_bytes = 1288490189;
  tokyo_gre.outbound_packets = 88;
  tokyo_gre.outbound_bytes = 8448;
  PeerReport tokyo;
  tokyo.name = "tokyo";
  tokyo.state = "up";
  tokyo.remote_id = "tokyo.example.net";
  tokyo.local = "192.0.2.1:4500";
  tokyo.remote = "198.51.100.1:4500";
  tokyo.role = "initiator";
  tokyo.suite = "AES-GCM-16-256 PRF-HMAC-SHA2-384 x25519";
  tokyo.nat_local = true;
  tokyo.established_s = 7980;
  tokyo.rekey_in_s = 6000;
  tokyo.children = {gre};
  tokyo.tunnels = {tokyo_gre};

  ChildReport lan;
  lan.name = "osaka-lan";
  lan.state = "down";
  TunnelReport osaka_lan;
  osaka_lan.name = "osaka-lan";
  osaka_lan.device = "cv1";
  osaka_lan.carry = "ip";
  osaka_lan.state = "down";
  osaka_lan.child = "osaka-lan";
  osaka_lan.mtu = 1380;
  osaka_lan.routes = {"10.4.0.0/16"};
  PeerReport osaka;
  osaka.name = "osaka";
  osaka.state = "down";
  osaka.remote_id = "osaka.example.net";
  osaka.reason = "no answer from 203.0.113.9";
  osaka.retry_in_s = 12;
  osaka.children = {lan};
  osaka.tunnels = {osaka_lan};
  return {"0.1.0", "paris.example.net", 273600, "vaes512", 4, 17890304, {tokyo, osaka}, {}, {}};
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("status shows a block for each peer with its tunnels, the worst first, and why one is down") {
  CHECK(render_status(two_peers(), Display{}) ==
        "gateway paris.example.net  up: 1 of 2 peers up, 1 of 2 tunnels up\n"
        "  culvertd  0.1.0, for 3d 4h, 4 workers, AEAD by vaes512\n"
        "\n"
        "peer osaka  down: no answer from 203.0.113.9; next try in 12s\n"
        "  identity  osaka.example.net\n"
        "  tunnel osaka-lan  down: the peer is not up\n"
        "    device    cv1, IP, MTU 1380\n"
        "    routes    10.4.0.0/16\n"
        "\n"
        "peer tokyo  up\n"
        "  identity  tokyo.example.net\n"
        "  path      192.0.2.1:4500 ↔ 198.51.100.1:4500 (we are behind a NAT)\n"
        "  IKE       AES-GCM-16-256 PRF-HMAC-SHA2-384 x25519, initiator, for 2h 13m, rekey in 1h 40m\n"
        "  tunnel tokyo-gre  up\n"
        "    device    cv-tokyo, GRE, key 42, MTU 1390, 169.254.10.1/30 fd00:10::1/64\n"
        "    routes    10.2.0.0/16 10.20.0.0/16\n"
        "    ESP       AES-GCM-16-256 x25519 ESN, transport mode, in UDP, for 12m 5s, rekey in 40m 0s\n"
        "    selectors 192.0.2.1/32[gre] ↔ 198.51.100.1/32[gre]\n"
        "    SPI       in 0xc0ffee01, out 0xdeadbeef\n"
        "    traffic   1.2 GiB in 1 234 567 packets received, 8.2 KiB in 88 packets sent\n");
}

TEST_CASE("a narrow terminal gets short lines, wrapped behind the labels") {
  for (const std::size_t width : {40u, 60u, 80u}) {
    CAPTURE(width);
    const std::string text = render_status(two_peers(), Display{.colour = false, .width = width});
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      CAPTURE(line);
      // "PRF-HMAC-SHA2-384" and the selectors are the longest words; a word stays whole.
      CHECK(columns_of(line) <= std::max<std::size_t>(width, 40));
    }
  }
  const std::string narrow = render_status(two_peers(), Display{.colour = false, .width = 40});
  CHECK(holds(narrow,
              "gateway paris.example.net  up:\n"
              "    1 of 2 peers up, 1 of 2 tunnels up\n"));
  CHECK(holds(narrow,
              "    device    cv-tokyo, GRE, key 42, MTU\n"
              "              1390, 169.254.10.1/30\n"
              "              fd00:10::1/64\n"));
}

TEST_CASE("a terminal narrower than the labels still gets every word") {
  const std::string tiny = render_status(two_peers(), Display{.colour = false, .width = 5});
  for (const auto* word : {"tokyo-gre", "0xdeadbeef", "203.0.113.9;", "10.20.0.0/16"}) CHECK(holds(tiny, word));
}

TEST_CASE("colour marks the state and nothing else changes") {
  std::string text = render_status(two_peers(), Display{.colour = true});
  CHECK(holds(text, "peer \x1b[1mtokyo\x1b[0m  \x1b[32mup\x1b[0m\n"));
  CHECK(holds(text, "tunnel \x1b[1mosaka-lan\x1b[0m  \x1b[31mdown\x1b[0m: the peer is not up\n"));
  for (const auto* code : {"\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"}) {
    for (auto at = text.find(code); at != std::string::npos; at = text.find(code))
      text.erase(at, std::string_view(code).size());
  }
  CHECK(text == render_status(two_peers(), Display{}));
}

TEST_CASE("every state of a peer that is not up says why") {
  StatusReport status = two_peers();
  PeerReport& peer = status.peers[1];
  peer.reason.clear();
  peer.retry_in_s.reset();
  const auto line = [&](std::string_view state) {
    peer.state = state;
    return render_status(status, Display{});
  };
  CHECK(holds(line("admin-down"),
              "peer osaka  admin-down: taken down by `culvert down`; `culvert up osaka` brings it back\n"));
  peer.reason = "administratively down";
  CHECK(holds(line("admin-down"), "brings it back\n"));
  peer.reason = "no answer; next try in 3 s";
  peer.retry_in_s = 3;
  peer.children[0].reason = peer.reason;
  CHECK(holds(line("down"), "peer osaka  down: no answer; next try in 3 s\n"));
  CHECK(holds(line("down"), "tunnel osaka-lan  down: the peer is not up\n"));
  peer.reason.clear();
  peer.children[0].reason.clear();
  peer.retry_in_s.reset();
  CHECK(holds(line("waiting"), "peer osaka  waiting: waits for the peer to call, or for traffic\n"));
  CHECK(holds(line("connecting"), "peer osaka  connecting: no answer yet\n"));
  CHECK(holds(line("resolving"), "peer osaka  resolving: asks the DNS for its address\n"));
  peer.children[0].reason = "its selectors were refused";
  CHECK(holds(line("up"), "tunnel osaka-lan  down: its selectors were refused\n"));
  peer.children.clear();
  CHECK(holds(line("up"), "tunnel osaka-lan  down: its child SA is not up\n"));
}

TEST_CASE("what is known of NATs is said, and no more") {
  StatusReport status = two_peers();
  PeerReport& peer = status.peers[0];
  peer.nat_remote = true;
  CHECK(holds(render_status(status, Display{}), ":4500 (we are behind a NAT, and so says the peer)\n"));
  peer.nat_local = false;
  CHECK(holds(render_status(status, Display{}), ":4500 (NAT announced by the peer)\n"));
  peer.nat_remote = false;
  CHECK(holds(render_status(status, Display{}), "198.51.100.1:4500\n"));
  peer.tunnels[0].inbound_packets = 1;
  CHECK(holds(render_status(status, Display{}), "1.2 GiB in 1 packet received, 8.2 KiB in 88 packets sent\n"));
}

TEST_CASE("a gateway without peers has a status too") {
  CHECK(render_status({"0.1.0", "a.net", 5, "", 1, 0, {}, {}, {}}, Display{}) ==
        "gateway a.net  up: 0 of 0 peers up, 0 of 0 tunnels up\n"
        "  culvertd  0.1.0, for 5s, 1 worker\n");
}

TEST_CASE("text of a peer cannot steer the terminal") {
  StatusReport status = two_peers();
  status.peers[0].remote_id = "x\x1b[2J\ny";
  status.peers[1].reason = "\x1b]0;title\a";
  status.peers[1].state = "up\x1b[31m";
  const std::string text = render_status(status, Display{});
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find('\a') == std::string::npos);
  CHECK(holds(text, "x\\x1b[2J\\x0ay"));
}

TEST_CASE("any tunnel that is down is seen by status --check") {
  StatusReport status = two_peers();
  CHECK(any_tunnel_down(status));
  status.peers.pop_back();
  CHECK_FALSE(any_tunnel_down(status));
}

TEST_CASE("drops shows what happened, in columns") {
  const std::vector<DropReport> drops = {{"no_sa", "the tunnel has no SA", 0},
                                         {"replay", "sequence number seen before", 1234567},
                                         {"icv_failed", "the ICV does not hold", 2}};
  CHECK(render_drops(drops, false, Display{}) ==
        "replay      1 234 567  sequence number seen before\n"
        "icv_failed          2  the ICV does not hold\n");
  CHECK(render_drops(drops, true, Display{}) ==
        "no_sa               0  the tunnel has no SA\n"
        "replay      1 234 567  sequence number seen before\n"
        "icv_failed          2  the ICV does not hold\n");
  CHECK(render_drops({drops[0]}, false, Display{}) == "no packet was dropped\n");
  CHECK(render_drops({drops[1]}, false, Display{.colour = false, .width = 40}) ==
        "replay  1 234 567  sequence number seen\n"
        "                   before\n");
}

TEST_CASE("wrapping breaks at spaces and never inside a word") {
  CHECK(wrapped("one two three", 0, 0) == "one two three");
  CHECK(wrapped("one two three", 2, 7) == "one two\n  three");
  CHECK(wrapped("incomprehensibilities of it", 1, 5) == "incomprehensibilities\n of it");
  CHECK(wrapped("", 3, 5).empty());
}

TEST_CASE("certificates and lists are shown when somebody must do something about them, and not otherwise") {
  StatusReport status{"0.1.0", "a.net", 5, "", 1, 0, {}, {}, {}};
  status.certificates = {{"gateway.auth.certificate", "CN=a", "2027-01-01 00:00:00 UTC", 9'000'000, ""},
                         {"gateway.peer_auth.ca", "CN=x", "2026-12-01 00:00:00 UTC", 90'000, "CN=x expires in 1 day"}};
  status.revocation = {{"/etc/ca.crl", "CN=x", "2026-11-01 00:00:00 UTC", "2026-12-01 00:00:00 UTC", 2, ""},
                       {"http://b/", "CN=y", "2026-10-01 00:00:00 UTC", "", 0, "out of date"},
                       {"http://c/", "", "", "", 0, "no connection"}};
  CHECK(render_status(status, Display{}) ==
        "gateway a.net  up: 0 of 0 peers up, 0 of 0 tunnels up\n"
        "  culvertd  0.1.0, for 5s, 1 worker\n"
        "  expiry    CN=x expires in 1 day (gateway.peer_auth.ca)\n"
        "  CRL       http://b/: out of date; in use: that of 2026-10-01 00:00:00 UTC\n"
        "  CRL       http://c/: no connection\n");
}

TEST_CASE("an event is a line in local time, wraps behind its name, and stands below it where there is no room") {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  culvert::control::EventReport event;
  event.time = "2026-11-23T03:00:01.250Z";
  event.event = "tunnel-down";
  event.text = "peer b: child b down: no answer\x1b[31m from far away";
  const std::string safe = "peer b: child b down: no answer\\x1b[31m from far away";
  CHECK(render_event(event, {}) == "2026-11-23 03:00:01.250  tunnel-down      " + safe + "\n");
  CHECK(render_event(event, {.colour = false, .width = 30})
            .starts_with("2026-11-23 03:00:01.250  tunnel-down      \n    peer b:"));
  CHECK(render_event(event, {.colour = true, .width = 0}).contains("\x1b[31mtunnel-down"));
  CHECK(local_time("no time") == "no time");
}

TEST_CASE("a trace tells who said what to whom, and nothing in it colours a terminal") {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  culvert::control::TraceReport sent;
  sent.time = "2026-11-23T03:00:01.250Z";
  sent.kind = "sent";
  sent.peer = "tokyo";
  sent.remote = "192.0.2.1:500";
  sent.exchange = "IKE_SA_INIT";
  sent.bytes = 432;
  sent.tries = 3;
  sent.datagrams = 1;
  sent.text = "SA(…), nonce\x1b[31m";
  culvert::control::TraceReport note;
  note.time = "2026-11-23T03:00:02.000Z";
  note.kind = "note";
  note.peer = "tokyo";
  note.text = "no answer";
  CHECK(render_trace({sent, note}, {}) ==
        "peer tokyo\n"
        "  2026-11-23 03:00:01.250  → IKE_SA_INIT request 0, 432 bytes, sent 3 times to 192.0.2.1:500: SA(…), "
        "nonce\\x1b[31m\n"
        "  2026-11-23 03:00:02.000  * no answer\n");
  CHECK(render_trace({sent}, {.colour = false, .width = 40}).contains("03:00:01.250\n        →"));
  CHECK(render_trace({}, {}) == "nothing has been said yet\n");
}

TEST_CASE("a tunnel through which nothing passes is no tunnel that is up") {
  StatusReport status = two_peers();
  status.peers[1].state = "admin-down";
  ChildReport& child = status.peers[0].children[0];
  child.traffic = "blocked";
  child.traffic_reason = "3 probes in a row were not answered: ESP is dropped on the way, in one direction or both";
  child.probe = "echo";
  child.rtt_us = 23'400;
  child.jitter_us = 1'100;
  child.probes = 40;
  child.probes_lost = 4;
  status.peers[0].tunnels[0].state = "degraded";
  const std::string text = render_status(status, Display{});
  CHECK(holds(text, "0 of 2 tunnels up, through 1 of the others no traffic passes\n"));
  CHECK(holds(text, "  tunnel tokyo-gre  degraded: no traffic passes: 3 probes in a row were not answered: ESP is dropped"));
  CHECK(holds(text, "    probes    by echo, RTT 23.4 ms ± 1.1, loss 10 % of the last 40\n"));
  CHECK(text.find("peer tokyo") < text.find("peer osaka"));  // what was taken down on purpose needs nobody
  status.peers[1].tunnels.clear();
  CHECK(any_tunnel_down(status));
}

TEST_CASE("an idle tunnel is up, and rates are of now") {
  StatusReport status = two_peers();
  ChildReport& child = status.peers[0].children[0];
  child.traffic = "idle";
  child.probe = "none";
  std::string text = render_status(status, Display{});
  CHECK(holds(text, "  tunnel tokyo-gre  up (idle)\n"));
  CHECK(holds(text, "    probes    none: nobody behind it is known to answer"));
  CHECK_FALSE(holds(text, "    now  "));
  child.traffic = "passes";
  child.inbound_bps = 12'300'000;
  child.inbound_pps = 1'024;
  child.outbound_bps = 999;
  child.outbound_pps = 1;
  status.peers[0].downs = 2;
  status.peers[0].last_down = "no answer from 198.51.100.1";
  status.peers[0].last_down_s = 7'200;
  text = render_status(status, Display{});
  CHECK(holds(text, "  tunnel tokyo-gre  up\n"));
  CHECK(holds(text, "    now       12.3 Mbit/s (1 024 packets/s) in, 999 bit/s (1 packets/s) out\n"));
  CHECK(holds(text, "  history   down 2 times since the start, last 2h 0m ago: no answer from 198.51.100.1\n"));
}

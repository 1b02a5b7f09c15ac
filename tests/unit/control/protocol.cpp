#include "culvert/control/protocol.h"

#include <doctest/doctest.h>

using namespace culvert::control;

namespace {

ChildReport sample_child() {
  ChildReport child;
  child.name = "tokyo-gre";
  child.state = "up";
  child.inbound_spi = "0xc0ffee01";
  child.outbound_spi = "0xdeadbeef";
  child.suite = "AES-GCM-16-256 x25519 ESN";
  child.mode = "transport";
  child.encapsulation = "udp";
  child.esn = true;
  child.local = {"192.0.2.1/32[gre]"};
  child.remote = {"198.51.100.1/32[gre]"};
  child.established_s = 725;
  child.rekey_in_s = 2400;
  child.inbound_packets = 1234567;
  child.inbound_bytes = 18446744073709551615u;
  child.outbound_packets = 3;
  child.outbound_bytes = 4;
  child.traffic = "blocked";
  child.traffic_reason = "3 probes";
  child.probe = "echo";
  child.rtt_us = 20100;
  child.probes = 64;
  child.probes_lost = 6;
  child.inbound_bps = 8000;
  child.inbound_pps = 1;
  child.outbound_bps = 80;
  child.outbound_pps = 2;
  return child;
}

TunnelReport sample_tunnel() {
  TunnelReport tunnel;
  tunnel.name = "tokyo-gre";
  tunnel.device = "cv-tokyo";
  tunnel.carry = "gre";
  tunnel.state = "up";
  tunnel.child = "tokyo-gre";
  tunnel.mtu = 1390;
  tunnel.key = 42;
  tunnel.addresses = {"169.254.10.1/30", "fd00:10::1/64"};
  tunnel.routes = {"10.2.0.0/16"};
  tunnel.inbound_packets = 5;
  tunnel.inbound_bytes = 6;
  tunnel.outbound_packets = 7;
  tunnel.outbound_bytes = 8;
  return tunnel;
}

PeerReport sample_peer() {
  PeerReport peer;
  peer.name = "tokyo";
  peer.state = "up";
  peer.remote_id = "tokyo.example.net";
  peer.local_auth = "pre-shared key";
  peer.remote_auth = "certificate CN=tokyo";
  peer.local = "192.0.2.1:4500";
  peer.remote = "198.51.100.1:4500";
  peer.role = "initiator";
  peer.suite = "AES-GCM-16-256 PRF-HMAC-SHA2-384 x25519";
  peer.spi_i = "0x0102030405060708";
  peer.spi_r = "0x1112131415161718";
  peer.nat_remote = true;
  peer.mobike = true;
  peer.path_mtu = 1440;
  peer.path_mtu_state = "confirmed";
  peer.rtt_us = 8200;
  peer.ike_sas = 1;
  peer.child_sas = 2;
  peer.established_s = 8000;
  peer.rekey_in_s = 6400;
  peer.downs = 2;
  peer.last_down = "lost";
  peer.last_down_s = 60;
  peer.clients = 2;
  peer.virtual_addresses = {"10.99.0.1"};
  peer.dns = {"10.1.0.53"};
  peer.domains = {"lan"};
  peer.children = {sample_child()};
  peer.tunnels = {sample_tunnel()};
  return peer;
}

Response sample_status() {
  Response response;
  response.ok = true;
  response.status = StatusReport{"0.1.0", "paris.example.net", 86400, "vaes512", 4, 17890304, {sample_peer()}, {}, {}};
  response.status->pid = 4711;
  response.status->certificates = {{"gateway.auth.certificate", "CN=paris", "2026-11-22 17:00:00 UTC", 864000, "soon"}};
  response.status->revocation = {
      {"/etc/culvert/ca.crl", "CN=Example", "2025-11-01 00:00:00 UTC", "", 2, "out of date"}};
  response.status->uid = 997;
  response.status->capabilities = {"cap_net_admin"};
  response.status->protections = {"seccomp"};
  response.status->key_export = "root gets keys";
  return response;
}

// Written by hand from docs/control.md: this text may grow, and nothing in it may change while the schema is 1.
constexpr std::string_view golden_status =
    R"({"schema":1,"ok":true,"status":{"version":"0.1.0","id":"paris.example.net","uptime_s":86400,"pid":4711,"aead":"vaes512","workers":4,"packet_memory":17890304,"peers":[)"
    R"({"name":"tokyo","state":"up","remote_id":"tokyo.example.net","local_auth":"pre-shared key","remote_auth":"certificate CN=tokyo","local":"192.0.2.1:4500","remote":"198.51.100.1:4500",)"
    R"("role":"initiator","suite":"AES-GCM-16-256 PRF-HMAC-SHA2-384 x25519","spi_i":"0x0102030405060708","spi_r":"0x1112131415161718",)"
    R"("nat_local":false,"nat_remote":true,"mobike":true,"path_mtu":1440,"path_mtu_state":"confirmed","rtt_us":8200,"jitter_us":null,"ike_sas":1,"child_sas":2,"established_s":8000,"rekey_in_s":6400,"retry_in_s":null,"reason":"","downs":2,"last_down":"lost","last_down_s":60,"clients":2,)"
    R"("virtual_addresses":["10.99.0.1"],"dns":["10.1.0.53"],"domains":["lan"],"children":[)"
    R"({"name":"tokyo-gre","state":"up","inbound_spi":"0xc0ffee01","outbound_spi":"0xdeadbeef","suite":"AES-GCM-16-256 x25519 ESN",)"
    R"("mode":"transport","encapsulation":"udp","esn":true,"local":["192.0.2.1/32[gre]"],"remote":["198.51.100.1/32[gre]"],)"
    R"("established_s":725,"rekey_in_s":2400,"inbound_packets":1234567,"inbound_bytes":18446744073709551615,"outbound_packets":3,)"
    R"("outbound_bytes":4,"reason":"","traffic":"blocked","traffic_reason":"3 probes","probe":"echo","rtt_us":20100,"jitter_us":null,"probes":64,"probes_lost":6,)"
    R"("inbound_bps":8000,"inbound_pps":1,"outbound_bps":80,"outbound_pps":2}],"tunnels":[)"
    R"({"name":"tokyo-gre","device":"cv-tokyo","carry":"gre","state":"up","child":"tokyo-gre","mtu":1390,"key":42,)"
    R"("addresses":["169.254.10.1/30","fd00:10::1/64"],"routes":["10.2.0.0/16"],"inbound_packets":5,"inbound_bytes":6,)"
    R"("outbound_packets":7,"outbound_bytes":8}]}],"certificates":[{"key":"gateway.auth.certificate","name":"CN=paris",)"
    R"("not_after":"2026-11-22 17:00:00 UTC","expires_in_s":864000,"warning":"soon"}],"revocation":[{"source":"/etc/culvert/ca.crl",)"
    R"("issuer":"CN=Example","this_update":"2025-11-01 00:00:00 UTC","next_update":"","revoked":2,"trouble":"out of date"}],"uid":997,"capabilities":["cap_net_admin"],"protections":["seccomp"],"key_export":"root gets keys"}})";

std::string why_not(std::string_view line) {
  const auto request = parse_request(line);
  REQUIRE_FALSE(request.has_value());
  CHECK(request.error().code == culvert::Errc::malformed);
  return request.error().detail;
}

}  // namespace

TEST_CASE("the schema of a status is the documented one, member by member") {
  CHECK(to_json(sample_status()) == golden_status);
}

TEST_CASE("a status that is written and read again is the same") {
  const auto read = parse_response(golden_status);
  REQUIRE(read.has_value());
  CHECK(to_json(*read) == golden_status);
  REQUIRE(read->status.has_value());
  const PeerReport& peer = read->status->peers.at(0);
  CHECK(peer.children.at(0).inbound_bytes == 18446744073709551615u);
  CHECK(peer.tunnels.at(0).key == 42u);
  CHECK_FALSE(peer.retry_in_s.has_value());
}

TEST_CASE("what status --json and drops --json print begins with the schema") {
  CHECK(
      to_json(StatusReport{"0.1.0", "a.net", 1, "openssl", 2, 9, {}, {}, {}}) ==
      R"({"schema":1,"version":"0.1.0","id":"a.net","uptime_s":1,"pid":0,"aead":"openssl","workers":2,"packet_memory":9,"peers":[],"certificates":[],"revocation":[],"uid":0,"capabilities":[],"protections":[],"key_export":""})");
  CHECK(to_json(std::vector<DropReport>{{"replay", "seen before", 7}}) ==
        R"({"schema":1,"drops":[{"reason":"replay","text":"seen before","packets":7}]})");
}

TEST_CASE("answers other than reports have their documented form") {
  Response refusal;
  refusal.code = "not_found";
  refusal.error = "no peer \"osaka\"";
  CHECK(to_json(refusal) == R"({"schema":1,"ok":false,"code":"not_found","error":"no peer \"osaka\""})");
  Response done;
  done.ok = true;
  done.message = "tokyo: coming up";
  CHECK(to_json(done) == R"({"schema":1,"ok":true,"message":"tokyo: coming up"})");
  Response drops;
  drops.ok = true;
  drops.drops = std::vector<DropReport>{};
  CHECK(to_json(drops) == R"({"schema":1,"ok":true,"drops":[]})");
}

TEST_CASE("what a peer chose cannot break the line or colour the terminal that shows it") {
  Response response;
  response.error = "identity \x1b[31mroot\n\xff";
  const std::string line = to_json(response);
  CHECK(line.find('\n') == std::string::npos);
  CHECK(line.find('\x1b') == std::string::npos);
  const auto read = parse_response(line);
  REQUIRE(read.has_value());
  CHECK(read->error == "identity \\x1b[31mroot\\x0a\\xff");
}

TEST_CASE("users: who is connected, and a request to disconnect needs one of them") {
  Response response;
  response.ok = true;
  response.users = std::vector<UserReport>{{"ada@example.net", "warriors", "warriors/ada@example.net", {"staff"},
                                            {"10.99.0.1", "fd99::1"}, "192.0.2.1:4500", "certificate CN=ada", 7, 8, 9}};
  const std::string users =
      R"("users":[{"user":"ada@example.net","peer":"warriors","name":"warriors/ada@example.net","groups":["staff"],)"
      R"("addresses":["10.99.0.1","fd99::1"],"remote":"192.0.2.1:4500","remote_auth":"certificate CN=ada",)"
      R"("established_s":7,"inbound_bytes":8,"outbound_bytes":9}]})";
  CHECK(to_json(response) == R"({"schema":1,"ok":true,)" + users);
  CHECK(to_json(*response.users) == R"({"schema":1,)" + users);
  CHECK(to_json(*parse_response(to_json(response))) == to_json(response));
  CHECK(why_not(R"({"command":"kick"})").find("needs the user") != std::string::npos);
  CHECK(why_not(R"({"command":"users","what":"x"})").find("takes no") != std::string::npos);
}

TEST_CASE("reload and diff: their ways are told apart, and what they would change comes back as it was sent") {
  for (const char* way : {"", "dry-run", "confirmed", "revert", "1", "86400"}) {
    CAPTURE(way);
    CHECK(parse_request(to_json(Request{"reload", "", way})).has_value());
  }
  for (const char* way : {"0", "86401", "-1", "60s", "99999999999", "rollback", " "}) {
    CAPTURE(way);
    CHECK_FALSE(parse_request(to_json(Request{"reload", "", way})).has_value());
  }
  CHECK(parse_request(R"({"command":"diff"})").has_value());
  CHECK(parse_request(R"({"command":"diff","what":"/etc/culvert/next.toml"})").has_value());
  CHECK(why_not(R"({"command":"diff","what":"next.toml"})").find("whole path") != std::string::npos);
  CHECK_FALSE(parse_request(R"({"command":"reload","peer":"tokyo"})").has_value());
  Response response;
  response.ok = true;
  response.changes.emplace().push_back({"changed", "peer.tokyo.start", "\"always\"", "\"wait\"", "in place", "~ it"});
  const auto again = parse_response(to_json(response));
  REQUIRE((again && again->changes && again->changes->size() == 1));
  CHECK(again->changes->front().key == "peer.tokyo.start");
  CHECK(again->changes->front().after == "\"wait\"");
  Response refused;
  refused.code = "invalid";
  refused.error = "2 mistakes";
  refused.mistakes = {"gw.toml:1:2: a: b", "gw.toml:3:4: c: d"};
  const auto told = parse_response(to_json(refused));
  REQUIRE(told);
  CHECK(told->mistakes == refused.mistakes);
}

TEST_CASE("capture and keys: what is asked for and answered comes back as it was sent") {
  CHECK(parse_request(R"({"command":"capture"})").has_value());
  CHECK(parse_request(R"({"command":"capture","peer":"tokyo"})")->peer == "tokyo");
  CHECK_FALSE(parse_request(R"({"command":"capture","what":"x"})").has_value());
  for (const char* what : {"1", "3600", "more", "stop"})
    CHECK(parse_request(to_json(Request{"keys", "tokyo", what})).has_value());
  for (const char* what : {"", "0", "3601", "-1", "60s", "all"})
    CHECK_FALSE(parse_request(to_json(Request{"keys", "", what})).has_value());
  CHECK_FALSE(parse_request(R"({"command":"keys","what":"60","by":"root"})").has_value());
  Response response;
  response.ok = true;
  response.capture = CaptureReport{{{"tokyo-lan", "cv0", "tokyo"}}, "esp or udp port 500", true};
  response.keys = {"uat:esp_sa:x"};
  const std::string line =
      R"({"schema":1,"ok":true,"capture":{"devices":[{"tunnel":"tokyo-lan","device":"cv0","peer":"tokyo"}],)"
      R"("outer":"esp or udp port 500","allow_key_export":true},"keys":["uat:esp_sa:x"]})";
  CHECK(to_json(response) == line);
  CHECK(to_json(*parse_response(line)) == line);
}

TEST_CASE("a request is read as it was written") {
  for (const Request& request :
       {Request{"status", "", ""}, Request{"drops", "", ""}, Request{"up", "tokyo", ""}, Request{"down", "tokyo", ""},
        Request{"rekey", "tokyo", "children"}, Request{"redirect", "", "gw.example.net"}, Request{"users", "", ""},
        Request{"kick", "", "ada@example.net"}}) {
    const auto read = parse_request(to_json(request));
    REQUIRE(read.has_value());
    CHECK(read->command == request.command);
    CHECK(read->peer == request.peer);
    CHECK(read->what == request.what);
  }
  const auto both = parse_request(R"({"command":"rekey","peer":"tokyo"})");
  REQUIRE(both.has_value());
  CHECK(both->what == "both");
}

TEST_CASE("a request that is not exactly one of the documented ones is refused") {
  CHECK(why_not("").find("not JSON") != std::string::npos);
  CHECK(why_not("hello").find("not JSON") != std::string::npos);
  CHECK(why_not(R"({"command":"status"} x)").find("not JSON") != std::string::npos);
  CHECK(why_not(R"({"command":"status",})").find("not JSON") != std::string::npos);
  CHECK(why_not("[]").find("expected a JSON object") != std::string::npos);
  CHECK(why_not("{}").find("\"command\" must be") != std::string::npos);
  CHECK(why_not(R"({"command":"halt"})").find("\"command\" must be") != std::string::npos);
  CHECK(why_not(R"({"command":7})").find("must be a string") != std::string::npos);
  CHECK(why_not(R"({"command":"status","verbose":true})").find("unknown member \"verbose\"") != std::string::npos);
  CHECK(why_not(R"({"command":"status","peer":"tokyo"})").find("takes no \"peer\"") != std::string::npos);
  CHECK(why_not(R"({"command":"up"})").find("needs a \"peer\"") != std::string::npos);
  CHECK(why_not(R"({"command":"up","peer":"tokyo","what":"ike"})").find("takes no \"what\"") != std::string::npos);
  CHECK(why_not(R"({"command":"redirect"})").find("needs the gateway") != std::string::npos);
  CHECK(why_not(R"({"command":"rekey","peer":"tokyo","what":"all"})").find("\"what\" must be") != std::string::npos);
  CHECK(why_not(R"({"command":"up","peer":")" + std::string(65, 'x') + "\"}").find("longer than a name") !=
        std::string::npos);
  CHECK(why_not("{\"command\":\"\xff\"}").find("not JSON") != std::string::npos);
}

TEST_CASE("a request that is long or deep costs little and is refused") {
  CHECK(why_not(std::string(4097, ' ')).find("longer than 4096 bytes") != std::string::npos);
  CHECK(why_not(std::string(4096, '[')).find("not JSON") != std::string::npos);
  std::string deep;
  for (int i = 0; i < 800; ++i) deep += "{\"a\":";
  CHECK(why_not(deep).find("not JSON") != std::string::npos);
}

TEST_CASE("every beginning of a request that is not all of it is refused") {
  const std::string whole = R"({"command":"rekey","peer":"tokyo","what":"both"})";
  for (std::size_t len = 0; len < whole.size(); ++len) CHECK_FALSE(parse_request(whole.substr(0, len)).has_value());
}

TEST_CASE("a response of a newer daemon is read, as far as it is understood") {
  const auto read = parse_response(
      R"({"schema":1,"ok":true,"new":{"a":[1]},"status":{"version":"9.0","workers":-1,"uptime_s":"long","colour":"blue",)"
      R"("peers":[{"name":"tokyo","tunnels":[7,{"name":"t","key":4294967296,"mtu":1.5,"routes":["10.0.0.0/8",5]}]},null]}})");
  REQUIRE(read.has_value());
  REQUIRE(read->status.has_value());
  CHECK(read->status->version == "9.0");
  CHECK(read->status->workers == 0);
  CHECK(read->status->uptime_s == 0);
  REQUIRE(read->status->peers.size() == 1);
  const auto& tunnels = read->status->peers[0].tunnels;
  REQUIRE(tunnels.size() == 1);
  CHECK_FALSE(tunnels[0].key.has_value());
  CHECK(tunnels[0].mtu == 0);
  CHECK(tunnels[0].routes == std::vector<std::string>{"10.0.0.0/8"});
}

TEST_CASE("a response of another schema, or none at all, is refused") {
  CHECK(parse_response(R"({"schema":2,"ok":true})").error().detail == "the daemon speaks schema 2, this command 1");
  CHECK_FALSE(parse_response("{}").has_value());
  CHECK_FALSE(parse_response("SSH-2.0-OpenSSH_9.2").has_value());
  CHECK_FALSE(parse_response("").has_value());
}

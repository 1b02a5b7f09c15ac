// NAT detection, the move to port 4500, what each encapsulation preference makes of it, rebinding.
#include <doctest/doctest.h>

#include "simulation.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

Endpoint endpoint(const char* address, std::uint16_t port) {
  return {*IpAddress::parse(address), port};
}

struct Pair : Simulation {
  Pair() {
    config(b).start = StartMode::wait;
    record_wire = true;
    use_debug_keys();
  }
  /// Side a is 192.168.1.9 behind 203.0.113.7.
  void behind_nat() {
    node(a).inner = endpoint("192.168.1.9", 500);
    config(b).addresses.clear();
    put_behind_nat(endpoint("203.0.113.7", 500), endpoint("203.0.113.7", 60123));
  }
  bool comes_up() {
    start();
    return run_until([&] { return both_up(); }, 5s);
  }
  const ChildSaKeys& keys(Side side) { return node(side).plane.begin()->second.keys; }
};

}  // namespace

TEST_CASE("without a NAT automatic encapsulation stays on port 500 and uses raw ESP") {
  Pair simulation;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.keys(a).encapsulation == EspEncapsulation::raw);
  CHECK(simulation.keys(b).encapsulation == EspEncapsulation::raw);
  for (const Datagram& datagram : simulation.wire) CHECK(datagram.path.local.port == 500);
  CHECK_FALSE(simulation.status(a).nat_local);
  CHECK_FALSE(simulation.status(a).nat_remote);
}

TEST_CASE("encapsulation udp announces a NAT that is not there, and both float to 4500 with IKE_AUTH") {
  Pair simulation;
  SUBCASE("the initiator wants it") {
    simulation.config(a).encapsulation = EncapsulationPreference::udp;
  }
  SUBCASE("the responder wants it") {
    simulation.config(b).encapsulation = EncapsulationPreference::udp;
  }
  SUBCASE("both want it") {
    simulation.config(a).encapsulation = simulation.config(b).encapsulation = EncapsulationPreference::udp;
  }
  REQUIRE(simulation.comes_up());
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.keys(a).encapsulation == EspEncapsulation::udp);
  CHECK(simulation.keys(a).local_endpoint == endpoint("192.0.2.1", 4500));
  CHECK(simulation.keys(a).remote_endpoint == endpoint("192.0.2.2", 4500));
  CHECK(simulation.keys(b).encapsulation == EspEncapsulation::udp);
  CHECK(simulation.keys(b).remote_endpoint == endpoint("192.0.2.1", 4500));
  REQUIRE(simulation.wire.size() == 4);
  CHECK(simulation.wire[0].path.remote.port == 500);
  CHECK(simulation.wire[2].path.local.port == 4500);
  CHECK(simulation.wire[2].path.remote.port == 4500);
  CHECK(simulation.wire[3].path.local.port == 4500);  // answered from where the request went to
}

// The ports of RFC 7296 §2.23 are those that the configuration of each end names.
TEST_CASE("IKE_AUTH and ESP go from the configured NAT port of the one side to that of the other") {
  Pair simulation;
  std::uint16_t nat_a = 14500, nat_b = 24500;
  SUBCASE("both have one of their own") {}
  SUBCASE("the initiator's is the usual one") {
    nat_a = 4500;
  }
  SUBCASE("the responder's is the usual one") {
    nat_b = 4500;
  }
  SUBCASE("the initiator starts there at once") {
    simulation.config(a).port = nat_b;
    simulation.node(b).address.port = nat_b;
  }
  simulation.node(a).options.nat_port = simulation.config(b).nat_port = nat_a;
  simulation.node(b).options.nat_port = simulation.config(a).nat_port = nat_b;
  simulation.config(a).encapsulation = EncapsulationPreference::udp;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.keys(a).encapsulation == EspEncapsulation::udp);
  CHECK(simulation.keys(a).local_endpoint == endpoint("192.0.2.1", nat_a));
  CHECK(simulation.keys(a).remote_endpoint == endpoint("192.0.2.2", nat_b));
  CHECK(simulation.keys(b).encapsulation == EspEncapsulation::udp);
  CHECK(simulation.keys(b).local_endpoint == endpoint("192.0.2.2", nat_b));
  CHECK(simulation.keys(b).remote_endpoint == endpoint("192.0.2.1", nat_a));
  // What goes to a NAT port comes from one: the marker is there for both or for neither.
  for (const Datagram& datagram : simulation.wire) {
    const Side from = datagram.from;
    CHECK((datagram.path.local.port == simulation.node(from).options.nat_port) ==
          (datagram.path.remote.port == simulation.config(from).nat_port));
  }
}

TEST_CASE("an initiator behind a NAT is found out, floats, and sends keepalives; the responder uses the mapped port") {
  Pair simulation;
  simulation.behind_nat();
  REQUIRE(simulation.comes_up());
  CHECK(simulation.status(a).nat_local);
  CHECK_FALSE(simulation.status(a).nat_remote);
  CHECK(simulation.status(b).nat_remote);
  CHECK(simulation.keys(b).remote_endpoint == endpoint("203.0.113.7", 60123));
  CHECK(simulation.keys(a).local_endpoint == endpoint("192.168.1.9", 4500));
  CHECK(simulation.keys(a).encapsulation == EspEncapsulation::udp);
  simulation.run_for(61s);
  CHECK(simulation.node(a).keepalives == 3);  // one in 20 s
  CHECK(simulation.node(b).keepalives == 0);
}

// RFC 7296 §2.23.1: each end puts in the address that it sees.
TEST_CASE("transport mode works through a NAT: each side installs the addresses that it sees") {
  Pair simulation;
  simulation.behind_nat();
  REQUIRE(simulation.comes_up());
  CHECK(simulation.keys(a).mode == EspMode::transport);
  CHECK(simulation.keys(b).mode == EspMode::transport);
  CHECK(simulation.keys(a).local.front().first == *IpAddress::parse("192.168.1.9"));
  CHECK(simulation.keys(a).remote.front().first == *IpAddress::parse("192.0.2.2"));
  CHECK(simulation.keys(b).remote.front().first == *IpAddress::parse("203.0.113.7"));
  CHECK(simulation.keys(b).local.front().first == *IpAddress::parse("192.0.2.2"));
  const auto answer = simulation.open(simulation.wire[3]);
  REQUIRE(answer);
  CHECK(answer->find_ts(true)->selectors.front().first ==
        *IpAddress::parse("192.168.1.9"));  // back in the peer's words
}

TEST_CASE("rekeys from both sides work through a NAT in transport mode") {
  Pair simulation;
  simulation.behind_nat();
  REQUIRE(simulation.comes_up());
  for (const Side side : {a, b}) {
    simulation.command(side, simulation.node(side).ike->rekey(simulation.now(), simulation.config(side).name,
                                                              IkeEndpoint::RekeyWhat::both));
    simulation.run_for(10s);
    CHECK(simulation.disagreement().value_or("") == "");
    CHECK(simulation.keys(b).mode == EspMode::transport);
    CHECK(simulation.keys(b).encapsulation == EspEncapsulation::udp);
  }
}

TEST_CASE("tunnel mode between the gateways' own addresses works through a NAT") {
  Pair simulation;
  simulation.behind_nat();
  for (const Side side : {a, b}) simulation.config(side).children.front().mode = ModePreference::tunnel;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.keys(a).mode == EspMode::tunnel);
  CHECK(simulation.keys(a).local == simulation.keys(b).remote);
  CHECK(simulation.keys(b).remote.front().first == *IpAddress::parse("192.168.1.9"));
}

TEST_CASE("raw encapsulation and a NAT on the path: refused in clear words") {
  Pair simulation;
  simulation.behind_nat();
  SUBCASE("the initiator") {
    simulation.config(a).encapsulation = EncapsulationPreference::raw;
    CHECK_FALSE(simulation.comes_up());
    CHECK(simulation.reported(a, "encapsulation = \"raw\" forbids UDP"));
    CHECK(simulation.status(a).reason.contains("NAT"));
  }
  SUBCASE("the responder") {
    simulation.config(b).encapsulation = EncapsulationPreference::raw;
    CHECK_FALSE(simulation.comes_up());
    CHECK(simulation.reported(b, "encapsulation = \"raw\" forbids UDP"));
    CHECK(simulation.node(b).plane.empty());
  }
}

TEST_CASE("the side that is not behind the NAT follows a new mapping, on a fresh authenticated message alone") {
  Pair simulation;
  simulation.behind_nat();
  REQUIRE(simulation.comes_up());
  simulation.run_for(1s);
  const Endpoint before = simulation.status(b).path.remote;
  const Endpoint moved = endpoint("203.0.113.7", 61999);

  // A forged message from elsewhere, and an old one again: nothing moves.
  Datagram forged = simulation.forge(a, ExchangeType::informational, false, 2, {});
  forged.bytes.back() ^= 1;
  simulation.put_behind_nat(endpoint("203.0.113.7", 500), moved);
  simulation.inject(forged);
  CHECK(simulation.status(b).path.remote == before);
  simulation.inject(simulation.wire[2]);  // the IKE_AUTH request, byte for byte
  CHECK(simulation.status(b).path.remote == before);

  simulation.perform(a, simulation.node(a).ike->on_hint(simulation.now(),
                                                        simulation.status(a).path));  // makes a send a liveness check
  simulation.run_for(1s);
  CHECK(simulation.status(b).path.remote == moved);
  CHECK(simulation.node(b).moves == 1);
  CHECK(simulation.keys(b).remote_endpoint == moved);
}

TEST_CASE("who has moved and answers an older request from where he was asked is not followed back") {
  Pair simulation;
  simulation.behind_nat();
  REQUIRE(simulation.comes_up());
  simulation.run_for(1s);
  const Endpoint before = simulation.status(b).path.remote;
  const Endpoint moved = endpoint("203.0.113.7", 61999);
  simulation.perform(b, simulation.node(b).ike->on_hint(simulation.now(), simulation.status(b).path));  // request 0

  const auto from = [&](const Endpoint& mapping, bool response, std::uint32_t message_id) {
    simulation.put_behind_nat(endpoint("203.0.113.7", 500), mapping);
    simulation.inject(simulation.forge(a, ExchangeType::informational, response, message_id, {}));
  };
  from(moved, false, 2);
  CHECK(simulation.status(b).path.remote == moved);
  SUBCASE("from where he was asked") {
    from(before, true, 0);
    CHECK(simulation.status(b).path.remote == moved);
    CHECK(simulation.node(b).moves == 1);
  }
  SUBCASE("from anywhere else he is: his NAT has changed its mapping meanwhile") {
    const Endpoint elsewhere = endpoint("203.0.113.7", 62000);
    from(elsewhere, true, 0);
    CHECK(simulation.status(b).path.remote == elsewhere);
  }
}

TEST_CASE("the side behind the NAT does not follow, even when the other side says that it is behind one, too") {
  Pair simulation;
  simulation.behind_nat();
  SUBCASE("no NAT there") {}
  SUBCASE("an announced one") {
    simulation.config(b).encapsulation = EncapsulationPreference::udp;
  }
  REQUIRE(simulation.comes_up());
  const Path before = simulation.status(a).path;
  Datagram elsewhere = simulation.forge(b, ExchangeType::informational, false, 0, {});
  elsewhere.path.local = endpoint("198.51.100.200", 4500);
  CHECK(simulation.inject(elsewhere).size() == 1);
  CHECK(simulation.status(a).path == before);
  CHECK(simulation.node(a).moves == 0);
}

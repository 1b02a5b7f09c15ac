// MOBIKE, RFC 4555: addresses that change, who decides, what is verified, and what nobody may cause.
#include <doctest/doctest.h>

#include <algorithm>

#include "mobility.h"
#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}
Endpoint endpoint(const char* address, std::uint16_t port) {
  return {ip(address), port};
}

/// a at 192.0.2.1 initiates to b at 192.0.2.2, which takes it from anywhere.
struct Mobile : OneSided {
  Mobile() {
    for (const Side side : {a, b}) {
      config(side).mobike = true;
      config(side).liveness = 10s;
      node(side).homes = {node(side).inner.address};
    }
    config(b).addresses.clear();
  }
  const ChildSaKeys& keys(Side side) { return node(side).plane.begin()->second.keys; }
  [[nodiscard]] bool all_at(const IpAddress& of_a, const IpAddress& of_b) {
    for (const Side side : {a, b}) {
      const IpAddress& here = side == a ? of_a : of_b;
      const IpAddress& there = side == a ? of_b : of_a;
      if (status(side).path.local.address != here || status(side).path.remote.address != there) return false;
      for (const auto& [spi, sa] : node(side).plane) {
        if (sa.keys.local_endpoint.address != here || sa.keys.remote_endpoint.address != there) return false;
      }
    }
    return true;
  }
  std::vector<Message> updates(Side from) {
    std::vector<Message> found = requests_of(messages(from), ExchangeType::informational);
    std::erase_if(found, [](const Message& message) { return !message.find_notify(NotifyType::update_sa_addresses); });
    return found;
  }
  void probe(Side side) { perform(side, node(side).ike->on_hint(now(), status(side).path)); }
};

}  // namespace

TEST_CASE("both announce MOBIKE and their other addresses, and go to port 4500 though there is no NAT") {
  Mobile simulation;
  simulation.node(b).homes = {ip("192.0.2.2"), ip("198.51.100.2")};
  bool named = false;
  SUBCASE("those that the configuration names: in IKE_AUTH") {
    simulation.config(b).local_addresses = simulation.node(b).homes;
    named = true;
  }
  SUBCASE("those that the kernel has: as soon as they are known") {}
  REQUIRE(simulation.comes_up());
  simulation.run_for(2s);
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.status(a).path.local.port == 4500);
  CHECK(simulation.status(a).path.remote.port == 4500);
  CHECK(simulation.keys(a).encapsulation == EspEncapsulation::raw);
  CHECK(simulation.keys(b).encapsulation == EspEncapsulation::raw);
  const auto answer = simulation.open(simulation.wire[3]);
  REQUIRE(answer);
  CHECK(answer->find_notify(NotifyType::mobike_supported));
  const auto all = simulation.messages(b);
  const auto listed = std::ranges::find_if(all, [](const Message& message) { return read_addresses(message).listed; });
  REQUIRE(listed != all.end());
  CHECK(read_addresses(*listed).additional == std::vector{ip("198.51.100.2")});
  CHECK((listed->header.exchange == ExchangeType::ike_auth) == named);
  CHECK(simulation.wire.size() == (named ? 4 : 6));  // said once
}

TEST_CASE("without MOBIKE at either end nobody speaks of addresses, and IKE stays on port 500") {
  Mobile simulation;
  simulation.config(a).mobike = false;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.status(a).path.local.port == 500);
  for (const Message& message : simulation.messages()) CHECK_FALSE(message.find_notify(NotifyType::mobike_supported));
  Mobile other;
  other.config(b).mobike = false;
  REQUIRE(other.comes_up());
  CHECK_FALSE(other.messages(b).back().find_notify(NotifyType::mobike_supported));
}

// RFC 4555 §3.5, §3.7.
//   a (192.0.2.9): HDR, SK {N(UPDATE_SA_ADDRESSES), N(NAT_DETECTION_*), N(COOKIE2)}  -->
//                  <--  HDR, SK {N(NAT_DETECTION_*), N(COOKIE2)}
//                  <--  HDR, SK {N(COOKIE2)}
//                  HDR, SK {N(COOKIE2)}                                              -->   b sends ESP there from here
//                  on
TEST_CASE("the initiator's address changes: its ESP leaves from there at once, the responder's once it is verified") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  simulation.wire.clear();
  const IpAddress old = ip("192.0.2.1"), fresh = ip("192.0.2.9");
  simulation.rehome(a, {fresh});
  CHECK(simulation.keys(a).local_endpoint.address == fresh);
  simulation.run_for(11ms);  // the update is there, and answered; the check is on its way
  CHECK(simulation.status(b).path.remote.address == fresh);
  CHECK(simulation.keys(b).remote_endpoint.address == old);
  simulation.run_for(100ms);
  CHECK(simulation.all_at(fresh, ip("192.0.2.2")));
  REQUIRE(simulation.wire.size() == 4);
  const Message update = *simulation.open(simulation.wire[0]), answer = *simulation.open(simulation.wire[1]);
  const Message check = *simulation.open(simulation.wire[2]), proof = *simulation.open(simulation.wire[3]);
  CHECK(update.find_notify(NotifyType::update_sa_addresses)->data.empty());
  CHECK(update.find_notify(NotifyType::nat_detection_source_ip));
  CHECK(answer.find_notify(NotifyType::nat_detection_destination_ip));
  CHECK(answer.find_notify(NotifyType::cookie2)->data == update.find_notify(NotifyType::cookie2)->data);
  CHECK_FALSE(check.header.response);
  CHECK(proof.find_notify(NotifyType::cookie2)->data == check.find_notify(NotifyType::cookie2)->data);
  CHECK(simulation.keys(b).encapsulation == EspEncapsulation::raw);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("an address that the responder's configuration names needs no check") {
  Mobile simulation;
  simulation.config(b).addresses = {"192.0.2.1", "192.0.2.9"};
  REQUIRE(simulation.comes_up());
  simulation.wire.clear();
  simulation.rehome(a, {ip("192.0.2.9")});
  simulation.run_for(11ms);
  CHECK(simulation.all_at(ip("192.0.2.9"), ip("192.0.2.2")));
  CHECK(simulation.wire.size() == 2);
}

TEST_CASE(
    "from an address that the responder's configuration rules out: UNACCEPTABLE_ADDRESSES, and nothing moves there") {
  Mobile simulation;
  simulation.config(b).addresses = {"192.0.2.1"};
  simulation.node(a).homes = {ip("192.0.2.1"), ip("192.0.2.5")};
  REQUIRE(simulation.comes_up());
  simulation.rehome(a, {ip("192.0.2.5"), ip("192.0.2.1")});
  simulation.run_for(1s);
  CHECK(simulation.reported(b, "192.0.2.5"));
  CHECK(simulation.reported(a, "UNACCEPTABLE_ADDRESSES"));
  CHECK(simulation.all_at(ip("192.0.2.1"), ip("192.0.2.2")));  // back to where it may be
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("the responder does not move ESP to an address that does not answer") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  const IpAddress victim = ip("203.0.113.80");
  // An authenticated peer with a spoofed source: RFC 4555 §3.7, third-party bombing.
  Datagram update =
      simulation.forge(a, ExchangeType::informational, false, 2,
                       {notify(NotifyType::update_sa_addresses), notify(NotifyType::cookie2, Bytes(16, 1))});
  update.path.local.address = victim;
  simulation.node(a).homes.push_back(victim);
  simulation.deliver(update);
  simulation.node(a).homes.pop_back();
  simulation.wire.clear();
  simulation.run_for(30s);
  CHECK(simulation.keys(b).remote_endpoint.address == ip("192.0.2.1"));
  std::size_t bytes = 0;
  for (const Datagram& datagram : simulation.wire) {
    if (datagram.from == b && datagram.path.remote.address == victim) bytes += datagram.bytes.size();
  }
  CHECK(bytes < 1500);  // a few copies of one small request
}

TEST_CASE("what nobody authenticated, or what is old, moves nothing") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  const IpAddress elsewhere = ip("203.0.113.80");
  Datagram forged =
      simulation.forge(a, ExchangeType::informational, false, 2, {notify(NotifyType::update_sa_addresses)});
  forged.bytes.back() ^= 1;
  forged.path.local.address = elsewhere;
  simulation.node(a).homes.push_back(elsewhere);
  CHECK(simulation.inject(forged).empty());
  // The genuine update of a real move, byte for byte, from another place: the cached answer, and nothing else.
  simulation.wire.clear();
  simulation.rehome(a, {ip("192.0.2.9"), elsewhere});
  simulation.run_for(1s);
  Datagram replayed = simulation.wire.front();
  replayed.path.local.address = elsewhere;
  [[maybe_unused]] const auto answers = simulation.inject(replayed);
  simulation.run_for(1s);
  CHECK(simulation.all_at(ip("192.0.2.9"), ip("192.0.2.2")));
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("with MOBIKE an authenticated message from elsewhere that is no update moves nothing: it may test a path") {
  Mobile simulation;
  simulation.config(a).encapsulation = EncapsulationPreference::udp;  // looks like a NAT, which would be followed
  REQUIRE(simulation.comes_up());
  Datagram test = simulation.forge(a, ExchangeType::informational, false, 2, {});
  test.path.local.address = ip("192.0.2.77");
  simulation.node(a).homes.push_back(ip("192.0.2.77"));
  const auto answers = simulation.inject(test);
  REQUIRE(answers.size() == 1);
  CHECK(answers.front().path.remote.address == ip("192.0.2.77"));
  CHECK(simulation.status(b).path.remote.address == ip("192.0.2.1"));
}

TEST_CASE("the responder's updates are not for it to send: the initiator does not follow them") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  Datagram update =
      simulation.forge(b, ExchangeType::informational, false, 0, {notify(NotifyType::update_sa_addresses)});
  update.path.local.address = ip("192.0.2.66");
  simulation.node(b).homes.push_back(ip("192.0.2.66"));
  CHECK(simulation.inject(update).size() == 1);
  CHECK(simulation.status(a).path.remote.address == ip("192.0.2.2"));
  CHECK(simulation.keys(a).remote_endpoint.address == ip("192.0.2.2"));
}

TEST_CASE("COOKIE2 that comes back changed, or not at all, ends the IKE SA") {
  Mobile simulation;
  std::vector<Payload> answer;
  SUBCASE("changed") {
    answer = {notify(NotifyType::cookie2, Bytes(16, 7))};
  }
  SUBCASE("missing") {}
  REQUIRE(simulation.comes_up());
  const IkeSpi before = simulation.status(a).spi_i;
  simulation.filter = [&](const Datagram& datagram) { return datagram.from == a; };  // b's own answers are lost
  simulation.rehome(a, {ip("192.0.2.9")});
  simulation.run_for(20ms);
  simulation.filter = nullptr;
  Datagram forged = simulation.forge(b, ExchangeType::informational, true, 2, answer);
  simulation.deliver(forged);
  CHECK(simulation.reported(a, "COOKIE2"));
  CHECK((!simulation.established(a) || simulation.status(a).spi_i != before));
  CHECK(simulation.node(a).plane.empty());
}

TEST_CASE("the responder ends the IKE SA when its return routability check is answered with another COOKIE2") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  simulation.filter = [&](const Datagram& datagram) {
    const auto message = simulation.open(datagram);
    return !(datagram.from == a && message && message->header.response);
  };
  simulation.rehome(a, {ip("192.0.2.9")});
  simulation.run_for(20ms);
  simulation.deliver(
      simulation.forge(a, ExchangeType::informational, true, 0, {notify(NotifyType::cookie2, Bytes(16, 7))}));
  CHECK(simulation.reported(b, "COOKIE2"));
  CHECK_FALSE(simulation.established(b));
}

TEST_CASE("any INFORMATIONAL request with COOKIE2 gets it back as it is, with a length that is allowed") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  const auto echoed = [&](std::uint32_t id, std::size_t len) {
    const auto answers = simulation.inject(
        simulation.forge(a, ExchangeType::informational, false, id, {notify(NotifyType::cookie2, Bytes(len, 3))}));
    const auto answer = simulation.open(answers.at(0));
    const NotifyPayload* cookie = answer->find_notify(NotifyType::cookie2);
    return cookie ? cookie->data.size() : std::size_t{0};
  };
  CHECK(echoed(2, 8) == 8);  // §4.2.5: 8 to 64
  CHECK(echoed(3, 64) == 64);
  CHECK(echoed(4, 7) == 0);
  CHECK(echoed(5, 65) == 0);
}

TEST_CASE("a second move before the first is answered: the last one counts, on both sides") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  for (const char* address : {"192.0.2.9", "192.0.2.10", "192.0.2.11"}) {
    simulation.rehome(a, {ip(address)});
    simulation.run_for(7ms);
  }
  simulation.run_for(5s);
  CHECK(simulation.all_at(ip("192.0.2.11"), ip("192.0.2.2")));
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("a move in the middle of a rekey from either side: the exchange is finished by the new path") {
  using What = IkeEndpoint::RekeyWhat;
  for (const What what : {What::children, What::ike, What::both}) {
    for (const Side first : {a, b}) {
      for (int delay = 0; delay < 24; delay += 3) {
        CAPTURE(static_cast<int>(what));
        CAPTURE(static_cast<int>(first));
        CAPTURE(delay);
        Mobile simulation;
        if (delay % 2) simulation.config(a).encapsulation = EncapsulationPreference::udp;
        REQUIRE(simulation.comes_up());
        for (const Side side : {first, other(first)}) {
          simulation.command(side,
                             simulation.node(side).ike->rekey(simulation.now(), simulation.config(side).name, what));
        }
        simulation.run_for(std::chrono::milliseconds(delay));
        simulation.rehome(a, {ip("192.0.2.9")});
        simulation.run_for(60s);
        CHECK(simulation.disagreement().value_or("") == "");
        CHECK(simulation.all_at(ip("192.0.2.9"), ip("192.0.2.2")));
      }
    }
  }
}

TEST_CASE("after a move a rekey from either side keeps the child's selectors") {
  Mobile simulation;
  SUBCASE("transport mode") {}
  SUBCASE("tunnel mode") {
    for (const Side side : {a, b}) simulation.config(side).children.front().mode = ModePreference::tunnel;
  }
  REQUIRE(simulation.comes_up());
  const auto local = simulation.keys(a).local;
  simulation.rehome(a, {ip("192.0.2.9")});
  simulation.run_for(1s);
  for (const Side side : {a, b}) {
    const Spi before = simulation.node(a).plane.begin()->first;
    simulation.command(side, simulation.node(side).ike->rekey(simulation.now(), simulation.config(side).name,
                                                              IkeEndpoint::RekeyWhat::both));
    simulation.run_for(10s);
    CHECK(simulation.disagreement().value_or("") == "");
    CHECK(simulation.node(a).plane.begin()->first != before);
    CHECK(simulation.keys(a).local == local);
    CHECK(simulation.all_at(ip("192.0.2.9"), ip("192.0.2.2")));
  }
}

TEST_CASE("the responder's address changes: it tells from its new address, and the initiator moves there") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  simulation.wire.clear();
  simulation.rehome(b, {ip("198.51.100.2")});
  simulation.run_for(1s);
  CHECK(simulation.all_at(ip("192.0.2.1"), ip("198.51.100.2")));
  CHECK(simulation.updates(b).empty());
  CHECK(simulation.updates(a).size() == 1);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("the initiator does not send ESP to an address that the responder names and that does not answer") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  const IpAddress victim = ip("203.0.113.80");
  // b lies: its only address is said to be the victim's.
  Bytes data(victim.bytes().begin(), victim.bytes().end());
  Datagram list =
      simulation.forge(b, ExchangeType::informational, false, 0, {notify(NotifyType::additional_ip4_address, data)});
  list.path.local.address = victim;
  simulation.node(b).homes.push_back(victim);
  simulation.deliver(list);
  simulation.node(b).homes.pop_back();
  simulation.run_for(2s);
  CHECK(simulation.keys(a).remote_endpoint.address == ip("192.0.2.2"));
}

TEST_CASE("addresses move from IPv4 to IPv6 and back") {
  Mobile simulation;
  simulation.config(a).addresses = {"192.0.2.2", "2001:db8::2"};
  for (const Side side : {a, b}) simulation.config(side).children.front().mode = ModePreference::tunnel;
  simulation.node(b).homes = {ip("192.0.2.2"), ip("2001:db8::2")};
  simulation.node(a).resolved = {{{endpoint("192.0.2.1", 500), endpoint("192.0.2.2", 500)}}};
  REQUIRE(simulation.comes_up());
  simulation.rehome(a, {ip("2001:db8::1")});
  simulation.run_for(1s);
  CHECK(simulation.all_at(ip("2001:db8::1"), ip("2001:db8::2")));
  CHECK(simulation.disagreement().value_or("") == "");
  simulation.rehome(a, {ip("192.0.2.1")});
  simulation.run_for(1s);
  CHECK(simulation.all_at(ip("192.0.2.1"), ip("192.0.2.2")));
  CHECK(simulation.disagreement().value_or("") == "");
}

// RFC 4555 §3.10.
TEST_CASE(
    "the present path dies: another one is found before the IKE SA is given up, and the preferred one taken again "
    "later") {
  Mobile simulation;
  simulation.config(a).addresses = {"192.0.2.2", "198.51.100.2"};
  simulation.node(a).resolved = {{{endpoint("192.0.2.1", 500), endpoint("192.0.2.2", 500)},
                                  {endpoint("192.0.2.1", 500), endpoint("198.51.100.2", 500)}}};
  simulation.node(b).homes = {ip("192.0.2.2"), ip("198.51.100.2")};
  REQUIRE(simulation.comes_up());
  const IkeSpi ike = simulation.status(a).spi_i;
  simulation.broken = [](const IpAddress& from, const IpAddress& to) {
    return from == ip("192.0.2.2") || to == ip("192.0.2.2");
  };
  REQUIRE(simulation.run_until([&] { return simulation.all_at(ip("192.0.2.1"), ip("198.51.100.2")); }, 20s));
  CHECK(simulation.status(a).spi_i == ike);
  const auto moves = simulation.node(a).moves;
  simulation.run_for(60s);  // tests of the preferred path go unanswered and end nothing
  CHECK(simulation.status(a).spi_i == ike);
  CHECK(simulation.node(a).moves == moves);
  simulation.broken = nullptr;
  REQUIRE(simulation.run_until([&] { return simulation.all_at(ip("192.0.2.1"), ip("192.0.2.2")); }, 400s));
  CHECK(simulation.status(a).spi_i == ike);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("the initiator's own path dies: it goes on from its other address") {
  Mobile simulation;
  simulation.node(a).homes = {ip("192.0.2.1"), ip("198.51.100.1")};
  REQUIRE(simulation.comes_up());
  const IkeSpi ike = simulation.status(a).spi_i;
  simulation.broken = [](const IpAddress& from, const IpAddress& to) {
    return from == ip("192.0.2.1") || to == ip("192.0.2.1");
  };
  REQUIRE(simulation.run_until([&] { return simulation.all_at(ip("198.51.100.1"), ip("192.0.2.2")); }, 20s));
  CHECK(simulation.status(a).spi_i == ike);
}

TEST_CASE(
    "no path is left for a while: nothing is torn down before the last try, and all goes on when one comes back") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  const IkeSpi ike = simulation.status(a).spi_i;
  simulation.rehome(a, {});
  simulation.node(a).homes = {ip("203.0.113.254")};  // nothing usable
  simulation.run_for(30s);
  simulation.rehome(a, {ip("192.0.2.1")});
  simulation.run_for(40s);
  CHECK(simulation.status(a).spi_i == ike);
  CHECK(simulation.disagreement().value_or("") == "");
}

// RFC 4555 §3.5, last point: NAT traversal is enabled or disabled by what the update finds.
TEST_CASE("a NAT comes between: ESP goes into UDP on both sides; it goes again: raw ESP again") {
  Mobile simulation;
  for (const Side side : {a, b}) simulation.config(side).children.front().mode = ModePreference::tunnel;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.keys(a).encapsulation == EspEncapsulation::raw);
  simulation.put_behind_nat(endpoint("203.0.113.7", 60500), endpoint("203.0.113.7", 60123));
  simulation.rehome(a, {ip("192.168.1.9")});
  simulation.run_for(1s);
  CHECK(simulation.keys(a).encapsulation == EspEncapsulation::udp);
  CHECK(simulation.keys(b).encapsulation == EspEncapsulation::udp);
  CHECK(simulation.keys(b).remote_endpoint == endpoint("203.0.113.7", 60123));
  CHECK(simulation.status(a).nat_local);
  CHECK(simulation.status(b).nat_remote);
  simulation.run_for(41s);
  CHECK(simulation.node(a).keepalives == 2);
  simulation.put_behind_nat(endpoint("192.0.2.9", 500), endpoint("192.0.2.9", 4500));
  simulation.rehome(a, {ip("192.0.2.9")});
  simulation.run_for(1s);
  CHECK(simulation.keys(a).encapsulation == EspEncapsulation::raw);
  CHECK(simulation.keys(b).encapsulation == EspEncapsulation::raw);
  CHECK_FALSE(simulation.status(a).nat_local);
  const int keepalives = simulation.node(a).keepalives;
  simulation.run_for(41s);
  CHECK(simulation.node(a).keepalives == keepalives);
}

namespace {

struct BehindNat : Mobile {
  BehindNat() {
    node(a).homes = {ip("192.168.1.9")};
    node(a).inner = endpoint("192.168.1.9", 500);
    put_behind_nat(endpoint("203.0.113.7", 500), endpoint("203.0.113.7", 60123));
  }
};

}  // namespace

TEST_CASE("a NAT gets a new mapping: the first ESP packet from there moves the responder, no IKE message is needed") {
  BehindNat simulation;
  SUBCASE("with MOBIKE") {}
  SUBCASE("without") {
    simulation.config(b).mobike = false;
  }
  REQUIRE(simulation.comes_up());
  simulation.set_traffic(20ms);
  simulation.run_for(1s);
  const Endpoint moved = endpoint("203.0.113.7", 61999);
  simulation.put_behind_nat(endpoint("203.0.113.7", 61998), moved);
  simulation.run_for(50ms);
  CHECK(simulation.keys(b).remote_endpoint == moved);
  CHECK(simulation.status(b).path.remote == moved);
}

TEST_CASE("a NAT gets another address: with MOBIKE the responder verifies it first, then moves") {
  BehindNat simulation;
  REQUIRE(simulation.comes_up());
  simulation.set_traffic(20ms);
  simulation.run_for(1s);
  simulation.wire.clear();
  const Endpoint moved = endpoint("203.0.113.99", 61999);
  simulation.put_behind_nat(endpoint("203.0.113.99", 61998), moved);
  simulation.run_for(100ms);
  CHECK(simulation.keys(b).remote_endpoint == moved);
  REQUIRE_FALSE(simulation.wire.empty());
  CHECK(simulation.open(simulation.wire.front())->find_notify(NotifyType::cookie2));
}

TEST_CASE("ESP that authenticates but comes from an address which does not answer moves nothing") {
  BehindNat simulation;
  REQUIRE(simulation.comes_up());
  const Path before = simulation.status(b).path;
  const Spi spi = simulation.node(b).plane.begin()->first;
  Path spoofed = before;
  spoofed.remote = endpoint("203.0.113.80", 4500);
  simulation.perform(b, simulation.node(b).ike->on_esp_moved(simulation.now(), spi, spoofed));
  simulation.run_for(30s);
  CHECK(simulation.status(b).path == before);
  CHECK(simulation.keys(b).remote_endpoint == before.remote);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("ESP from elsewhere moves nobody when the peer is not behind a NAT, or decides by itself") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  for (const Side side : {a, b}) {
    Path elsewhere = simulation.status(side).path;
    elsewhere.remote.port = 61000;
    const Spi spi = simulation.node(side).plane.begin()->first;
    simulation.perform(side, simulation.node(side).ike->on_esp_moved(simulation.now(), spi, elsewhere));
    simulation.run_for(1s);
    CHECK(simulation.node(side).moves == 0);
  }
}

// RFC 4555 §3.8.
TEST_CASE("an idle initiator behind a NAT notices a new mapping by its liveness check, and tells") {
  BehindNat simulation;
  REQUIRE(simulation.comes_up());
  bool known = true;
  SUBCASE("after an earlier check") {}
  SUBCASE("at the first one") {
    known = false;
  }
  if (known) simulation.run_for(11s);
  const Endpoint moved = endpoint("203.0.113.7", 61999);
  simulation.put_behind_nat(endpoint("203.0.113.7", 61998), moved);
  simulation.run_for(25s);
  CHECK(simulation.keys(b).remote_endpoint == moved);
  CHECK(simulation.status(b).path.remote == moved);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE(
    "ESP leaves and none comes back: the initiator behind a NAT tells of a new mapping long before its liveness "
    "check") {
  BehindNat simulation;
  REQUIRE(simulation.comes_up());
  const auto follows_its_esp = [&](bool follows) {
    simulation.esp_moves = follows;
    simulation.wire.clear();
  };
  follows_its_esp(false);  // as strongSwan's kernel-libipsec
  simulation.set_traffic(20ms);
  simulation.run_for(2s);
  CHECK(simulation.wire.empty());  // traffic that is answered asks for nothing
  const Endpoint moved = endpoint("203.0.113.7", 61999);
  simulation.put_behind_nat(endpoint("203.0.113.7", 61998), moved);
  simulation.run_for(700ms);
  CHECK(simulation.keys(b).remote_endpoint == moved);
  CHECK(simulation.updates(a).size() == 1);
}

TEST_CASE("no route leads anywhere, then one does: what waits for an answer goes out at once, on both sides") {
  Mobile simulation;
  REQUIRE(simulation.comes_up());
  const std::vector<IpAddress> homes = simulation.node(a).homes;
  const IpAddress nowhere = ip("2001:db8::1");  // no way to an IPv4 address from there
  simulation.rehome(a, {nowhere});
  for (const Side side : {a, b}) simulation.probe(side);
  simulation.run_for(8s);  // by now the pauses between retransmissions are long
  simulation.rehome(a, homes);
  simulation.wire.clear();
  simulation.run_for(50ms);
  std::size_t num_answers = 0;
  for (const Message& message : simulation.messages()) num_answers += message.header.response ? 1U : 0U;
  CHECK(num_answers >= 2);
  simulation.wire.clear();
  simulation.run_for(9s);
  CHECK(simulation.wire.empty());
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("ESP leaves and none comes back: asked about where it helps, and only there") {
  Mobile simulation;
  std::size_t expected = 0;
  SUBCASE("one path, no NAT: the liveness check will do") {}
  SUBCASE("another address of ours: it might be better") {
    simulation.node(a).homes.push_back(ip("203.0.113.1"));
    expected = 1;
  }
  SUBCASE("without MOBIKE there is nowhere to go") {
    simulation.node(a).homes.push_back(ip("203.0.113.1"));
    simulation.config(b).mobike = false;
  }
  SUBCASE("no liveness checks are wanted") {
    simulation.node(a).homes.push_back(ip("203.0.113.1"));
    simulation.config(a).liveness = Duration::zero();
  }
  REQUIRE(simulation.comes_up());
  simulation.run_for(2s);
  simulation.wire.clear();
  for (const Side side : {a, b}) {
    const Spi spi = simulation.node(side).plane.begin()->first;
    simulation.perform(side, simulation.node(side).ike->on_unanswered_traffic(simulation.now(), spi));
  }
  simulation.run_for(1s);
  CHECK(requests_of(simulation.messages(), ExchangeType::informational).size() == expected);
}

// RFC 4555 §3.9.
TEST_CASE("encapsulation = raw: the addresses are protected, and a message that a NAT has changed is refused") {
  Mobile simulation;
  for (const Side side : {a, b}) simulation.config(side).encapsulation = EncapsulationPreference::raw;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.status(a).path.local.port == 500);
  CHECK(simulation.messages(a).at(1).find_notify(NotifyType::no_nats_allowed));
  simulation.rehome(a, {ip("192.0.2.9")});
  simulation.run_for(1s);
  CHECK(simulation.all_at(ip("192.0.2.9"), ip("192.0.2.2")));
  CHECK(simulation.updates(a).front().find_notify(NotifyType::no_nats_allowed)->data.size() == 12);

  simulation.put_behind_nat(endpoint("203.0.113.7", 500), endpoint("203.0.113.7", 4500));
  simulation.wire.clear();
  simulation.rehome(a, {ip("192.168.1.9")});
  simulation.run_for(1s);
  CHECK(simulation.reported(a, "UNEXPECTED_NAT_DETECTED"));
  CHECK(simulation.keys(b).remote_endpoint.address == ip("192.0.2.9"));
  CHECK(simulation.updates(a).size() == 4);  // several tries: one packet that an attacker changed decides nothing
}

TEST_CASE(
    "without MOBIKE: a peer that takes us to be behind a NAT follows our next message, any other gets a new IKE SA") {
  Mobile simulation;
  simulation.config(b).mobike = false;
  bool followed = false;
  SUBCASE("UDP encapsulation") {
    simulation.config(a).encapsulation = EncapsulationPreference::udp;
    followed = true;
  }
  SUBCASE("raw ESP") {}
  REQUIRE(simulation.comes_up());
  const IkeSpi before = simulation.status(a).spi_i;
  simulation.rehome(a, {ip("192.0.2.9")});
  simulation.run_for(1s);
  CHECK(simulation.both_up());
  CHECK(simulation.status(b).path.remote.address == ip("192.0.2.9"));
  simulation.run_for(10s);  // what lingers of the old IKE SA
  CHECK(simulation.all_at(ip("192.0.2.9"), ip("192.0.2.2")));
  CHECK((simulation.status(a).spi_i == before) == followed);
  simulation.run_for(60s);
  CHECK(simulation.disagreement().value_or("") == "");
}

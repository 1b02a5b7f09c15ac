// Bringing an IKE SA and its first child up.
#include <doctest/doctest.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

// a: IKE_SA_INIT  -->
//                 <--  b
// a: IKE_AUTH     -->
//                 <--  b
TEST_CASE("two endpoints come up with one IKE SA and one child in four messages") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.wire.size() == 4);
  CHECK(simulation.reported(a, "peer tokyo: up"));
  CHECK(simulation.reported(b, "peer paris: up"));
}

// RFC 7296 §3.12: by a vendor ID in IKE_AUTH, which a stranger never sees.
TEST_CASE("each side says in IKE_AUTH, and nowhere else, that it answers echoes") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.node(a).echoes);
  CHECK(simulation.node(b).echoes);
  for (const Message& message : simulation.messages())
    CHECK((message.find<VendorIdPayload>() != nullptr) == (message.header.exchange == ExchangeType::ike_auth));
}

TEST_CASE("message IDs count from 0 and the I flag is the initiator's") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  const auto messages = simulation.messages();
  REQUIRE(messages.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(messages[i].header.message_id.value() == i / 2);
    CHECK(messages[i].header.initiator == (i % 2 == 0));
    CHECK(messages[i].header.response == (i % 2 == 1));
  }
  CHECK(messages[0].header.spi_r.value() == 0);
}

// a: IKE_SA_INIT  -->        <--  IKE_SA_INIT :b
// a: IKE_AUTH     -->        <--  IKE_AUTH :b       both finish; the loser by nonces is deleted by its initiator
TEST_CASE("both sides initiate at once and keep the same IKE SA and child") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Simulation simulation(seed);
    simulation.start();
    simulation.run_for(30s);
    CHECK(simulation.disagreement().value_or("") == "");
  }
}

TEST_CASE(
    "simultaneous initiation settles at once, and the IKE SA with the lowest of the four nonces is the one that goes") {
  int kept_of_a = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Simulation simulation(seed);
    simulation.record_wire = true;
    simulation.start();
    simulation.run_for(1s);
    const PeerStatus here = simulation.status(a), there = simulation.status(b);
    CHECK(here.state == PeerStatus::State::established);
    CHECK(here.spi_i == there.spi_i);
    CHECK(here.spi_r == there.spi_r);
    std::map<IkeSpi, Bytes> lowest;
    for (const Message& message : simulation.messages()) {
      if (message.header.exchange != ExchangeType::ike_sa_init) continue;
      const Bytes& nonce = message.find<NoncePayload>()->data;
      const auto found = lowest.emplace(message.header.spi_i, nonce).first;
      found->second = std::min(found->second, nonce);
    }
    REQUIRE(lowest.size() == 2);
    for (const auto& [spi, nonce] : lowest) CHECK(lowest.at(here.spi_i) >= nonce);
    kept_of_a += here.initiator;
    for (const Side side : {a, b}) {
      CHECK(simulation.node(side).installs == 2);
      CHECK_FALSE(simulation.reported(side, "down:"));
    }
  }
  CHECK(kept_of_a > 0);
  CHECK(kept_of_a < 12);
}

TEST_CASE("an attempt that has not authenticated itself is dropped when the peer's own comes up first") {
  Simulation simulation;
  simulation.record_wire = true;
  simulation.filter = [&](const Datagram& datagram) {
    const Message message = parsed(datagram.bytes);
    return datagram.from == a || message.header.exchange != ExchangeType::ike_sa_init || message.header.response;
  };
  simulation.start();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 5s));
  simulation.wire.clear();
  simulation.filter = nullptr;
  simulation.run_for(20s);
  CHECK(simulation.wire.empty());
  simulation.run_for(20s);
  CHECK(simulation.disagreement().value_or("") == "");
}

// Lost: the first IKE_SA_INIT response and the first IKE_AUTH response.
TEST_CASE("the requester alone retransmits, and request and response are the same byte for byte") {
  OneSided simulation;
  int num_responses = 0;
  simulation.filter = [&](const Datagram& datagram) { return datagram.from == a || ++num_responses % 2 == 0; };
  REQUIRE(simulation.comes_up(10s));
  REQUIRE(simulation.wire.size() == 8);
  CHECK(simulation.wire[0].bytes == simulation.wire[2].bytes);
  CHECK(simulation.wire[1].bytes == simulation.wire[3].bytes);
  CHECK(simulation.wire[4].bytes == simulation.wire[6].bytes);
  CHECK(simulation.wire[5].bytes == simulation.wire[7].bytes);
  CHECK(simulation.node(b).installs == 1);
}

TEST_CASE("retransmissions back off by the configured factor and end in words") {
  OneSided simulation;
  std::vector<double> at;
  simulation.filter = [&](const Datagram&) {
    at.push_back(std::chrono::duration<double>(simulation.now().time_since_epoch()).count());
    return false;
  };
  simulation.config(a).retransmit_tries = 4;
  simulation.start(a);
  simulation.run_for(15s);
  REQUIRE(at.size() >= 4);
  CHECK(at[1] - at[0] == doctest::Approx(1.0));
  CHECK(at[2] - at[1] == doctest::Approx(1.8));
  CHECK(at[3] - at[2] == doctest::Approx(3.24));
  CHECK(simulation.reported(a, "no answer from 192.0.2.2 after 4 tries"));
  CHECK(simulation.status(a).reason.starts_with("no answer from 192.0.2.2 after 4 tries: nothing comes back from its UDP port 500"));
  CHECK(simulation.status(a).children.front().reason.contains("no answer"));
}

TEST_CASE("a peer with several addresses is tried at each in turn, then after a pause, resolved again") {
  OneSided simulation;
  const Endpoint wrong{*IpAddress::parse("192.0.2.77"), 500};
  simulation.node(a).resolved =
      std::vector{Path{simulation.node(a).inner, wrong}, Path{simulation.node(a).inner, simulation.node(b).address}};
  simulation.filter = [&](const Datagram& datagram) {
    return datagram.from == b || datagram.path.remote.address != wrong.address;
  };
  simulation.config(a).retransmit_tries = 2;
  REQUIRE(simulation.comes_up(20s));
  simulation.kill(b);
  simulation.run_for(300s);
  CHECK(simulation.node(a).resolves >= 4);
}

TEST_CASE("the wrong pre-shared key is refused in protected words, and both operators read which key") {
  OneSided simulation;
  simulation.config(b).auth = AuthConfig::psk(std::make_shared<const Secret>(Secret::copy_of(as_bytes("wrong"))));
  simulation.start();
  simulation.run_for(3s);
  CHECK_FALSE(simulation.established(a));
  CHECK_FALSE(simulation.established(b));
  CHECK(simulation.reported(b, "the pre-shared key does not match that of [peer.paris]"));
  CHECK(simulation.reported(a, "AUTHENTICATION_FAILED"));
  CHECK(simulation.status(a).reason.contains("AUTHENTICATION_FAILED"));
  REQUIRE(simulation.wire.size() >= 4);
  const auto answer = simulation.open(simulation.wire[3]);
  REQUIRE(answer);
  CHECK(parsed(simulation.wire[3].bytes).encrypted.has_value());
  CHECK(answer->find_notify(NotifyType::authentication_failed) != nullptr);
  CHECK(answer->find<AuthPayload>() == nullptr);
}

TEST_CASE("an unknown identity is refused as a wrong key is, and the log names it") {
  OneSided simulation;
  simulation.config(a).local_id = *Identity::parse("mallory.example.net");
  simulation.start();
  simulation.run_for(3s);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.reported(b, "mallory.example.net"));
  CHECK(simulation.reported(b, "no configured peer has this identity"));
  const auto answer = simulation.open(simulation.wire.at(3));
  REQUIRE(answer);
  CHECK(answer->find_notify(NotifyType::authentication_failed) != nullptr);
}

// Somebody in the middle changes the IKE_SA_INIT response where it does not change the keys: what b signs is not what a
// got. b believes that all is well, so it is told by an exchange of its own (RFC 7296 §2.21.2).
TEST_CASE("a responder that does not prove what it sent is refused, and loses its IKE SA, too") {
  OneSided simulation;
  simulation.filter = [&](const Datagram& datagram) {
    const Message message = parsed(datagram.bytes);
    if (message.header.exchange != ExchangeType::ike_sa_init || !message.header.response) return true;
    Datagram changed = datagram;
    changed.bytes.back() ^= 1;  // within the last NAT_DETECTION hash
    simulation.deliver(changed);
    return false;
  };
  simulation.start();
  simulation.run_for(500ms);
  CHECK_FALSE(simulation.established(a));
  CHECK_FALSE(simulation.established(b));
  CHECK(simulation.node(a).plane.empty());
  CHECK(simulation.node(b).plane.empty());
  CHECK(simulation.node(a).installs == 0);
  CHECK(simulation.reported(a, "the pre-shared key does not match"));
  CHECK(simulation.reported(b, "did not accept our AUTH"));
}

TEST_CASE("without a common proposal the operator of each side reads what was offered and allowed") {
  OneSided simulation;
  simulation.config(b).ike_proposals = ike_of("aes256-sha256-ecp384");
  simulation.start();
  simulation.run_for(1s);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.reported(b, "peer paris (192.0.2.1)"));
  CHECK(simulation.reported(a, "NO_PROPOSAL_CHOSEN"));
  CHECK(simulation.status(a).reason.contains("NO_PROPOSAL_CHOSEN"));
}

TEST_CASE("an address that no peer has gets nothing but NO_PROPOSAL_CHOSEN") {
  OneSided simulation;
  simulation.config(b).addresses = {"198.51.100.9"};
  simulation.start();
  simulation.run_for(1s);
  CHECK(simulation.reported(b, "an address that no configured peer has"));
  CHECK_FALSE(simulation.established(a));
}

TEST_CASE("a failed child leaves the IKE SA up and is tried again later") {
  OneSided simulation;
  simulation.config(a).esp_proposals = esp_of("aes256gcm16");
  simulation.start();
  REQUIRE(simulation.run_until([&] { return simulation.established(a); }, 3s));
  simulation.run_for(1s);
  CHECK(simulation.established(b));
  CHECK_FALSE(simulation.up(a));
  const std::string reason = simulation.status(a).children.front().reason;
  CHECK(reason.contains("NO_PROPOSAL_CHOSEN"));
  CHECK(reason.contains("next try in"));
  const std::size_t before = simulation.wire.size();
  simulation.run_for(20s);
  CHECK(simulation.wire.size() > before);
  CHECK(simulation.established(a));
}

TEST_CASE("selectors that do not meet give TS_UNACCEPTABLE, in words") {
  OneSided simulation;
  simulation.config(a).children.front().mode = ModePreference::tunnel;
  simulation.config(a).children.front().local = {SelectorSpec{*IpPrefix::parse("10.1.0.0/16"), 0}};
  simulation.config(a).children.front().remote = {SelectorSpec{*IpPrefix::parse("10.2.0.0/16"), 0}};
  simulation.start();
  simulation.run_for(2s);
  CHECK(simulation.established(a));
  CHECK(simulation.status(a).children.front().reason.contains("TS_UNACCEPTABLE"));
  CHECK(simulation.reported(b, "10.1.0.0/16 to 10.2.0.0/16"));
}

TEST_CASE("the responder narrows, and both sides install the same selectors") {
  OneSided simulation;
  for (const Side side : {a, b}) {
    ChildConfig& child = simulation.config(side).children.front();
    child.mode = ModePreference::tunnel;
    child.local = {SelectorSpec{*IpPrefix::parse(side == a ? "10.1.0.0/16" : "10.2.3.0/24"), 0}};
    child.remote = {SelectorSpec{*IpPrefix::parse(side == a ? "10.2.0.0/16" : "10.1.0.0/16"), 0}};
  }
  REQUIRE(simulation.comes_up());
  CHECK(simulation.disagreement().value_or("") == "");
  const ChildSaKeys& keys = simulation.node(a).plane.begin()->second.keys;
  CHECK(keys.remote == std::vector{TrafficSelector::from_prefix(*IpPrefix::parse("10.2.3.0/24"))});
  CHECK(keys.mode == EspMode::tunnel);
}

TEST_CASE("transport mode is asked for, and tunnel mode accepted when it is only preferred") {
  OneSided simulation;
  SUBCASE("both prefer transport") {
    REQUIRE(simulation.comes_up());
    CHECK(simulation.node(a).plane.begin()->second.keys.mode == EspMode::transport);
  }
  SUBCASE("the responder knows tunnel mode alone") {
    simulation.config(b).children.front().mode = ModePreference::tunnel;
    REQUIRE(simulation.comes_up());
    CHECK(simulation.node(a).plane.begin()->second.keys.mode == EspMode::tunnel);
    CHECK(simulation.disagreement().value_or("") == "");
  }
  SUBCASE("the initiator insists: the child is deleted again, with the reason") {
    simulation.config(a).children.front().mode = ModePreference::transport;
    simulation.config(b).children.front().mode = ModePreference::tunnel;
    CHECK_FALSE(simulation.comes_up(2s));
    CHECK(simulation.status(a).children.front().reason.contains("insists on tunnel mode"));
    CHECK(simulation.node(a).plane.empty());
    CHECK(simulation.node(b).plane.empty());
  }
}

TEST_CASE("several children come up, the first in IKE_AUTH, the others by CREATE_CHILD_SA") {
  OneSided simulation;
  for (const Side side : {a, b}) {
    ChildConfig lan = simulation.config(side).children.front();
    lan.id = ChildId(8);
    lan.name = "lan";
    lan.mode = ModePreference::tunnel;
    lan.local = {SelectorSpec{*IpPrefix::parse(side == a ? "10.1.0.0/16" : "10.2.0.0/16"), 0}};
    lan.remote = {SelectorSpec{*IpPrefix::parse(side == a ? "10.2.0.0/16" : "10.1.0.0/16"), 0}};
    simulation.config(side).children.push_back(lan);
  }
  REQUIRE(simulation.comes_up());
  CHECK(simulation.node(a).plane.size() == 2);
  CHECK(simulation.node(b).plane.size() == 2);
  CHECK(simulation.wire.size() == 6);
  CHECK(simulation.node(a).sending.size() == 2);
  CHECK(simulation.node(b).sending.size() == 2);
}

TEST_CASE("on-traffic comes up with the packet's own selector first in TSi and TSr") {
  OneSided simulation;
  simulation.config(a).start = StartMode::on_traffic;
  for (const Side side : {a, b}) {
    ChildConfig& child = simulation.config(side).children.front();
    child.mode = ModePreference::tunnel;
    child.local = {SelectorSpec{*IpPrefix::parse(side == a ? "10.1.0.0/16" : "10.2.0.0/16"), 0}};
    child.remote = {SelectorSpec{*IpPrefix::parse(side == a ? "10.2.0.0/16" : "10.1.0.0/16"), 0}};
  }
  simulation.start();
  simulation.run_for(5s);
  CHECK(simulation.wire.empty());
  CHECK(simulation.status(a).state == PeerStatus::State::waiting);
  CHECK(simulation.status(a).reason == "waiting for traffic");
  const TrafficSelector source{17, 4000, 4000, *IpAddress::parse("10.1.0.5"), *IpAddress::parse("10.1.0.5")};
  const TrafficSelector destination{17, 53, 53, *IpAddress::parse("10.2.0.9"), *IpAddress::parse("10.2.0.9")};
  simulation.perform(a, simulation.node(a).ike->on_acquire(simulation.now(), ChildId(7), source, destination));
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 3s));
  const auto auth = requests_of(simulation.messages(a), ExchangeType::ike_auth);
  REQUIRE(auth.size() == 1);
  CHECK(auth[0].find_ts(true)->selectors.front() == source);
  CHECK(auth[0].find_ts(false)->selectors.front() == destination);
}

TEST_CASE("a crash of either side is repaired by INITIAL_CONTACT, without a second IKE SA") {
  Simulation simulation;
  simulation.start();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 5s));
  simulation.run_for(10s);
  for (const Side side : {a, b}) {
    simulation.kill(side);
    simulation.run_for(2s);
    simulation.start(side);
    simulation.run_for(1s);
    CHECK(simulation.both_up());
    CHECK(simulation.reported(other(side), "INITIAL_CONTACT") == true);
    simulation.run_for(10s);
    CHECK(simulation.disagreement().value_or("") == "");
  }
}

TEST_CASE("a peer that is gone for good is found by liveness, and tried again with pauses up to a minute") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  simulation.kill(b);
  simulation.run_for(200s);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.node(a).plane.empty());
  CHECK(simulation.reported(a, "down: no answer from 192.0.2.2 after 7 tries"));
  simulation.run_for(600s);
  simulation.start(b);
  simulation.run_for(150s);
  CHECK(simulation.both_up());
}

TEST_CASE(
    "on-traffic: a failed attempt is over, and packets during the pause cause the next one after it, not at once") {
  OneSided simulation;
  simulation.config(a).start = StartMode::on_traffic;
  simulation.config(a).retransmit_tries = 2;
  simulation.start(a);
  const TrafficSelector packet{47, 0, 65535, simulation.node(a).inner.address, simulation.node(a).inner.address};
  const auto acquire = [&] {
    simulation.perform(a, simulation.node(a).ike->on_acquire(simulation.now(), ChildId(7), packet, packet));
  };
  acquire();
  simulation.run_for(3s);
  CHECK(simulation.wire.size() == 2);
  for (int i = 0; i < 100; ++i) acquire();
  CHECK(simulation.wire.size() == 2);
  CHECK(simulation.status(a).retry_at.has_value());
  simulation.run_for(120s);
  CHECK(simulation.wire.size() == 4);  // asked for once, tried once
  simulation.start(b);
  acquire();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 90s));
  // The IKE SA goes: nothing happens until the next packet.
  simulation.inject(simulation.forge(b, ExchangeType::informational, false, 0, {DeletePayload{ProtocolId::ike, {}}}));
  simulation.wire.clear();
  simulation.run_for(60s);
  CHECK_FALSE(simulation.established(a));
  CHECK(requests_of(simulation.messages(a), ExchangeType::ike_sa_init).empty());
}

TEST_CASE("status says why each configured child is down, whatever the state of its peer") {
  OneSided simulation;
  simulation.config(a).addresses.clear();
  simulation.config(a).start = StartMode::wait;
  simulation.start(a);
  CHECK(simulation.status(a).state == PeerStatus::State::waiting);
  CHECK(simulation.status(a).children.at(0).reason == "waiting for the peer to call");
  const auto refused = simulation.node(a).ike->up(simulation.now(), "tokyo");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::invalid);
  CHECK(simulation.node(a).ike->up(simulation.now(), "osaka").error().code == Errc::not_found);
  CHECK(simulation.node(a).ike->rekey(simulation.now(), "tokyo", IkeEndpoint::RekeyWhat::both).error().code ==
        Errc::invalid);
}

// CREATE_CHILD_SA for the IKE SA itself: its rekey by either side, by both, and what crosses it.
#include <doctest/doctest.h>

#include <algorithm>

#include "rekeys.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

// a: HDR, SK {SA, Ni, KEi}  -->
//                           <--  HDR, SK {SA, Nr, KEr}
// a: HDR, SK {D} on the old -->
//                           <--  HDR, SK {}
TEST_CASE("an IKE SA is rekeyed by either side, keeps its children, and counts message IDs from 0") {
  Side side = a;
  SUBCASE("initiator") {
    side = a;
  }
  SUBCASE("responder") {
    side = b;
  }
  Up simulation;
  simulation.bring_up();
  const Spi child = simulation.child(a);
  const auto old = simulation.ike_sa(a);
  simulation.rekey(side, What::ike);
  simulation.run_for(2s);
  simulation.agrees();
  CHECK(simulation.ike_sa(a) != old);
  CHECK(simulation.child(a) == child);
  CHECK(simulation.node(a).installs == 1);
  // RFC 7296 §2.2, §2.18: who asked for the rekey is the original initiator of the new IKE SA.
  CHECK(simulation.status(side).initiator);
  CHECK_FALSE(simulation.status(other(side)).initiator);
  const auto deletes = simulation.seen(side, ExchangeType::informational, false);
  REQUIRE(deletes.size() == 1);
  CHECK(deletes[0].header.spi_i == old.first);
  CHECK(deletes[0].find<DeletePayload>()->protocol == ProtocolId::ike);
  CHECK(deletes[0].find<DeletePayload>()->spis.empty());
  CHECK(simulation.seen(other(side), ExchangeType::informational, true).at(0).payloads.empty());
  CHECK(simulation.told(side) == std::vector<std::string>{"IKE SA rekeyed"});
  CHECK(simulation.told(other(side)) == std::vector<std::string>{"IKE SA rekeyed by the peer"});

  simulation.wire.clear();
  simulation.rekey(other(side), What::children);  // on the new IKE SA
  simulation.run_for(10s);
  simulation.agrees();
  const auto requests = simulation.seen(other(side), ExchangeType::create_child_sa, false);
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].header.message_id.value() == 0);
  CHECK_FALSE(requests[0].header.initiator);
}

TEST_CASE("both sides rekey the IKE SA at once: one survives on both sides and has the child") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Up simulation(seed);
    simulation.bring_up();
    const Spi child = simulation.child(a);
    const auto old = simulation.ike_sa(a);
    simulation.rekey(a, What::ike);
    simulation.rekey(b, What::ike);
    simulation.run_for(5s);
    simulation.agrees();
    CHECK(simulation.child(a) == child);
    CHECK(simulation.ike_sa(a) != old);
    const Nonces nonces(simulation);
    const Side winner = nonces.lowest_of_a > nonces.lowest_of_b ? a : b;
    CHECK(simulation.status(winner).initiator);
    // RFC 7296 §2.8.2: the winner deletes the old IKE SA, the loser its own new one.
    const auto by_winner = simulation.seen(winner, ExchangeType::informational, false);
    const auto by_loser = simulation.seen(other(winner), ExchangeType::informational, false);
    REQUIRE(by_winner.size() == 1);
    REQUIRE(by_loser.size() == 1);
    CHECK(by_winner[0].header.spi_i == old.first);
    CHECK(by_loser[0].header.spi_i != old.first);
    CHECK(by_loser[0].header.message_id.value() == 0);
    CHECK(simulation.told(winner) == std::vector<std::string>{"IKE SA rekeyed"});
    CHECK(simulation.told(other(winner)) == std::vector<std::string>{"IKE SA rekeyed by the peer"});
  }
}

// a: CREATE_CHILD_SA(req1)  -->      <--  CREATE_CHILD_SA(req2) :b
//                     resp2 -->           (resp1 and b's Delete of the old one are lost again and again, until the
//                                         soft lifetime of the IKE SA of req2 has passed)
//                                    <--  resp1                 :b
TEST_CASE("the IKE SA that survives a collision is rekeyed in time, also when its soft lifetime passed meanwhile") {
  int late = 0;
  for (std::uint64_t seed = 1; seed <= 16; ++seed) {
    Up simulation(seed);
    auto& config = simulation.config(a);
    config.ike_lifetime = 4s;
    config.jitter = 0.5;
    config.retransmit_first = 500ms;
    config.retransmit_factor = 1.0;
    config.retransmit_tries = 20;
    simulation.bring_up();
    const auto asks = [&](Side side) { return !simulation.seen(side, ExchangeType::create_child_sa, false).empty(); };
    REQUIRE(simulation.run_until([&] { return asks(a); }, 4s));
    bool lose = true;
    simulation.filter = [&](const Datagram& datagram) {
      const auto message = simulation.open(datagram);
      const bool request =
          message && message->header.exchange == ExchangeType::create_child_sa && !message->header.response;
      return !lose || datagram.from == a || request;
    };
    simulation.rekey(b, What::ike);  // its own lifetime is that of the defaults: the next rekey is a's business
    simulation.run_for(3500ms);
    late += simulation.status(b).initiator;  // b's survives, and a does not know it yet
    lose = false;
    simulation.run_for(1s);
    simulation.agrees();
    const auto survivor = simulation.ike_sa(a);
    simulation.run_for(20s);
    simulation.agrees();
    CHECK(simulation.ike_sa(a) != survivor);
    CHECK_FALSE(simulation.reported(a, "lifetime is over"));
  }
  CHECK(late > 0);
  CHECK(late < 16);
}

TEST_CASE(
    "a late IKE rekey request, after the peer's own is through, is answered with TEMPORARY_FAILURE or not at all") {
  Up simulation;
  simulation.bring_up();
  bool lose = true;
  simulation.filter = [&](const Datagram& datagram) {
    const auto message = simulation.open(datagram);
    const bool first = datagram.from == a && message && message->header.exchange == ExchangeType::create_child_sa &&
                       !message->header.response;
    return !(first && std::exchange(lose, false));
  };
  simulation.rekey(a, What::ike);
  simulation.rekey(b, What::ike);
  simulation.run_for(30s);
  simulation.agrees();
  CHECK(simulation.status(b).initiator);
}

// RFC 7296 §2.25.2
TEST_CASE(
    "a child rekey that meets a rekey of the IKE SA gets TEMPORARY_FAILURE and succeeds later, and nothing is torn "
    "down") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    Up simulation(seed);
    simulation.bring_up();
    const Spi child = simulation.child(a);
    const auto old = simulation.ike_sa(a);
    simulation.rekey(a, What::children);
    simulation.rekey(b, What::ike);
    simulation.run_for(60s);
    simulation.agrees();
    CHECK(simulation.child(a) != child);
    CHECK(simulation.ike_sa(a) != old);
    const auto by_a = simulation.seen(a, ExchangeType::create_child_sa, true);
    const auto by_b = simulation.seen(b, ExchangeType::create_child_sa, true);
    CHECK(by_a.front().find_notify(NotifyType::temporary_failure) != nullptr);
    CHECK(by_b.front().find_notify(NotifyType::temporary_failure) != nullptr);
    for (const Side side : {a, b}) CHECK_FALSE(simulation.reported(side, "down"));
  }
}

TEST_CASE("a Delete of the IKE SA that crosses our rekey of it ends it on both sides") {
  Up simulation;
  simulation.bring_up();
  simulation.rekey(a, What::ike);
  simulation.command(b, simulation.node(b).ike->down(simulation.now(), "paris"));
  simulation.config(a).start = StartMode::wait;
  simulation.run_for(300ms);
  CHECK_FALSE(simulation.established(b));
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.node(a).plane.empty());
  CHECK(simulation.node(b).plane.empty());
}

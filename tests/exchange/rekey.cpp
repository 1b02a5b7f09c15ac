// CREATE_CHILD_SA: rekeys of child SAs, alone and in collision, what is refused, lifetimes.
#include <doctest/doctest.h>

#include <algorithm>

#include "rekeys.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

// x: HDR, SK {N(REKEY_SA), SA, Ni, KEi, TSi, TSr}  -->
//                                                  <--  HDR, SK {SA, Nr, KEr, TSi, TSr}
// x: HDR, SK {D(old)}                              -->
//                                                  <--  HDR, SK {D(old)}
TEST_CASE("a child is rekeyed by either side, with and without PFS") {
  const char* esp = "aes128gcm16-esn";
  Side side = a;
  bool pfs = false;
  SUBCASE("initiator, PFS") {
    esp = "aes128gcm16-x25519-esn", side = a, pfs = true;
  }
  SUBCASE("responder, PFS") {
    esp = "aes128gcm16-x25519-esn", side = b, pfs = true;
  }
  SUBCASE("initiator, no PFS") {
    side = a;
  }
  SUBCASE("responder, no PFS") {
    side = b;
  }
  Up simulation(1, esp);
  simulation.bring_up();
  const Spi old_mine = simulation.child(side), old_theirs = simulation.child(other(side));
  simulation.rekey(side, What::children);
  simulation.run_for(10s);
  simulation.agrees();
  CHECK(simulation.child(side) != old_mine);
  CHECK(simulation.wire.size() == 4);

  const auto requests = simulation.seen(side, ExchangeType::create_child_sa, false);
  REQUIRE(requests.size() == 1);
  // RFC 7296 §1.3.3: the SPI is the one that the sender expects in inbound packets.
  const NotifyPayload* rekeys = requests[0].find_notify(NotifyType::rekey_sa);
  REQUIRE(rekeys);
  CHECK(rekeys->protocol == ProtocolId::esp);
  CHECK(spi_of(rekeys->spi) == old_mine.value());
  CHECK((requests[0].find<KePayload>() != nullptr) == pfs);

  const auto deletes = simulation.seen(side, ExchangeType::informational, false);
  const auto answers = simulation.seen(other(side), ExchangeType::informational, true);
  REQUIRE(deletes.size() == 1);
  REQUIRE(answers.size() == 1);
  CHECK(spi_of(deletes[0].find<DeletePayload>()->spis.at(0)) == old_mine.value());
  CHECK(spi_of(answers[0].find<DeletePayload>()->spis.at(0)) == old_theirs.value());
}

// RFC 7296 §2.8: "the initiator … MUST NOT … until it has proof"; the responder switches at the first packet or the
// Delete.
TEST_CASE("the responder of a rekey receives on the new SA at once and sends on it only when the peer uses it") {
  Up simulation;
  simulation.bring_up();
  const Spi old = simulation.child(b);
  bool hold_delete = true;
  simulation.filter = [&](const Datagram& datagram) {
    const auto message = simulation.open(datagram);
    return !(hold_delete && message && message->header.exchange == ExchangeType::informational);
  };
  simulation.rekey(a, What::children);
  simulation.run_for(100ms);
  REQUIRE(simulation.node(b).plane.size() == 2);
  CHECK(simulation.node(b).sending.at(ChildId(7)) == old);
  CHECK(simulation.node(a).sending.at(ChildId(7)) != old);
  SUBCASE("a packet") {
    simulation.send_data(a);
    simulation.run_for(10ms);
  }
  SUBCASE("the Delete") {
    hold_delete = false;
    simulation.run_for(2s);
  }
  CHECK(simulation.node(b).sending.at(ChildId(7)) != old);
  hold_delete = false;
  simulation.run_for(20s);
  simulation.agrees();
}

TEST_CASE("no packet is lost by rekeys every 3 s of child and IKE SA from both sides, on a network that reorders") {
  Up simulation(3);
  for (const Side side : {a, b}) simulation.config(side).child_lifetime = simulation.config(side).ike_lifetime = 3s;
  simulation.conditions().max_delay = 80ms;
  simulation.bring_up();
  simulation.set_traffic(1ms);
  simulation.run_for(60s);
  simulation.set_traffic({});
  simulation.run_for(1s);
  for (const Side side : {a, b}) {
    CHECK(simulation.node(side).lost == 0);
    CHECK(simulation.node(side).unsent == 0);
    CHECK(simulation.node(side).received == simulation.node(other(side)).sent);
    CHECK(simulation.node(side).installs > 15);
    CHECK_FALSE(simulation.reported(side, "down"));
    CHECK_FALSE(simulation.reported(side, "lifetime was over"));
  }
  CHECK(simulation.fault() == "");
}

TEST_CASE("INVALID_KE_PAYLOAD in CREATE_CHILD_SA is followed, for a child and for the IKE SA") {
  Up simulation;
  // a would rather use ECP-256, b knows x25519 alone.
  simulation.config(a).esp_proposals = {*parse_esp_proposal("aes128gcm16-ecp256-x25519-esn")};
  simulation.config(a).ike_proposals = {*parse_ike_proposal("aes128gcm16-prfsha256-ecp256-x25519")};
  simulation.bring_up();
  simulation.rekey(a, What::children);
  simulation.run_for(10s);
  simulation.agrees();
  const auto answers = simulation.seen(b, ExchangeType::create_child_sa, true);
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].find_notify(NotifyType::invalid_ke_payload) != nullptr);
  const auto requests = simulation.seen(a, ExchangeType::create_child_sa, false);
  CHECK(requests[0].find<KePayload>()->method == 19);
  CHECK(requests[1].find<KePayload>()->method == 31);
}

// RFC 7296 §2.8.1
// a: CREATE_CHILD_SA(req1)  -->      <--  CREATE_CHILD_SA(req2) :b
//                     resp2 -->      <--  resp1
// the one with the lowest of four nonces is deleted by who asked for it, the old one by the other
TEST_CASE("both sides rekey the child at once: the SA with the lowest nonce goes, deleted by its creator") {
  int won_by_a = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Up simulation(seed);
    simulation.bring_up();
    const Spi old_a = simulation.child(a), old_b = simulation.child(b);
    simulation.rekey(a, What::children);
    simulation.rekey(b, What::children);
    simulation.run_for(20s);
    simulation.agrees();
    const Nonces nonces(simulation);
    const Side winner = nonces.lowest_of_a > nonces.lowest_of_b ? a : b;
    won_by_a += winner == a;
    const auto survivor =
        simulation.seen(winner, ExchangeType::create_child_sa, false).front().find<SaPayload>()->proposals.front().spi;
    CHECK(spi_of(survivor) == simulation.child(winner).value());
    // The winner deletes the old SA, the loser what it had asked for itself.
    const auto by_winner = simulation.seen(winner, ExchangeType::informational, false);
    const auto by_loser = simulation.seen(other(winner), ExchangeType::informational, false);
    REQUIRE(by_winner.size() == 1);
    REQUIRE(by_loser.size() == 1);
    CHECK(spi_of(by_winner[0].find<DeletePayload>()->spis.at(0)) == (winner == a ? old_a : old_b).value());
    const auto redundant = simulation.seen(other(winner), ExchangeType::create_child_sa, false)
                               .front()
                               .find<SaPayload>()
                               ->proposals.front()
                               .spi;
    CHECK(by_loser[0].find<DeletePayload>()->spis.at(0) == redundant);
  }
  CHECK(won_by_a > 0);
  CHECK(won_by_a < 12);
}

// a: req1 is lost              <--  CREATE_CHILD_SA(req2) :b
//                     resp2 -->
//                              <--  D(old) :b, answered
// a: req1 again             -->     b no longer has the old SA: CHILD_SA_NOT_FOUND (or TEMPORARY_FAILURE while it
// deletes it)
TEST_CASE("a rekey request that comes late, after the peer's own rekey, changes nothing") {
  Up simulation;
  simulation.bring_up();
  bool lose = true;
  simulation.filter = [&](const Datagram& datagram) {
    const auto message = simulation.open(datagram);
    const bool first = datagram.from == a && message && message->header.exchange == ExchangeType::create_child_sa &&
                       !message->header.response;
    return !(first && std::exchange(lose, false));
  };
  simulation.rekey(a, What::children);
  simulation.rekey(b, What::children);
  simulation.run_for(30s);
  simulation.agrees();
  const auto refusals = simulation.seen(b, ExchangeType::create_child_sa, true);
  REQUIRE(refusals.size() == 1);
  CHECK(refusals[0].find_notify(NotifyType::child_sa_not_found) != nullptr);
  CHECK(simulation.node(a).installs == 2);
  CHECK(simulation.node(b).installs == 2);
}

// RFC 7296 §2.25
TEST_CASE("CHILD_SA_NOT_FOUND: the child is forgotten silently and made again from scratch") {
  Up simulation;
  simulation.bring_up();
  const Spi child = simulation.child(a);
  // As if b had lost the child: what reaches it names an SPI that it does not have.
  bool once = true;
  simulation.filter = [&](const Datagram& datagram) {
    auto message = simulation.open(datagram);
    if (datagram.from != a || !message || !message->find_notify(NotifyType::rekey_sa) || !std::exchange(once, false))
      return true;
    for (Payload& payload : message->payloads) {
      auto* rekeys = std::get_if<NotifyPayload>(&payload);
      if (rekeys && rekeys->type == NotifyType::rekey_sa) rekeys->spi = {9, 9, 9, 9};
    }
    simulation.deliver(simulation.forge(a, ExchangeType::create_child_sa, false, message->header.message_id.value(),
                                        message->payloads));
    return false;
  };
  simulation.rekey(a, What::children);
  simulation.run_for(5s);
  const auto refusals = simulation.seen(b, ExchangeType::create_child_sa, true);
  REQUIRE(refusals.size() == 2);
  const NotifyPayload* refusal = refusals[0].find_notify(NotifyType::child_sa_not_found);
  REQUIRE(refusal);
  CHECK(refusal->protocol == ProtocolId::esp);
  CHECK(refusal->spi == Bytes{9, 9, 9, 9});
  CHECK(simulation.up(a));
  CHECK(simulation.child(a) != child);
  CHECK(simulation.seen(a, ExchangeType::informational, false).empty());  // silently: no Delete
  simulation.run_for(90s);
  simulation.agrees();
}

// RFC 7296 §2.25.1
TEST_CASE("both sides delete the child at once: both answers come without a Delete payload") {
  Up simulation;
  simulation.bring_up();
  simulation.perform(
      a, simulation.node(a).ike->on_child_event(simulation.now(), simulation.child(a), ChildEvent::hard_limit));
  simulation.perform(
      b, simulation.node(b).ike->on_child_event(simulation.now(), simulation.child(b), ChildEvent::hard_limit));
  simulation.run_for(200ms);
  for (const Side side : {a, b}) {
    const auto answers = simulation.seen(side, ExchangeType::informational, true);
    REQUIRE(!answers.empty());
    CHECK(answers.front().find<DeletePayload>() == nullptr);
  }
  simulation.run_for(30s);
  simulation.agrees();
}

TEST_CASE("a Delete that crosses our rekey of the same child is answered with the paired SPI") {
  Up simulation;
  simulation.bring_up();
  const Spi mine = simulation.child(a);
  simulation.rekey(a, What::children);
  simulation.perform(
      b, simulation.node(b).ike->on_child_event(simulation.now(), simulation.child(b), ChildEvent::hard_limit));
  simulation.run_for(12ms);
  const auto answers = simulation.seen(a, ExchangeType::informational, true);
  REQUIRE(answers.size() == 1);
  REQUIRE(answers[0].find<DeletePayload>());
  CHECK(spi_of(answers[0].find<DeletePayload>()->spis.at(0)) == mine.value());
  simulation.run_for(60s);
  simulation.agrees();
}

TEST_CASE("lifetimes by time rekey before they end, with jitter") {
  Up simulation;
  simulation.config(a).child_lifetime = 100s;
  simulation.config(a).ike_lifetime = 160s;
  simulation.config(a).jitter = 0.2;
  simulation.bring_up();
  const Spi child = simulation.child(a);
  const auto ike_sa = simulation.ike_sa(a);
  simulation.run_for(78s);
  CHECK(simulation.child(a) == child);  // 100 s less at most 20 %
  simulation.run_for(22s);
  CHECK(simulation.child(a) != child);
  CHECK(simulation.ike_sa(a) == ike_sa);
  simulation.run_for(60s);
  CHECK(simulation.ike_sa(a) != ike_sa);
}

TEST_CASE("a soft limit by bytes or packets rekeys, a hard one ends the SA and starts afresh") {
  Up simulation;
  simulation.config(a).child_packets = 1000;
  simulation.config(a).child_bytes = 1000000;
  simulation.bring_up();
  const ChildSaKeys& keys = simulation.node(a).plane.begin()->second.keys;
  CHECK(keys.soft_packets <= 1000);
  CHECK(keys.soft_packets >= 900);
  CHECK(keys.hard_packets == 1100);
  CHECK(keys.soft_bytes <= 1000000);
  CHECK(keys.hard_bytes == 1100000);
  Spi child = simulation.child(a);
  simulation.perform(a, simulation.node(a).ike->on_child_event(simulation.now(), child, ChildEvent::soft_limit));
  simulation.run_for(10s);
  CHECK(simulation.child(a) != child);
  child = simulation.child(a);
  simulation.perform(a, simulation.node(a).ike->on_child_event(simulation.now(), child, ChildEvent::hard_limit));
  CHECK_FALSE(simulation.node(a).plane.contains(child));  // fail closed, at once
  simulation.run_for(10s);
  simulation.agrees();
  CHECK(simulation.child(a) != child);
}

TEST_CASE("a peer that refuses every rekey keeps its SAs until their hard lifetime") {
  Up simulation;
  simulation.config(a).child_lifetime = 60s;
  simulation.bring_up();
  const Spi child = simulation.child(a);
  simulation.filter = [&](const Datagram& datagram) {
    const auto message = simulation.open(datagram);
    if (datagram.from != b || !message || message->header.exchange != ExchangeType::create_child_sa) return true;
    simulation.deliver(simulation.forge(b, ExchangeType::create_child_sa, true, message->header.message_id.value(),
                                        {notify(NotifyType::no_additional_sas)}));
    return false;
  };
  simulation.run_for(85s);
  CHECK(simulation.child(a) == child);
  CHECK(simulation.established(a));
  CHECK(simulation.reported(a, "rekey of child gre refused: NO_ADDITIONAL_SAS"));
  simulation.run_for(6s);
  CHECK_FALSE(simulation.node(a).plane.contains(child));
  CHECK(simulation.established(a));
}

// Both rekey at once; a's SA stays, b's goes. a has b's answer and rekeys again, before its own answer has come to b:
//   a: CREATE_CHILD_SA 1  -->          <--  CREATE_CHILD_SA 1 :b
//   a: (answer, held back)             <--  answer :b
//   a: CREATE_CHILD_SA 2  -->          <--  answer :b
//   a: the answer that was held back   -->  b sees that its own has lost, and a goes on sending
TEST_CASE("the loser of a collision is found even when the winner has been rekeyed meanwhile") {
  int num_contested = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    const bool deleted = seed % 2 == 0;  // b has lost the first SA of a meanwhile, or a's Delete is late as well
    Up simulation(seed);
    simulation.bring_up();
    std::vector<Datagram> held;
    bool hold = true;
    simulation.filter = [&](const Datagram& datagram) {
      const auto header = parse_header(datagram.bytes);
      const bool answer = datagram.from == a && header->response && header->exchange == ExchangeType::create_child_sa;
      const bool second_delete = !deleted && datagram.from == a && header->exchange == ExchangeType::informational &&
                                 header->message_id.value() > 3;
      if (answer && hold) held.push_back(datagram);
      return !(hold && (answer || second_delete));
    };
    simulation.rekey(a, What::children);
    simulation.rekey(b, What::children);
    simulation.run_for(100ms);
    simulation.rekey(a, What::children);
    simulation.run_for(100ms);
    REQUIRE_FALSE(held.empty());
    hold = false;
    simulation.deliver(held.front());
    simulation.set_traffic(20ms);
    simulation.run_for(8s);  // what lingers is gone, and nothing has been tidied up yet (association_children.cpp)
    simulation.agrees();
    CHECK(simulation.node(a).unsent == 0);
    CHECK(simulation.node(b).unsent == 0);
    num_contested += simulation.seen(a, ExchangeType::create_child_sa, false).size() >= 2;
  }
  CHECK(num_contested > 0);
}

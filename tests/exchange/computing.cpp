// Public-key work that takes time: what comes meanwhile, and what ends meanwhile.
#include <doctest/doctest.h>

#include "one_sided.h"
#include "rekeys.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

int count_of(const std::vector<Datagram>& wire, Side from, ExchangeType exchange, bool response) {
  return static_cast<int>(std::ranges::count_if(wire, [&](const Datagram& datagram) {
    const auto header = parse_header(datagram.bytes);
    return datagram.from == from && header && header->exchange == exchange && header->response == response;
  }));
}

}  // namespace

// a: IKE_SA_INIT  -->  (b computes)
// a: IKE_SA_INIT  -->  (again, and again)
//                 <--  b: one answer
TEST_CASE("a request that comes again while its answer is computed is ignored, and answered once") {
  OneSided simulation;
  simulation.conditions().max_compute = 10s;
  for (const Side side : {a, b}) simulation.config(side).retransmit_first = 100ms;
  for (const Side side : {a, b}) simulation.config(side).retransmit_tries = 40;
  simulation.start();
  REQUIRE(simulation.run_until([&] { return count_of(simulation.wire, b, ExchangeType::ike_sa_init, true) > 0; }, 60s));
  CHECK(count_of(simulation.wire, a, ExchangeType::ike_sa_init, false) > 2);
  CHECK(count_of(simulation.wire, b, ExchangeType::ike_sa_init, true) == 1);
  CHECK(simulation.node(b).drops[DropReason::ike_replayed] > 0);
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 120s));
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("an IKE SA in computation counts as half-open") {
  OneSided simulation;
  simulation.conditions().max_compute = 20s;
  simulation.node(b).options.max_half_open = 8;
  simulation.start(b);
  for (int i = 0; i < 9; ++i) {
    OneSided other_one;
    other_one.node(a).random = std::make_unique<SeededRandom>(1000 + i);
    other_one.filter = [](const Datagram&) { return false; };
    other_one.start(a);
    REQUIRE(other_one.wire.size() == 1);
    simulation.deliver(other_one.wire.front());
  }
  CHECK(simulation.node(b).drops[DropReason::ike_half_open_limit] == 1);
}

// a: CREATE_CHILD_SA  -->  (b computes)
// a: D(IKE)           -->  it has the next message ID: beyond the window, and comes again when b has answered
TEST_CASE("a Delete that comes while a rekey is computed waits its turn, and ends both sides") {
  Up simulation;
  simulation.bring_up();
  simulation.conditions().max_compute = 5s;
  simulation.rekey(a, What::children);
  REQUIRE(simulation.run_until([&] { return count_of(simulation.wire, a, ExchangeType::create_child_sa, false) > 0; },
                               20s));
  simulation.run_for(6ms);
  const auto early = simulation.forge(a, ExchangeType::informational, false, 3, {DeletePayload{ProtocolId::ike, {}}});
  for (const Datagram& answer : simulation.inject(early)) CHECK_FALSE(parse_header(answer.bytes)->response);
  simulation.command(a, simulation.node(a).ike->down(simulation.now(), "tokyo"));
  simulation.run_for(60s);
  CHECK(simulation.both_gone());
  CHECK(simulation.fault() == "");
}

TEST_CASE("what is computed for an IKE SA that has ended is dropped") {
  Up simulation;
  simulation.bring_up();
  simulation.conditions().max_compute = 3s;
  simulation.rekey(a, What::both);
  simulation.rekey(b, What::both);
  simulation.run_for(500ms);
  for (const Side side : {a, b}) simulation.perform(side, simulation.node(side).ike->shut_down(simulation.now()));
  const int computed = simulation.node(a).computed + simulation.node(b).computed;
  simulation.run_for(30s);
  CHECK(simulation.node(a).computed + simulation.node(b).computed > computed);
  CHECK(simulation.both_gone());
  CHECK(simulation.fault() == "");
}

TEST_CASE("an endpoint that has no room for the work loses messages, and comes up when there is room again") {
  Simulation simulation;
  simulation.conditions().no_room = 1;
  simulation.start();
  simulation.run_for(20s);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.node(a).drops[DropReason::ike_busy] > 0);
  CHECK(simulation.reported(a, "too much to compute"));
  simulation.conditions().no_room = 0;
  CHECK(simulation.run_until([&] { return simulation.both_up(); }, 120s));
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("a rekey for which there is no room is tried again until there is") {
  Up simulation;
  simulation.bring_up();
  for (const auto what : {What::children, What::ike}) {
    const auto ike_sa = simulation.ike_sa(a);
    const Spi child = simulation.child(a);
    simulation.conditions().no_room = 1;
    simulation.rekey(a, what);
    simulation.run_for(3s);
    CHECK(simulation.ike_sa(a) == ike_sa);
    CHECK(simulation.child(a) == child);
    simulation.conditions().no_room = 0;
    simulation.run_for(60s);
    CHECK((what == What::ike ? simulation.ike_sa(a) != ike_sa : simulation.child(a) != child));
    simulation.agrees();
  }
}

// a: CREATE_CHILD_SA  -->
//                     <--  b   (a has no room for the secret: the response is lost, the request comes again)
TEST_CASE("a response for which there is no room comes again") {
  Up simulation;
  simulation.bring_up();
  const Spi child = simulation.child(a);
  simulation.filter = [&](const Datagram& datagram) {
    const bool answer = datagram.from == b && parse_header(datagram.bytes)->response;
    simulation.conditions().no_room = answer && simulation.node(a).drops[DropReason::ike_busy] == 0 ? 1 : 0;
    return true;
  };
  simulation.rekey(a, What::children);
  simulation.run_for(30s);
  CHECK(simulation.node(a).drops[DropReason::ike_busy] == 1);
  CHECK(simulation.child(a) != child);
  simulation.agrees();
  CHECK(count_of(simulation.wire, a, ExchangeType::create_child_sa, false) == 2);
  CHECK(count_of(simulation.wire, b, ExchangeType::create_child_sa, true) == 2);
}

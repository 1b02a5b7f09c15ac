// Keys for an operator who may read what is protected (`culvert capture --keys`).
#include <doctest/doctest.h>

#include "rekeys.h"
#include "road_warrior.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

/// Up without the keys of the start.
struct Quiet : Up {
  explicit Quiet(const char* ike) {
    for (const Side side : {a, b}) {
      node(side).options.debug_keys = false;
      config(side).ike_proposals = {*parse_ike_proposal(ike)};
    }
  }
};

std::size_t num_opened(const Simulation& simulation) {
  return simulation.messages().size();
}

}  // namespace

TEST_CASE("keys that are copied from an IKE SA open what either end sends on it") {
  Quiet simulation("aes256gcm16-prfsha384-x25519");
  simulation.bring_up();
  const auto copies = simulation.node(a).ike->copy_keys(), others = simulation.node(b).ike->copy_keys();
  REQUIRE(copies.size() == 1);
  REQUIRE(others.size() == 1);
  CHECK(copies[0].sk_ei.equals(others[0].sk_ei.view()));
  CHECK(copies[0].sk_er.equals(others[0].sk_er.view()));
  CHECK(copies[0].peer == simulation.config(a).id);
  CHECK(copies[0].remote == simulation.node(b).address.address);
  simulation.command(a, simulation.node(a).ike->rekey(simulation.now(), simulation.config(a).name, What::children));
  simulation.run_for(std::chrono::seconds(1));
  REQUIRE(simulation.wire.size() >= 2);
  for (const Datagram& datagram : simulation.wire) {
    if (datagram.keepalive) continue;
    const Secret& key = datagram.from == a ? copies[0].sk_ei : copies[0].sk_er;  // a has initiated it
    const auto protection = SkProtection::create(copies[0].cipher, key.view(), {});
    REQUIRE(protection);
    CHECK(protection->open(datagram.bytes, parsed(datagram.bytes)));
  }
}

TEST_CASE("keys are emitted from the moment that they are asked for, with the peer whose they are, and then no more") {
  Quiet simulation("aes256-sha256-modp2048");
  simulation.bring_up();
  CHECK(num_opened(simulation) == 0);
  const auto rekey = [&] {
    simulation.wire.clear();
    for (const What what : {What::ike, What::children}) {
      simulation.command(a, simulation.node(a).ike->rekey(simulation.now(), simulation.config(a).name, what));
      simulation.run_for(std::chrono::seconds(2));
    }
  };
  rekey();
  CHECK(num_opened(simulation) == 0);
  simulation.node(a).ike->emit_keys(true);
  rekey();
  CHECK(num_opened(simulation) >= 2);  // the request for a child on the new IKE SA, and its response
  simulation.node(a).ike->emit_keys(false);
  rekey();
  rekey();
  CHECK(num_opened(simulation) == 0);
}

TEST_CASE("a client's keys are those of the peer that it is a client of, which may be anywhere") {
  RoadWarrior simulation;
  REQUIRE(simulation.comes_up());
  const auto& gateway = *simulation.node(b).ike;
  const PeerId configured = simulation.config(b).id;
  const auto clients = gateway.clients(simulation.now(), std::nullopt, 10);
  REQUIRE(clients.size() == 1);
  CHECK(clients[0].peer != configured);
  CHECK(gateway.configured_peer(clients[0].peer) == configured);
  CHECK(gateway.configured_peer(configured) == configured);
  CHECK(gateway.whereabouts(configured).empty());
  const auto copies = gateway.copy_keys();
  REQUIRE(copies.size() == 1);
  CHECK(copies[0].peer == configured);
  CHECK(simulation.node(a).ike->whereabouts(simulation.config(a).id) ==
        std::vector<IpAddress>{simulation.node(b).address.address});
}

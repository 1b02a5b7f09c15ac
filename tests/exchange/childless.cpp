// IKE SAs without a child, RFC 6023.
#include <doctest/doctest.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

bool announced(const OneSided& simulation) {
  return std::ranges::any_of(simulation.messages(b), [](const Message& message) {
    return message.header.exchange == ExchangeType::ike_sa_init &&
           message.find_notify(NotifyType::childless_ikev2_supported) != nullptr;
  });
}

}  // namespace

// a: IKE_AUTH (no SA)  -->        <--  :b
// a: CREATE_CHILD_SA   -->        <--  :b       with a key exchange of its own
TEST_CASE("childless = prefer: the first child is made by CREATE_CHILD_SA where the peer announces RFC 6023") {
  OneSided simulation;
  simulation.config(a).childless = ChildlessPolicy::prefer;
  REQUIRE(simulation.comes_up());
  CHECK(announced(simulation));
  const auto auth = requests_of(simulation.messages(a), ExchangeType::ike_auth);
  REQUIRE(auth.size() == 1);
  CHECK(auth[0].find<SaPayload>() == nullptr);
  CHECK(auth[0].find_ts(true) == nullptr);
  const auto child = requests_of(simulation.messages(a), ExchangeType::create_child_sa);
  REQUIRE(child.size() == 1);
  CHECK(child[0].find<KePayload>() != nullptr);
  CHECK(simulation.wire.size() == 6);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("a responder with childless = never announces nothing, and the child comes in IKE_AUTH") {
  OneSided simulation;
  simulation.config(a).childless = ChildlessPolicy::prefer;
  simulation.config(b).childless = ChildlessPolicy::never;
  REQUIRE(simulation.comes_up());
  CHECK_FALSE(announced(simulation));
  CHECK(simulation.wire.size() == 4);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("childless = allow announces it and does not ask for it") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  CHECK(announced(simulation));
  CHECK(simulation.wire.size() == 4);
}

// Who it is shows in IKE_AUTH alone: the announcement was that of another peer which may come from anywhere.
TEST_CASE("IKE_AUTH without a child is malformed for a peer with childless = never") {
  OneSided simulation;
  simulation.config(a).childless = ChildlessPolicy::prefer;
  PeerConfig never = simulation.config(b);
  PeerConfig& anybody = simulation.config(b);
  anybody.name = "osaka";
  anybody.remote_id = *Identity::parse("osaka.example.net");
  anybody.addresses.clear();
  never.id = PeerId(1);
  never.addresses.clear();
  never.childless = ChildlessPolicy::never;
  simulation.node(b).configs.push_back(never);
  simulation.start();
  simulation.run_for(800ms);
  CHECK(announced(simulation));
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.status(a).reason.contains("INVALID_SYNTAX"));
  CHECK(simulation.reported(b, "childless = \"never\""));
}

// RFC 6023 §4: IKE_AUTH without a child has neither SA nor TSi nor TSr.
TEST_CASE("IKE_AUTH with traffic selectors and no SA is malformed, and no IKE SA without a child") {
  OneSided simulation;
  simulation.filter = [&](const Datagram& datagram) {
    const auto message = simulation.open(datagram);
    if (datagram.from != a || !message || message->header.exchange != ExchangeType::ike_auth) return true;
    std::vector<Payload> payloads;
    for (const Payload& payload : message->payloads) {
      if (!std::holds_alternative<SaPayload>(payload)) payloads.push_back(payload);
    }
    simulation.deliver(simulation.rewritten(datagram, payloads));
    return false;
  };
  simulation.start();
  simulation.run_for(500ms);
  CHECK_FALSE(simulation.established(b));
  CHECK(simulation.status(a).reason.contains("INVALID_SYNTAX"));
}

TEST_CASE("on-traffic and childless: the packet's selector comes first in CREATE_CHILD_SA") {
  OneSided simulation;
  simulation.config(a).childless = ChildlessPolicy::prefer;
  simulation.config(a).start = StartMode::on_traffic;
  simulation.start();
  const IpAddress here = simulation.node(a).inner.address, there = simulation.node(b).inner.address;
  const TrafficSelector source{47, 0, 65535, here, here}, destination{47, 0, 65535, there, there};
  simulation.perform(a, simulation.node(a).ike->on_acquire(simulation.now(), ChildId(7), source, destination));
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 3s));
  const auto child = requests_of(simulation.messages(a), ExchangeType::create_child_sa);
  REQUIRE(child.size() == 1);
  CHECK(child[0].find_ts(true)->selectors.front() == source);
  CHECK(child[0].find_ts(false)->selectors.front() == destination);
}

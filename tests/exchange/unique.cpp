// Several IKE SAs with one identity: unique = replace | keep | never.
#include <doctest/doctest.h>

#include "credentials.h"
#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

/// Side a comes up, loses its memory, and comes again without INITIAL_CONTACT, as somebody else with its identity
/// would.
struct Twin : OneSided {
  explicit Twin(UniquePolicy policy) {
    config(a).unique = UniquePolicy::never;  // sends no INITIAL_CONTACT
    config(a).addresses = {"192.0.2.2"};
    config(b).unique = policy;
    config(b).addresses.clear();  // from anywhere
    config(b).liveness = Duration::zero();
  }
  void come_again(const char* address) {
    node(a).ike.reset();
    node(a).plane.clear();
    node(a).sending.clear();
    node(a).address = node(a).inner = {*IpAddress::parse(address), 500};
    start(a);
  }
  [[nodiscard]] bool initial_contact_sent() const {
    return std::ranges::any_of(requests_of(messages(a), ExchangeType::ike_auth), [](const Message& message) {
      return message.find_notify(NotifyType::initial_contact) != nullptr;
    });
  }
};

}  // namespace

TEST_CASE("a peer whose identity is shared sends no INITIAL_CONTACT") {
  Twin simulation(UniquePolicy::replace);
  REQUIRE(simulation.comes_up());
  CHECK_FALSE(simulation.initial_contact_sent());
  Twin usual(UniquePolicy::replace);
  usual.config(a).unique = UniquePolicy::replace;
  REQUIRE(usual.comes_up());
  CHECK(usual.initial_contact_sent());
}

// b sends on the old child until it hears of a on the new one: a might not have b's answer yet.
TEST_CASE("unique = replace: the newer IKE SA takes over when it is heard, and the older one goes") {
  Twin simulation(UniquePolicy::replace);
  REQUIRE(simulation.comes_up());
  const Spi old = simulation.node(b).sending.at(ChildId(7));
  simulation.come_again("192.0.2.9");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  CHECK(simulation.node(b).plane.size() == 2);
  CHECK(simulation.node(b).sending.at(ChildId(7)) == old);
  SUBCASE("traffic of the newer one moves ours") {
    simulation.send_data(a);
    simulation.run_for(100ms);
  }
  SUBCASE("without traffic ours moves after some seconds") {
    simulation.run_for(4s);
  }
  CHECK(simulation.node(b).sending.at(ChildId(7)) != old);
  simulation.run_for(120s);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("unique = keep: from another address the newer one is refused as long as the older one lives") {
  Twin simulation(UniquePolicy::keep);
  REQUIRE(simulation.comes_up());
  auto first = std::move(simulation.node(a).ike);
  simulation.come_again("192.0.2.9");
  simulation.run_for(500ms);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.established(b));
  CHECK(simulation.node(b).plane.size() == 1);
  CHECK(simulation.status(a).reason.contains("AUTHENTICATION_FAILED"));
  CHECK(simulation.reported(b, "a second IKE SA is refused: it calls from 192.0.2.9, is up from 192.0.2.1"));
  // The first one is gone, in truth: b has asked it whether it lives when the second came.
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 150s));
  simulation.run_for(60s);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("unique = keep: from the same address it reauthenticates, and takes over") {
  Twin simulation(UniquePolicy::keep);
  REQUIRE(simulation.comes_up());
  simulation.come_again("192.0.2.1");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  simulation.run_for(120s);
  CHECK(simulation.disagreement().value_or("") == "");
}

// RFC 7296 §2.4: INITIAL_CONTACT speaks for the authenticated identity. Two ends that one wildcard covers.
TEST_CASE("INITIAL_CONTACT of one identity says nothing about another that the same wildcard covers") {
  const auto other_end = [](Twin& simulation) {
    const Identity osaka = *Identity::parse("osaka.example.net");
    simulation.config(a).unique = UniquePolicy::replace;
    simulation.config(a).local_id = osaka;
    simulation.config(a).auth.ours = own(culvert::test::make_leaf(
        pki().ca, "O=Example, CN=osaka", {{crypto::AlternativeName::Type::dns, "osaka.example.net"}}));
    simulation.come_again("192.0.2.9");
    simulation.run_for(500ms);
    CHECK(simulation.initial_contact_sent());
  };
  SUBCASE("keep: it does not let it in") {
    Twin simulation(UniquePolicy::keep);
    use_certificates(simulation);
    simulation.config(b).remote_id = *Identity::parse("*.example.net");
    REQUIRE(simulation.comes_up());
    auto first = std::move(simulation.node(a).ike);
    other_end(simulation);
    CHECK_FALSE(simulation.established(a));
    CHECK(simulation.node(b).plane.size() == 1);
    CHECK(simulation.reported(b, "a second IKE SA is refused: it calls from 192.0.2.9, is up from 192.0.2.1"));
  }
  SUBCASE("replace: the older one is told that it goes") {
    Twin simulation(UniquePolicy::replace);
    use_certificates(simulation);
    simulation.config(b).remote_id = *Identity::parse("*.example.net");
    REQUIRE(simulation.comes_up());
    const IkeSpi old = simulation.status(b).spi_i;
    auto first = std::move(simulation.node(a).ike);
    other_end(simulation);
    CHECK(simulation.established(a));
    CHECK(simulation.node(b).plane.size() == 2);
    simulation.wire.clear();
    simulation.run_for(60s);
    CHECK(std::ranges::any_of(simulation.messages(b), [&](const Message& message) {
      return message.header.spi_i == old && message.find<DeletePayload>() != nullptr;
    }));
  }
}

TEST_CASE("unique = never: both stay, also with INITIAL_CONTACT, and what is heard last is sent on") {
  Twin simulation(UniquePolicy::never);
  SUBCASE("without INITIAL_CONTACT") {}
  SUBCASE("with it") {
    simulation.config(a).unique = UniquePolicy::replace;
  }
  REQUIRE(simulation.comes_up());
  auto first = std::move(simulation.node(a).ike);
  simulation.come_again("192.0.2.9");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  simulation.run_for(100s);
  CHECK(simulation.node(b).plane.size() == 2);
  simulation.send_data(a);
  simulation.run_for(1s);
  const Spi ours = simulation.node(a).plane.begin()->second.keys.outbound_spi;
  CHECK(simulation.node(b).sending.at(ChildId(7)) == ours);
  CHECK(simulation.node(b).removes == 0);
}

TEST_CASE("unique = keep does not stand in the way of simultaneous initiation or INITIAL_CONTACT") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Simulation simulation(seed);
    for (const Side side : {a, b}) simulation.config(side).unique = UniquePolicy::keep;
    simulation.start();
    simulation.run_for(30s);
    CHECK(simulation.disagreement().value_or("") == "");
    simulation.kill(a);
    simulation.start(a);
    simulation.run_for(10s);
    CHECK(simulation.disagreement().value_or("") == "");
  }
}

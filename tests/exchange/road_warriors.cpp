// Clients of a gateway: addresses by configuration payload (RFC 7296 §2.19, §3.15), a peer of its own for each.
#include <doctest/doctest.h>

#include "road_warrior.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

std::vector<std::string> texts(const std::vector<TrafficSelector>& selectors) {
  std::vector<std::string> texts;
  for (const TrafficSelector& selector : selectors)
    texts.push_back(selector.first.to_string() + "-" + selector.last.to_string());
  return texts;
}

using Texts = std::vector<std::string>;

/// The one pair of SAs of this side.
const ChildSaKeys& only_sa(RoadWarrior& simulation, Side side) {
  REQUIRE(simulation.node(side).plane.size() == 1);
  return simulation.node(side).plane.begin()->second.keys;
}

}  // namespace

//   a                                                     b
//   IKE_AUTH {…, CP(CFG_REQUEST), SA, TSi = all, TSr}  -->
//                                                     <--  {…, CP(CFG_REPLY), SA, TSi = 10.99.0.2, fd99::2, TSr}
TEST_CASE("a client gets addresses, DNS and domains, and its selectors are its addresses") {
  RoadWarrior simulation;
  REQUIRE(simulation.comes_up());
  const auto& net = simulation.node(a).virtual_net;
  REQUIRE(net);
  CHECK(net->addresses == addresses({"10.99.0.1", "fd99::1"}));
  CHECK(net->dns == addresses({"10.1.0.53", "fd01::53"}));
  CHECK(net->domains == std::vector<std::string>{"corp.example", "lab.example"});
  CHECK(net->subnets == std::vector<IpPrefix>{*IpPrefix::parse("10.1.0.0/16"), *IpPrefix::parse("fd01::/48")});
  CHECK(simulation.node(a).virtual_nets == 1);
  const ChildSaKeys& there = only_sa(simulation, b);
  CHECK(texts(there.remote) == Texts{"10.99.0.1-10.99.0.1", "fd99::1-fd99::1"});
  CHECK(texts(there.local) == Texts{"10.1.0.0-10.1.255.255", "fd01::-fd01::ffff:ffff:ffff:ffff:ffff"});
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.node(b).ike->status(simulation.now()).front().clients == 1);
}

TEST_CASE("the request is of RFC 7296 §3.15.1: empty attributes first, later the address that it had") {
  RoadWarrior simulation;
  REQUIRE(simulation.comes_up());
  const auto requests = requests_of(simulation.messages(a), ExchangeType::ike_auth);
  REQUIRE(requests.size() == 1);
  const auto* cp = requests.front().find<CpPayload>();
  REQUIRE(cp);
  CHECK(cp->type == CfgType::request);
  CHECK(cp->attributes.front().type == CfgAttributeType::internal_ip4_address);
  CHECK(cp->attributes.front().value.empty());
  CHECK(texts(requests.front().find_ts(true)->selectors) ==
        Texts{"0.0.0.0-255.255.255.255", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"});
  // The gateway loses its memory, leases and all.
  simulation.kill(b);
  simulation.node(b).options.leases.clear();
  simulation.start(b);
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 200s));
  const auto again = requests_of(simulation.messages(a), ExchangeType::ike_auth);
  const auto* later = again.back().find<CpPayload>();
  REQUIRE(later);
  CHECK(later->attributes.front().value == Bytes{10, 99, 0, 1});
  CHECK(simulation.node(a).virtual_nets == 1);  // it had nothing new to say
}

TEST_CASE("addresses stay across rekeys of both kinds and across reauthentication") {
  RoadWarrior simulation;
  simulation.config(a).child_lifetime = 30s;
  simulation.config(a).ike_lifetime = 100s;
  SUBCASE("rekeys") {}
  SUBCASE("reauthentication") {
    simulation.config(a).reauth_lifetime = 60s;
  }
  SUBCASE("reauthentication where identities are shared") {
    simulation.config(a).reauth_lifetime = 60s;
    simulation.config(b).unique = UniquePolicy::never;
  }
  REQUIRE(simulation.comes_up());
  simulation.set_traffic(100ms);
  const int before = simulation.node(a).installs;
  simulation.run_for(400s);
  CHECK(simulation.node(a).installs > before + 5);
  REQUIRE(simulation.run_until([&] { return !simulation.disagreement(); }, 30s));  // between two rekeys
  CHECK(simulation.node(a).virtual_nets == 1);
  CHECK(simulation.node(b).ike->status(simulation.now()).front().clients == 1);
  CHECK(texts(only_sa(simulation, b).remote) == Texts{"10.99.0.1-10.99.0.1", "fd99::1-fd99::1"});
}

TEST_CASE("a client that has gone leaves nothing but a lease, which it has again when it returns") {
  RoadWarrior simulation;
  REQUIRE(simulation.comes_up());
  simulation.command(a, simulation.node(a).ike->down(simulation.now(), "tokyo"));
  simulation.run_for(1s);
  CHECK_FALSE(simulation.node(a).virtual_net.has_value());
  CHECK(simulation.node(b).ike->status(simulation.now()).front().clients == 0);
  CHECK(simulation.node(b).ike->clients(simulation.now(), std::nullopt, 10).empty());
  simulation.run_for(120s);
  CHECK_FALSE(simulation.node(b).ike->deadline().has_value());
  CHECK(simulation.node(b).plane.empty());
  // Another one comes in between: it does not get the address that was kept.
  auto first = simulation.set_aside();
  simulation.come_as("bob.example.net");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.2"));
  auto second = simulation.set_aside();
  simulation.come_as("alice.example.net");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.1"));
}

TEST_CASE("leases outlive the gateway's crash") {
  RoadWarrior simulation;
  simulation.come_as("bob.example.net");
  simulation.start(b);
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 5s));
  auto bob = simulation.set_aside();
  simulation.come_as("alice.example.net");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.2"));
  simulation.kill(b);
  simulation.kill(a);
  simulation.start(b);
  simulation.come_as("alice.example.net");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.2"));
}

TEST_CASE("a pool that is used up: INTERNAL_ADDRESS_FAILURE, and the client tries again until an address is free") {
  RoadWarrior simulation;
  simulation.node(b).options.pools.front().addresses = {*IpPrefix::parse("10.99.0.0/30")};  // .1 and .2
  simulation.config(a).request_v6 = false;
  simulation.come_as("bob.example.net");
  simulation.start(b);
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 5s));
  auto bob = simulation.set_aside();
  simulation.come_as("carol.example.net");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  auto carol = simulation.set_aside();
  simulation.come_as("alice.example.net");
  simulation.run_for(3s);
  CHECK_FALSE(simulation.up(a));
  CHECK(simulation.status(a).reason.contains("INTERNAL_ADDRESS_FAILURE: it has no address for us"));
  CHECK(simulation.reported(b, "pool staff has no IPv4 address left: 2 leases are in use"));
  CHECK(simulation.node(b).plane.size() == 2);
  // One is free: given to the new one though it was kept for the old one.
  simulation.perform(b, *simulation.node(b).ike->kick(simulation.now(), "bob.example.net"));
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 120s));
  CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.1"));
}

TEST_CASE("a client that asks for no address gets an IKE SA, FAILED_CP_REQUIRED and no child") {
  RoadWarrior simulation;
  simulation.config(a).request_v4 = simulation.config(a).request_v6 = false;
  simulation.config(a).children.front().virtual_local = false;
  simulation.config(a).children.front().local = {SelectorSpec{IpPrefix::parse("10.99.0.1/32"), 0}};
  simulation.start();
  simulation.run_for(2s);
  CHECK(simulation.established(a));
  CHECK(simulation.status(a).children.front().reason.contains("FAILED_CP_REQUIRED"));
  CHECK(simulation.node(b).plane.empty());
  CHECK(simulation.reported(b, "it does not ask for an address"));
  simulation.run_for(300s);  // nor later, by CREATE_CHILD_SA
  CHECK(simulation.node(b).plane.empty());
}

TEST_CASE("clients beyond max_clients are refused, those that are there may come again") {
  RoadWarrior simulation;
  simulation.config(b).max_clients = 1;
  simulation.come_as("bob.example.net");
  simulation.start(b);
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 5s));
  auto bob = simulation.set_aside();
  simulation.come_as("alice.example.net");
  simulation.run_for(3s);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.reported(b, "has 1 clients already (max_clients)"));
  simulation.kill(a);
  simulation.come_as("bob.example.net");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
}

TEST_CASE("two clients with one identity, by each kind of `unique`") {
  RoadWarrior simulation;
  simulation.config(a).unique = UniquePolicy::never;  // sends no INITIAL_CONTACT
  SUBCASE("replace: the newer one has the address, the older one goes") {
    simulation.config(b).unique = UniquePolicy::replace;
    REQUIRE(simulation.comes_up());
    auto first = simulation.set_aside();
    simulation.come_as("alice.example.net", "192.0.2.9");
    REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
    CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.1"));
    simulation.run_for(120s);
    CHECK(simulation.node(b).plane.size() == 1);
    CHECK(simulation.node(b).ike->status(simulation.now()).front().clients == 1);
  }
  SUBCASE("keep: from elsewhere the newer one is refused") {
    simulation.config(b).unique = UniquePolicy::keep;
    REQUIRE(simulation.comes_up());
    auto first = simulation.set_aside();
    simulation.come_as("alice.example.net", "192.0.2.9");
    simulation.run_for(500ms);
    CHECK_FALSE(simulation.established(a));
    CHECK(simulation.node(b).plane.size() == 1);
  }
  SUBCASE("never: each has its own") {
    simulation.config(b).unique = UniquePolicy::never;
    REQUIRE(simulation.comes_up());
    auto first = simulation.set_aside();
    simulation.come_as("alice.example.net", "192.0.2.9");
    REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
    CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.2"));
    simulation.run_for(20s);
    CHECK(simulation.node(b).plane.size() == 2);
    const auto clients = simulation.node(b).ike->clients(simulation.now(), std::nullopt, 10);
    REQUIRE(clients.size() == 2);
    CHECK(clients[0].name == "paris/alice.example.net");
    CHECK(clients[1].name == "paris/alice.example.net#2");
  }
}

TEST_CASE(
    "unique = never: who asks from elsewhere for an address that another one with his identity has is somebody else") {
  RoadWarrior simulation;
  simulation.config(a).unique = simulation.config(b).unique = UniquePolicy::never;
  simulation.config(a).request_v6 = false;
  REQUIRE(simulation.comes_up());
  auto first = simulation.set_aside();
  simulation.use_wish("10.99.0.1");
  simulation.come_as("alice.example.net", "192.0.2.9");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.2"));
  CHECK(simulation.node(b).ike->status(simulation.now()).front().clients == 2);
}

TEST_CASE("an address that somebody has is not given to who asks for it") {
  RoadWarrior simulation;
  simulation.config(a).request_v6 = false;
  simulation.come_as("bob.example.net");
  simulation.start(b);
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 5s));
  auto bob = simulation.set_aside();
  simulation.use_wish("10.99.0.1");
  simulation.come_as("alice.example.net");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  CHECK(simulation.node(a).virtual_net->addresses.front() == *IpAddress::parse("10.99.0.2"));
}

TEST_CASE("a free address that a client asks for is its own, one outside of the pool never") {
  RoadWarrior simulation;
  simulation.config(a).request_v6 = false;
  SUBCASE("free") {
    simulation.use_wish("10.99.0.200");
    REQUIRE(simulation.comes_up());
    CHECK(simulation.node(a).virtual_net->addresses == addresses({"10.99.0.200"}));
  }
  SUBCASE("excluded") {
    simulation.use_wish("10.99.0.254");
    REQUIRE(simulation.comes_up());
    CHECK(simulation.node(a).virtual_net->addresses == addresses({"10.99.0.1"}));
  }
  SUBCASE("elsewhere") {
    simulation.use_wish("10.1.0.1");
    REQUIRE(simulation.comes_up());
    CHECK(simulation.node(a).virtual_net->addresses == addresses({"10.99.0.1"}));
  }
}

TEST_CASE("a pool for some users alone, and what they may reach") {
  RoadWarrior simulation;
  simulation.config(a).request_v6 = false;
  PoolConfig guests;
  guests.name = "guests";
  guests.addresses = {*IpPrefix::parse("10.98.0.0/24")};
  guests.allow = {*IpPrefix::parse("10.1.7.0/24"), *IpPrefix::parse("10.5.0.0/16")};
  simulation.node(b).options.pools.push_back(guests);
  simulation.node(b).options.pools.front().users = {*Identity::parse("bob.example.net")};
  simulation.config(b).pools = {0, 1};
  REQUIRE(simulation.comes_up());  // alice
  CHECK(simulation.node(a).virtual_net->addresses == addresses({"10.98.0.1"}));
  CHECK(texts(only_sa(simulation, b).local) == Texts{"10.1.7.0-10.1.7.255"});
  auto alice = simulation.set_aside();
  simulation.come_as("bob.example.net");
  REQUIRE(simulation.run_until([&] { return simulation.up(a); }, 5s));
  CHECK(simulation.node(a).virtual_net->addresses == addresses({"10.99.0.1"}));
}

TEST_CASE("full tunnel: the client asks for everything and gets what the gateway leads to") {
  RoadWarrior simulation;
  const std::vector<SelectorSpec> everything = {{IpPrefix::parse("0.0.0.0/0"), 0}, {IpPrefix::parse("::/0"), 0}};
  simulation.config(a).children.front().remote = everything;
  SUBCASE("which is everything") {
    simulation.config(b).children.front().local = everything;
    REQUIRE(simulation.comes_up());
    CHECK(texts(only_sa(simulation, a).remote).front() == "0.0.0.0-255.255.255.255");
    CHECK(simulation.node(a).virtual_net->subnets.empty());
  }
  SUBCASE("which is some nets: split tunnel") {
    REQUIRE(simulation.comes_up());
    CHECK(texts(only_sa(simulation, a).remote).front() == "10.1.0.0-10.1.255.255");
  }
  SUBCASE("of one family, when it has an address of that alone") {
    simulation.config(b).children.front().local = everything;
    simulation.node(b).options.pools.front().addresses = {*IpPrefix::parse("10.99.0.0/24")};
    REQUIRE(simulation.comes_up());
    CHECK(texts(only_sa(simulation, a).remote) == Texts{"0.0.0.0-255.255.255.255"});
    CHECK(texts(only_sa(simulation, a).local) == Texts{"10.99.0.1-10.99.0.1"});
  }
}

TEST_CASE("without a child in IKE_AUTH (RFC 6023) the addresses come all the same") {
  RoadWarrior simulation;
  simulation.config(a).childless = ChildlessPolicy::prefer;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.node(a).virtual_net->addresses.size() == 2);
  CHECK(texts(only_sa(simulation, b).remote) == Texts{"10.99.0.1-10.99.0.1", "fd99::1-fd99::1"});
}

TEST_CASE("on a bad network clients come up, stay up and keep their addresses") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    RoadWarrior simulation(seed);
    simulation.conditions() = {0.3, 0.1, 1ms, 200ms, 20ms, 0.0};
    simulation.config(a).child_lifetime = 60s;
    simulation.config(a).ike_lifetime = 150s;
    simulation.config(a).reauth_lifetime = seed % 2 ? 100s : 0s;
    simulation.start();
    simulation.run_for(600s);
    simulation.conditions() = {};
    simulation.config(a).liveness = 0s;
    REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 400s));
    CHECK(simulation.node(a).virtual_net->addresses == addresses({"10.99.0.1", "fd99::1"}));
    CHECK(simulation.node(a).virtual_nets == 1);
    CHECK(simulation.node(b).ike->status(simulation.now()).front().clients == 1);
    CHECK(simulation.fault() == "");
  }
}

TEST_CASE("a malformed configuration payload is INVALID_SYNTAX, and no client comes of it") {
  RoadWarrior simulation;
  bool changed = false;
  simulation.filter = [&](const Datagram& datagram) {
    const auto opened = simulation.open(datagram);
    if (datagram.from != a || changed || !opened || !opened->find<CpPayload>()) return true;
    changed = true;
    std::vector<Payload> payloads = opened->payloads;
    for (Payload& payload : payloads)
      if (auto* cp = std::get_if<CpPayload>(&payload)) cp->attributes.front().value = Bytes(3);
    simulation.deliver(simulation.rewritten(datagram, payloads));
    return false;
  };
  simulation.start();
  simulation.run_for(1s);
  REQUIRE(changed);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.status(a).reason.contains("INVALID_SYNTAX"));
  CHECK(simulation.node(b).ike->clients(simulation.now(), std::nullopt, 10).empty());
  CHECK(simulation.node(b).options.leases.empty());
}

TEST_CASE("kick: by user, by name, by address; who is not there is an error") {
  RoadWarrior simulation;
  REQUIRE(simulation.comes_up());
  const char* who = nullptr;
  SUBCASE("user") {
    who = "alice.example.net";
  }
  SUBCASE("name") {
    who = "paris/alice.example.net";
  }
  SUBCASE("address") {
    who = "fd99::1";
  }
  CHECK_FALSE(simulation.node(b).ike->kick(simulation.now(), "mallory.example.net"));
  simulation.command(b, simulation.node(b).ike->kick(simulation.now(), who));
  CHECK(simulation.run_until([&] { return !simulation.established(a); }, 500ms));
  CHECK(simulation.node(a).virtual_net.has_value());  // it calls again
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 60s));
  CHECK(simulation.node(a).virtual_nets == 1);
}

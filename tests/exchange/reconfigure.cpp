// Another configuration while the gateway runs (reconfigure.cpp).
#include <doctest/doctest.h>

#include <algorithm>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

struct Reloading : OneSided {
  /// What node(side).configs says by now is its configuration.
  void reload(Side side, const Renewal& renewal = {}) {
    Reconfiguration next;
    for (const PeerConfig& config : node(side).configs) next.peers.push_back({config, renewal});
    perform(side, node(side).ike->reconfigure(now(), std::move(next)));
  }
  [[nodiscard]] const ChildStatus* child(Side side, std::string_view name) {
    last_ = status(side);
    const auto found = std::ranges::find(last_.children, name, &ChildStatus::name);
    return found == last_.children.end() ? nullptr : &*found;
  }
  [[nodiscard]] bool child_up(Side side, std::string_view name) {
    const ChildStatus* found = child(side, name);
    return found && found->up;
  }

 private:
  PeerStatus last_;
};

std::shared_ptr<const Secret> key_of(std::string_view text) {
  return std::make_shared<const Secret>(Secret::copy_of(as_bytes(text)));
}

/// A peer that does not call: the simulation's network has only one other end.
PeerConfig stranger(Side side) {
  PeerConfig config = make_config(side);
  config.id = PeerId(77);
  config.name = "stranger";
  config.remote_id = *Identity::parse("stranger.example.net");
  config.addresses = {"203.0.113.77"};
  config.start = StartMode::wait;
  config.children.front().id = ChildId(77);
  config.children.front().name = "strange";
  return config;
}

ChildConfig lan(Side side, std::string_view far = "10.2.0.0/16") {
  ChildConfig child;
  child.id = ChildId(8);
  child.name = "lan";
  const auto here = SelectorSpec{*IpPrefix::parse("10.1.0.0/16"), 0}, there = SelectorSpec{*IpPrefix::parse(far), 0};
  child.local = {side == a ? here : there};
  child.remote = {side == a ? there : here};
  return child;
}

constexpr Renewal changed{.changed = true};
constexpr Renewal reauthenticated{.changed = true, .reauthenticate = true};

}  // namespace

TEST_CASE("peers that come and go beside it leave a peer as it is: the same SAs, no message, no packet lost") {
  Reloading simulation;
  REQUIRE(simulation.comes_up(20s));
  simulation.run_for(5s);
  const IkeSpi ike = simulation.status(a).spi_i;
  const Spi child = simulation.status(a).children.front().inbound_spi;
  simulation.set_traffic(10ms);
  for (int i = 0; i < 20; ++i) {
    simulation.node(a).configs.push_back(stranger(a));
    simulation.node(a).configs.back().id = PeerId(100 + static_cast<std::uint32_t>(i));
    simulation.reload(a);
    CHECK(simulation.node(a).ike->status(simulation.now()).size() == 2);
    simulation.run_for(50ms);
    simulation.node(a).configs.pop_back();
    simulation.reload(a);
    CHECK(simulation.node(a).ike->status(simulation.now()).size() == 1);
  }
  simulation.run_for(5min);  // and those that have gone are forgotten
  CHECK(simulation.status(a).spi_i == ike);
  CHECK(simulation.status(a).children.front().inbound_spi == child);
  CHECK(simulation.node(a).lost + simulation.node(b).lost + simulation.node(a).unsent == 0);
  CHECK(simulation.fault() == "");
}

// a: Delete (IKE SA)  -->  <-- :b
TEST_CASE("a peer that is no longer configured is told so, and cannot come back") {
  Reloading simulation;
  REQUIRE(simulation.comes_up(20s));
  const std::vector<PeerConfig> before = simulation.node(a).configs;
  simulation.node(a).configs = {stranger(a)};
  simulation.reload(a);
  simulation.run_for(1s);
  CHECK(simulation.node(a).plane.empty());
  CHECK(simulation.node(b).plane.empty());
  CHECK(simulation.reported(a, "no longer configured"));
  simulation.command(b, simulation.node(b).ike->up(simulation.now(), simulation.config(b).name));
  simulation.run_for(10s);
  CHECK(simulation.node(b).plane.empty());

  simulation.node(a).configs = before;  // the same again, which is another peer by now
  simulation.node(a).configs.front().id = PeerId(200);
  simulation.reload(a);
  CHECK(simulation.run_until(
      [&] { return simulation.node(a).plane.size() == 1 && simulation.node(b).plane.size() == 1; }, 120s));
}

TEST_CASE("another key: the old IKE SA goes on until both ends have it, then a new one takes over without loss") {
  Reloading simulation;
  REQUIRE(simulation.comes_up(20s));
  simulation.run_for(5s);
  const IkeSpi old = simulation.status(a).spi_i;
  simulation.set_traffic(10ms);
  simulation.config(a).auth = AuthConfig::psk(key_of("the next key"));
  simulation.reload(a, reauthenticated);
  simulation.run_for(10s);
  CHECK(simulation.status(a).spi_i == old);
  CHECK(simulation.reported(a, "reauthentication failed"));
  simulation.config(b).auth = AuthConfig::psk(key_of("the next key"));
  simulation.reload(b, reauthenticated);
  CHECK(simulation.run_until(
      [&] { return simulation.established(a) && simulation.status(a).spi_i != old && !simulation.disagreement(); },
      90s));
  CHECK(simulation.node(a).lost + simulation.node(b).lost + simulation.node(a).unsent + simulation.node(b).unsent == 0);
  CHECK_FALSE(simulation.reported(a, "down:"));
}

TEST_CASE("a tunnel more and a tunnel less: its child SA comes and goes, the others stay what they are") {
  Reloading simulation;
  REQUIRE(simulation.comes_up(20s));
  const Spi gre = simulation.status(a).children.front().inbound_spi;
  for (const Side side : {b, a}) {
    simulation.config(side).children.push_back(lan(side));
    simulation.reload(side, changed);
  }
  REQUIRE(simulation.run_until([&] { return simulation.child_up(a, "lan") && simulation.child_up(b, "lan"); }, 10s));
  CHECK(simulation.status(a).children.front().inbound_spi == gre);
  simulation.config(a).children.pop_back();
  simulation.reload(a, changed);
  CHECK(simulation.run_until(
      [&] { return simulation.node(a).plane.size() == 1 && simulation.node(b).plane.size() == 1; }, 20s));
  CHECK(simulation.node(a).plane.contains(gre));
  CHECK(simulation.fault() == "");
}

TEST_CASE("other nets: the child SA of before goes when the new one is there, or in half a minute") {
  Reloading simulation;
  for (const Side side : {a, b}) simulation.config(side).children.push_back(lan(side));
  REQUIRE(simulation.comes_up(20s));
  REQUIRE(simulation.run_until([&] { return simulation.child_up(a, "lan"); }, 10s));
  const Spi old = simulation.child(a, "lan")->inbound_spi;
  simulation.config(b).children.back() = lan(b, "10.9.0.0/16");
  simulation.reload(b, changed);
  simulation.config(a).children.back() = lan(a, "10.9.0.0/16");
  simulation.reload(a, changed);
  REQUIRE(simulation.run_until([&] { return simulation.child_up(a, "lan") && !simulation.node(a).plane.contains(old); },
                               15s));
  CHECK(simulation.child(a, "lan")->remote.front().first == *IpAddress::parse("10.9.0.0"));

  const Spi second = simulation.child(a, "lan")->inbound_spi;
  simulation.config(a).children.back() = lan(a, "10.7.0.0/16");  // which the peer does not grant
  simulation.reload(a, changed);
  simulation.run_for(20s);
  CHECK(simulation.node(a).plane.contains(second));
  simulation.run_for(20s);
  CHECK_FALSE(simulation.node(a).plane.contains(second));
  CHECK_FALSE(simulation.child_up(a, "lan"));
}

TEST_CASE("other algorithms for ESP: the child SAs are rekeyed, the IKE SA stays") {
  Reloading simulation;
  REQUIRE(simulation.comes_up(20s));
  simulation.run_for(5s);
  const IkeSpi ike = simulation.status(a).spi_i;
  for (const Side side : {a, b}) {
    simulation.config(side).esp_proposals = {*parse_esp_proposal("aes128gcm16-x25519-esn")};
    simulation.reload(side, side == a ? Renewal{.changed = true, .rekey_children = true} : changed);
  }
  CHECK(simulation.run_until([&] { return simulation.status(a).children.front().suite.starts_with("AES-GCM-16-128"); },
                             20s));
  CHECK(simulation.status(a).spi_i == ike);
}

TEST_CASE("a configured address that is another one: what is up goes, and the peer is called there") {
  Reloading simulation;
  REQUIRE(simulation.comes_up(20s));
  const IkeSpi old = simulation.status(a).spi_i;
  simulation.config(a).addresses = {"203.0.113.9"};
  simulation.reload(a, {.changed = true, .addresses = true});
  CHECK(simulation.reported(a, "somewhere else"));
  CHECK(simulation.node(a).resolves >= 2);
  CHECK((!simulation.established(a) || simulation.status(a).spi_i != old));
}

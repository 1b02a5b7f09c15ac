#include "sa_registry.h"

#include <doctest/doctest.h>

#include <memory>

using namespace culvert;
using namespace culvert::tunnel;

namespace {

constexpr ChildId child{3};

TunnelConfig config_of(std::uint32_t id, Carry carry, std::optional<std::uint32_t> key) {
  TunnelConfig config;
  config.id = TunnelId{id};
  config.name = "t" + std::to_string(id);
  config.child = child;
  config.carry = carry;
  config.device = config.name;
  config.gre_key = key;
  return config;
}

/// A port without a device: the registry never touches it.
std::shared_ptr<Port> port_of(const TunnelConfig& config) {
  return std::make_shared<Port>(config, std::vector<TunQueue>{}, 8);
}

SaPair pair_of(std::uint32_t inbound_spi) {
  ChildSaKeys keys;
  keys.child = child;
  keys.inbound_spi = Spi{inbound_spi};
  keys.outbound_spi = Spi{inbound_spi + 0x10000};
  keys.suite = crypto::CipherSuite::aes_gcm_16_128;
  for (DirectionKeys* direction : {&keys.inbound, &keys.outbound}) direction->encryption = Secret(20);
  auto pair = make_sa_pair(std::move(keys));
  REQUIRE(pair);
  return std::move(*pair);
}

Spi current_outbound(SaRegistry& registry) {
  const auto tables = registry.make_tables();
  const ChildView* view = tables->child(child);
  const OutboundSa* sa = view ? view->policy.newest() : nullptr;
  return sa ? sa->inbound_spi : Spi{0};
}

}  // namespace

TEST_CASE("the keys of the pairs of a peer can be copied, as they were installed") {
  SaRegistry registry;
  for (std::uint32_t peer = 1; peer <= 2; ++peer) {
    ChildSaKeys keys;
    keys.peer = PeerId{peer};
    keys.inbound_spi = Spi{1000 + peer};
    keys.outbound_spi = Spi{2000 + peer};
    keys.suite = crypto::CipherSuite::aes_gcm_16_256;
    keys.inbound.encryption = Secret::copy_of(Bytes(36, static_cast<std::uint8_t>(peer)));
    keys.outbound.encryption = Secret::copy_of(Bytes(36, static_cast<std::uint8_t>(peer + 10)));
    keys.remote_endpoint = {*IpAddress::parse("2001:db8::1"), 4500};
    keys.esn = true;
    REQUIRE(registry.add_pair(*make_sa_pair(std::move(keys)), true));
  }
  const auto copies = registry.copy_keys([](PeerId peer) { return peer == PeerId{2}; });
  REQUIRE(copies.size() == 1);
  CHECK(copies[0].inbound_spi == Spi{1002});
  CHECK(copies[0].outbound_spi == Spi{2002});
  CHECK(copies[0].suite == crypto::CipherSuite::aes_gcm_16_256);
  CHECK(copies[0].inbound.encryption.equals(Bytes(36, 2)));
  CHECK(copies[0].outbound.encryption.equals(Bytes(36, 12)));
  CHECK(copies[0].remote_endpoint.address == *IpAddress::parse("2001:db8::1"));
  CHECK(copies[0].esn);
  CHECK(registry.copy_keys([](PeerId) { return false; }).empty());
}

TEST_CASE("the last activated pair is sent on, and when it goes the one before it takes over") {
  SaRegistry registry;
  registry.add_port(port_of(config_of(1, Carry::gre, 1)));
  CHECK(current_outbound(registry) == Spi{0});
  REQUIRE(registry.add_pair(pair_of(1001), true));
  REQUIRE(registry.add_pair(pair_of(1002), true));
  REQUIRE(registry.add_pair(pair_of(1003), false));
  CHECK(current_outbound(registry) == Spi{1002});
  CHECK(registry.activate(Spi{1001}));
  CHECK(current_outbound(registry) == Spi{1001});
  CHECK(registry.remove_pair(Spi{1001}));
  CHECK(current_outbound(registry) == Spi{1002});
  CHECK(registry.remove_pair(Spi{1002}));
  CHECK_FALSE(registry.sends(child));
  CHECK(current_outbound(registry) == Spi{0});  // the third was never activated: fail closed
  CHECK(registry.activate(Spi{1003}));
  CHECK(current_outbound(registry) == Spi{1003});
  CHECK(registry.sends(child));
}

TEST_CASE("tables that were made before a change keep their SAs, those made after do not name them") {
  SaRegistry registry;
  REQUIRE(registry.add_pair(pair_of(1001), true));
  const auto before = registry.make_tables();
  CHECK(registry.remove_pair(Spi{1001}));
  const auto after = registry.make_tables();
  REQUIRE(before->inbound.find(Spi{1001}));
  CHECK(before->inbound.find(Spi{1001})->spi == Spi{1001});
  CHECK(after->inbound.find(Spi{1001}) == nullptr);
  CHECK(after->child(child) == nullptr);
}

TEST_CASE("an SPI that is in use is refused, one that is not there is no harm") {
  SaRegistry registry;
  REQUIRE(registry.add_pair(pair_of(1001), true));
  const auto again = registry.add_pair(pair_of(1001), true);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == Errc::invalid);
  CHECK_FALSE(registry.activate(Spi{9999}));
  CHECK_FALSE(registry.remove_pair(Spi{9999}));
  CHECK(registry.pair(Spi{9999}) == nullptr);
  CHECK(registry.remove_port(TunnelId{9}) == nullptr);
  CHECK(registry.ports_of(ChildId{9}).empty());
}

TEST_CASE("GRE tunnels share a child when their keys differ; nothing else shares one") {
  SaRegistry registry;
  registry.add_port(port_of(config_of(1, Carry::gre, 1)));
  CHECK(registry.can_add_port(config_of(2, Carry::gre, 2)));
  CHECK(registry.can_add_port(config_of(2, Carry::gre, std::nullopt)));
  CHECK_FALSE(registry.can_add_port(config_of(2, Carry::gre, 1)));
  CHECK_FALSE(registry.can_add_port(config_of(2, Carry::ip, std::nullopt)));
  CHECK_FALSE(registry.can_add_port(config_of(1, Carry::gre, 2)));  // the id
  CHECK(registry.remove_port(TunnelId{1}));
  CHECK(registry.can_add_port(config_of(1, Carry::gre, 1)));
}

TEST_CASE("a port that comes after the SA of its child finds it, and one that goes is named no more") {
  SaRegistry registry;
  REQUIRE(registry.add_pair(pair_of(1001), true));
  registry.add_port(port_of(config_of(1, Carry::gre, 5)));
  auto tables = registry.make_tables();
  const PortView* view = tables->port(TunnelId{1});
  REQUIRE(view);
  CHECK(view->child->policy.newest());
  CHECK(view->child->tunnels.gre(5) == view->port.get());
  CHECK(registry.ports_of(child).size() == 1);
  REQUIRE(registry.remove_port(TunnelId{1}));
  tables = registry.make_tables();
  CHECK(tables->port(TunnelId{1}) == nullptr);
  CHECK(tables->child(child)->tunnels.gre(5) == nullptr);
}

TEST_CASE("an event that both SAs of a pair raise is reported once, and none for a pair that is gone") {
  SaRegistry registry;
  REQUIRE(registry.add_pair(pair_of(1001), true));
  const SaEvent soft{Spi{1001}, ChildEvent::soft_limit};
  CHECK(registry.first_report(soft));
  CHECK_FALSE(registry.first_report(soft));
  CHECK(registry.first_report({Spi{1001}, ChildEvent::hard_limit}));
  CHECK(registry.remove_pair(Spi{1001}));
  CHECK_FALSE(registry.first_report({Spi{1001}, ChildEvent::first_inbound}));
}

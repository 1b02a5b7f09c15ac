// What Clients decides by itself; connections as a whole are in tests/exchange/road_warriors.cpp.
#include "clients.h"

#include <doctest/doctest.h>

#include "peer.h"

using namespace culvert;
using namespace culvert::ike;

namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

PoolConfig pool(const char* name, std::initializer_list<const char*> prefixes, std::vector<std::string> groups = {},
                std::initializer_list<const char*> allow = {}) {
  PoolConfig config;
  config.name = name;
  for (const char* prefix : prefixes) config.addresses.push_back(*IpPrefix::parse(prefix));
  config.groups = std::move(groups);
  for (const char* prefix : allow) config.allow.push_back(*IpPrefix::parse(prefix));
  config.dns = {ip("10.1.0.53")};
  return config;
}

PeerConfig template_of(std::vector<std::size_t> pools) {
  PeerConfig config;
  config.name = "warriors";
  config.remote_id = *Identity::parse("any");
  config.start = StartMode::wait;
  config.pools = std::move(pools);
  config.max_clients = 3;
  ChildConfig child;
  child.id = ChildId(1);
  child.local = {{IpPrefix::parse("10.1.0.0/16"), 0}, {IpPrefix::parse("fd01::/48"), 0}};
  config.children = {child};
  return config;
}

struct Gateway {
  Gateway(std::vector<PoolConfig> pools, PeerConfig config)
      : core(options(std::move(pools)), {config}, crypto::system_random()) {}
  static EndpointOptions options(std::vector<PoolConfig> pools) {
    EndpointOptions options;
    options.pools = std::move(pools);
    return options;
  }
  Peer* admit(const UserGrant& who, const AddressRequest& asked = both()) {
    return core.clients().admit(*core.peers().front(), who, asked, {ip("192.0.2.9"), 4500});
  }
  /// Its addresses, or why it has none.
  std::string addresses(const UserGrant& who, const AddressRequest& asked = both()) {
    Peer* client = admit(who, asked);
    if (!client) return "too many";
    const auto assigned = core.clients().assign(*client, who, asked);
    if (!assigned) return assigned.error().why;
    std::string text;
    for (const IpAddress& address : client->client()->net.addresses)
      text += (text.empty() ? "" : " ") + address.to_string();
    return text;
  }
  static AddressRequest both() {
    AddressRequest asked;
    asked.v4 = asked.v6 = true;
    return asked;
  }
  Core core;
};

UserGrant user(const char* name, std::vector<std::string> groups = {}, std::vector<IpAddress> addresses = {}) {
  return {*Identity::parse(name), std::move(groups), std::move(addresses)};
}

std::vector<std::string> local_of(const Peer& peer) {
  std::vector<std::string> texts;
  for (const SelectorSpec& spec : peer.config().children.front().local) texts.push_back(spec.prefix->to_string());
  return texts;
}
using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("groups choose the pool, and with it what may be reached; without one there is no address") {
  Gateway gateway({pool("admins", {"10.97.0.0/24"}, {"admins"}),
                   pool("staff", {"10.98.0.0/24"}, {"staff"}, {"10.1.7.0/24", "10.0.0.0/8"})},
                  template_of({0, 1}));
  CHECK(gateway.addresses(user("ada@x.y", {"admins", "staff"})) == "10.97.0.1");
  CHECK(gateway.addresses(user("bob@x.y", {"staff"})) == "10.98.0.1");
  CHECK(local_of(*gateway.core.clients().find("warriors/ada@x.y")) == Texts{"10.1.0.0/16"});
  CHECK(local_of(*gateway.core.clients().find("warriors/bob@x.y")) == Texts{"10.1.7.0/24", "10.1.0.0/16"});
  CHECK(gateway.addresses(user("eve@x.y", {"guests"})).contains("no pool that it may use"));
}

TEST_CASE("a user who loses a group gets an address of another pool when he authenticates again") {
  Gateway gateway({pool("admins", {"10.97.0.0/24"}, {"admins"}), pool("staff", {"10.98.0.0/24"}, {"staff"})},
                  template_of({0, 1}));
  CHECK(gateway.addresses(user("ada@x.y", {"admins"})) == "10.97.0.1");
  CHECK(gateway.addresses(user("ada@x.y", {"admins"})) == "10.97.0.1");
  CHECK(gateway.addresses(user("ada@x.y", {"staff"})) == "10.98.0.1");
  CHECK(gateway.addresses(user("ada@x.y", {"admins"})) == "10.97.0.1");
  CHECK(gateway.core.clients().num_of(*gateway.core.peers().front()) == 1);
}

TEST_CASE("an address of the user's own goes before every pool, unless somebody else has it") {
  Gateway gateway({pool("staff", {"10.98.0.0/24", "fd98::/112"})}, template_of({0}));
  CHECK(gateway.addresses(user("ada@x.y", {}, {ip("172.20.0.7")})) == "172.20.0.7 fd98::1");  // of no pool
  CHECK(gateway.addresses(user("bob@x.y", {}, {ip("10.98.0.9")})) == "10.98.0.9 fd98::2");
  AddressRequest v4;
  v4.v4 = true;
  CHECK(gateway.addresses(user("eve@x.y", {}, {ip("10.98.0.9")}), v4) ==
        "its own address 10.98.0.9 is in use by warriors/bob@x.y");
  CHECK(gateway.addresses(user("eve@x.y", {}, {ip("172.20.0.7")}), v4) ==
        "its own address 172.20.0.7 is in use by warriors/ada@x.y");
}

TEST_CASE("clients are found by name, user and address, and leave nothing behind") {
  Gateway gateway({pool("staff", {"10.98.0.0/24", "fd98::/112"})}, template_of({0}));
  Clients& clients = gateway.core.clients();
  const Peer& of = *gateway.core.peers().front();
  CHECK(gateway.addresses(user("ada@x.y")) == "10.98.0.1 fd98::1");
  Peer* ada = clients.find("warriors/ada@x.y");
  REQUIRE(ada);
  CHECK(clients.find_user("ada@x.y") == std::vector<Peer*>{ada});
  CHECK(clients.find_user("fd98::1") == std::vector<Peer*>{ada});
  CHECK(gateway.core.find_peer(ada->config().id) == ada);
  CHECK(clients.num_of(of) == 1);
  clients.release(*ada);
  CHECK(clients.num_of(of) == 0);
  CHECK(clients.find_user("fd98::1").empty());
  CHECK(gateway.addresses(user("ada@x.y")) == "10.98.0.1 fd98::1");
  clients.erase(*ada);
  CHECK(clients.all().empty());
  CHECK_FALSE(clients.find("warriors/ada@x.y"));
}

TEST_CASE("names of several with one user are numbered, cut, and printable") {
  PeerConfig config = template_of({0});
  config.unique = UniquePolicy::never;
  Gateway gateway({pool("staff", {"10.98.0.0/24"})}, config);
  CHECK(gateway.admit(user("ada@x.y"))->config().name == "warriors/ada@x.y");
  CHECK(gateway.admit(user("ada@x.y"))->config().name == "warriors/ada@x.y#2");
  const Identity odd{IdType::fqdn, Bytes(300, 0x1b)};
  const std::string name = gateway.admit({odd, {}, {}})->config().name;
  CHECK(name.size() <= 9 + 64);
  CHECK_FALSE(name.contains('\x1b'));
  CHECK(gateway.admit(user("bob@x.y")) == nullptr);  // max_clients
}

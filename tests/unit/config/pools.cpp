// [pool.NAME], `pool` and `virtual_address` of peers.
#include "fixture.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;

namespace {

constexpr std::string_view gateway =
    "[gateway]\n"                                       // 1
    "id = \"vpn.example.net\"\n"                        // 2
    "[peer.warriors]\n"                                 // 3
    "address = \"any\"\n"                               // 4
    "id = \"a.example.net\"\n"                          // 5
    "auth = { psk_file = \"good.psk\" }\n"              // 6
    "pool = [\"staff\", \"guests\"]\n"                  // 7
    "[tunnel.t]\n"                                      // 8
    "peer = \"warriors\"\n"                             // 9
    "carry = \"ip\"\n"                                  // 10
    "device = \"cv0\"\n"                                // 11
    "local = [\"10.0.0.0/8\", \"fd01::/48\"]\n"         // 12
    "address = [\"10.99.0.1/20\"]\n"                    // 13
    "[pool.staff]\n"                                    // 14
    "addresses = [\"10.99.0.0/21\", \"fd99::/112\"]\n"  // 15
    "users = [\"*@example.net\"]\n"                     // 16
    "dns = [\"10.1.0.53\"]\n"                           // 17
    "domains = [\"Corp.Example.net.\", \"lan\"]\n"      // 18
    "[pool.guests]\n"                                   // 19
    "addresses = [\"10.99.8.0/24\"]\n"                  // 20
    "allow = [\"10.1.7.0/24\"]\n"                       // 21
    "# end\n";                                          // 22

constexpr std::string_view client =
    "[gateway]\n"                           // 1
    "id = \"ada.example.net\"\n"            // 2
    "[peer.office]\n"                       // 3
    "address = [\"vpn.example.net\"]\n"     // 4
    "id = \"vpn.example.net\"\n"            // 5
    "auth = { psk_file = \"good.psk\" }\n"  // 6
    "virtual_address = \"any\"\n"           // 7
    "# peer\n"                              // 8
    "[tunnel.t]\n"                          // 9
    "peer = \"office\"\n"                   // 10
    "carry = \"ip\"\n"                      // 11
    "device = \"cv0\"\n"                    // 12
    "# tunnel\n";                           // 13

}  // namespace

TEST_CASE("a peer with pools: its tunnel's remote nets and routes are theirs, and our own addresses are left out") {
  const Folder folder;
  const Config config = sound(folder, gateway);
  REQUIRE(config.pools.size() == 2);
  CHECK(config.peers[0].pools == std::vector<std::size_t>{0, 1});
  CHECK(config.peers[0].max_clients == 1000);
  CHECK(config.tunnels[0].routes == std::vector<IpPrefix>{*IpPrefix::parse("10.99.0.0/21"),
                                                          *IpPrefix::parse("fd99::/112"),
                                                          *IpPrefix::parse("10.99.8.0/24")});
  CHECK(config.pools[0].excluded == std::vector<IpPrefix>{*IpPrefix::parse("10.99.0.1/32")});
  CHECK(config.pools[0].domains == std::vector<std::string>{"corp.example.net", "lan"});
  CHECK(config.pools[0].users.size() == 1);
  CHECK(config.pools[1].allow.size() == 1);
  CHECK_FALSE(config.tunnels[0].virtual_address);
  REQUIRE(config.warnings.size() == 1);
  CHECK(config.warnings[0].message.contains("each takes the place of the one before"));
  CHECK(sound(folder, replaced(gateway, "pool = ", "unique = \"never\"\npool = ")).warnings.empty());
}

TEST_CASE("a peer that gives us addresses: our side is theirs, the routes are what it grants") {
  const Folder folder;
  const Config config = sound(folder, client);
  CHECK(config.peers[0].request_v4);
  CHECK(config.peers[0].request_v6);
  CHECK(config.tunnels[0].virtual_address);
  CHECK(config.tunnels[0].routes_as_granted);
  CHECK(config.tunnels[0].routes.empty());
  const auto& child = config.peers[0].children.front();
  CHECK(child.virtual_local);
  CHECK(child.remote.size() == 2);
  const Config v4 = sound(folder, replaced(client, "\"any\"\n# peer", "\"ipv4\"\n# peer"));
  CHECK_FALSE(v4.peers[0].request_v6);
  CHECK(v4.peers[0].children.front().remote.size() == 1);
  const Config routed = sound(folder, replaced(client, "# tunnel", "routes = [\"10.0.0.0/8\"]"));
  CHECK_FALSE(routed.tunnels[0].routes_as_granted);
  CHECK(routed.tunnels[0].routes.size() == 1);
}

TEST_CASE("mistakes in pools") {
  check_mistakes(
      gateway,
      {{"\"guests\"]", "\"guest\"]", 7, 18, "peer.warriors.pool", "did you mean 'guests'?"},
       {"address = \"any\"", "address = [\"192.0.2.1\"]", 7, 8, "peer.warriors.pool", "needs address = \"any\""},
       {"\"10.99.8.0/24\"", "\"10.99.4.0/24\"", 20, 14, "pool.guests.addresses",
        "overlaps with 10.99.0.0/21 of pool staff"},
       {"\"10.99.8.0/24\"", "\"224.0.0.0/8\"", 20, 14, "pool.guests.addresses", "no net to give addresses of"},
       {"\"10.99.8.0/24\"", "\"10.99.8.1/24\"", 20, 14, "pool.guests.addresses", ""},
       {"\"lan\"", "\"a b\"", 18, 33, "pool.staff.domains", "expected a domain"},
       {"dns = [\"10.1.0.53\"]", "# none", 18, 11, "pool.staff.domains", "stands without `dns`"},
       {"\"*@example.net\"", "\"keyid:\"", 16, 10, "pool.staff.users", "keyid"},
       {"local = [", "remote = [\"10.99.0.0/16\"]\nlocal = [", 12, 10, "tunnel.t.remote",
        "stands in the pools of peer warriors"},
       {"allow", "alow", 21, 1, "pool.guests.alow", "did you mean 'allow'?"}});
}

TEST_CASE("mistakes of clients") {
  check_mistakes(
      client,
      {{"# tunnel", "local = [\"10.0.0.0/8\"]", 13, 9, "tunnel.t.local", "is what peer office gives us"},
       {"# tunnel", "address = [\"10.0.0.1/8\"]", 13, 11, "tunnel.t.address", "is what peer office gives us"},
       {"# peer", "start = \"on-traffic\"", 8, 9, "peer.office.start", "without an address there is no traffic"},
       {"# peer", "max_clients = 3", 8, 15, "peer.office.max_clients", "no effect without `pool`"},
       {"\"any\"", "\"both\"", 7, 19, "peer.office.virtual_address", "expected"},
       {"# tunnel", "[tunnel.u]\npeer = \"office\"\ncarry = \"ip\"\ndevice = \"cv1\"", 13, 9, "tunnel.u.peer",
        "goes to peer office already"}});
}

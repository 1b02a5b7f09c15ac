// How keys fit together. Lines and columns were counted by hand in the text of fixture.h.
#include "fixture.h"
#include "routing_tables.h"

using namespace culvert::config;
using namespace culvert::config::test;

namespace {

constexpr std::string_view second_gre = "[tunnel.u]\npeer = \"tokyo\"\ncarry = \"gre\"\ndevice = \"cv1\"\n";

std::string with_second_gre(std::string_view more) {
  return std::string(second_gre) + std::string(more);
}

/// A second plain tunnel from line 16 on, with these local and remote nets in lines 20 and 21.
std::string with_second_ip(std::string_view local, std::string_view remote, std::string_view more = "") {
  return "[tunnel.u]\npeer = \"tokyo\"\ncarry = \"ip\"\ndevice = \"cv1\"\nlocal = [" + std::string(local) +
         "]\nremote = [" + std::string(remote) + "]\n" + std::string(more);
}

}  // namespace

TEST_CASE("an identity that cannot be matched is refused") {
  check_mistakes(sound_gre, {
                                {"\"paris.example.net\"", "\"not an id\"", 2, 6, "gateway.id", "expected"},
                                {"\"tokyo.example.net\"", "\"keyid:0xzz\"", 6, 6, "peer.tokyo.id", "hexadecimal"},
                                {"# peer", "local_id = \"CN=gw,\"", 8, 12, "peer.tokyo.local_id", "distinguished name"},
                                {"\"tokyo.example.net\"", "\"PARIS.example.net\"", 6, 6, "peer.tokyo.id",
                                 "is also our own identity towards this peer (gateway.id)"},
                                {"# peer", "local_id = \"tokyo.example.net\"", 6, 6, "peer.tokyo.id",
                                 "is also our own identity towards this peer (local_id)"},
                            });
}

TEST_CASE("two peers that a responder could never tell apart are refused") {
  const std::string other =
      "[peer.kyoto]\naddress = \"any\"\nid = \"Tokyo.Example.net\"\nauth = { psk_file = \"good.psk\" }\n"
      "[tunnel.k]\npeer = \"kyoto\"\ncarry = \"gre\"\ndevice = \"cv9\"\n";
  check_mistakes(sound_gre, {{"# end", other, 16, 6, "peer.kyoto.id",
                              "peer tokyo (line 4) has the same id and the same local_id"}});
  const Folder folder;
  CHECK(sound(folder, replaced(sound_gre, "# end",
                               replaced(other, "address =", "local_id = \"kyoto-side.example.net\"\naddress =")))
            .peers.size() == 2);
}

TEST_CASE("an address that leads nowhere is refused") {
  check_mistakes(
      sound_gre,
      {
          {"[\"198.51.100.1\"]", "[]", 5, 11, "peer.tokyo.address", "at least one"},
          {"[\"198.51.100.1\"]", "[\"any\"]", 5, 12, "peer.tokyo.address", "\"any\" stands alone"},
          {"[\"198.51.100.1\"]", "[\"198.51.100.1:500\"]", 5, 12, "peer.tokyo.address", "without a port"},
          {"[\"198.51.100.1\"]", "[\"198.51.100.300\"]", 5, 12, "peer.tokyo.address",
           "expected a host name or an address"},
          {"[\"198.51.100.1\"]", "[\"-tokyo.example.net\"]", 5, 12, "peer.tokyo.address",
           "expected a host name or an address"},
          {"[\"198.51.100.1\"]", "[\"tokyo..net\"]", 5, 12, "peer.tokyo.address", "expected a host name or an address"},
          {"[\"198.51.100.1\"]", "[\"0.0.0.0\"]", 5, 12, "peer.tokyo.address", "address = \"any\""},
          {"[\"198.51.100.1\"]", "[\"ff02::1\"]", 5, 12, "peer.tokyo.address", "is no address of a peer"},
          {"[\"198.51.100.1\"]", "[\"a.net\", \"b.net\", \"a.net\"]", 5, 30, "peer.tokyo.address",
           "'a.net' is listed twice"},
          {"# gateway", "listen = [\"::\"]", 5, 12, "peer.tokyo.address",
           "gateway.listen has no IPv4 address to reach 198.51.100.1 from"},
          {"# gateway", "listen = [\"::\", \"0.0.0.0\", \"::\"]", 3, 28, "gateway.listen", ":: is listed twice"},
          {"# peer", "local_address = [\"192.0.2.9\", \"192.0.2.9\"]", 8, 31, "peer.tokyo.local_address",
           "is listed twice"},
          {"# peer", "local_address = [\"0.0.0.0\"]", 8, 18, "peer.tokyo.local_address", "no address to send from"},
          {"# gateway", "listen = [\"224.0.0.1\", \"0.0.0.0\"]", 3, 11, "gateway.listen", "multicast"},
      });
}

TEST_CASE("the two ports differ") {
  check_mistakes(sound_gre, {
                                {"# gateway", "nat_port = 500", 3, 12, "gateway.nat_port", "both 500"},
                                {"# gateway", "port = 4500", 3, 8, "gateway.port", "both 4500"},
                            });
}

TEST_CASE("a socket path longer than the kernel takes is refused") {
  const std::string path =
      "control_socket = \"/" + std::string(107, 'x') + "\"";  // sun_path has 108 bytes with the NUL, unix(7)
  check_mistakes(sound_gre, {{"# gateway", path, 3, 18, "gateway.control_socket", "at most 107 bytes"}});
}

TEST_CASE("a peer from anywhere cannot be called") {
  check_mistakes(
      sound_gre,
      {
          {"[\"198.51.100.1\"]", "\"any\"\nstart = \"always\"", 6, 9, "peer.tokyo.start", "start = \"wait\""},
          {"[\"198.51.100.1\"]", "\"any\"\nstart = \"on-traffic\"", 6, 9, "peer.tokyo.start", "start = \"wait\""},
      });
  const Folder folder;
  const Config config = sound(folder, replaced(sound_gre, "[\"198.51.100.1\"]", "\"any\""));
  CHECK(config.peers[0].start == culvert::ike::StartMode::wait);
  CHECK(config.peers[0].addresses.empty());
}

TEST_CASE("a proposal that is none is refused where it stands") {
  check_mistakes(sound_gre,
                 {
                     {"# peer", "ike = [\"aes256gcm16-prfsha384-x25519\", \"aes256gcm16-prfsha384-x25518\"]", 8, 40,
                      "peer.tokyo.ike", "x25519"},
                     {"# peer", "ike = [\"aes256gcm16-x25519\"]", 8, 8, "peer.tokyo.ike", ""},  // an AEAD needs a PRF
                     {"# peer", "esp = [\"aes256gcm16\", \"aes256gcm16\"]", 8, 23, "peer.tokyo.esp", "is listed twice"},
                     {"# peer", "esp = [\"aes256gcm17\"]", 8, 8, "peer.tokyo.esp", "aes256gcm16"},
                 });
}

TEST_CASE("peers and tunnels name each other") {
  check_mistakes(
      sound_gre,
      {
          {"peer = \"tokyo\"", "peer = \"tokio\"", 10, 8, "tunnel.t.peer",
           "there is no peer 'tokio'; did you mean 'tokyo'?"},
          {"# end", "[peer.osaka]\naddress = \"any\"\nid = \"osaka.example.net\"\nauth = { psk_file = \"good.psk\" }\n",
           14, 7, "peer.osaka", "no tunnel names this peer"},
      });
}

TEST_CASE("a device name that Linux does not take is refused") {
  check_mistakes(sound_gre, {
                                {"\"cv-tokyo\"", "\"a-name-too-long1\"", 12, 10, "tunnel.t.device",
                                 "has 16 characters, at most 15"},
                                {"\"cv-tokyo\"", "\"cv/0\"", 12, 10, "tunnel.t.device", "holds a '/'"},
                                {"\"cv-tokyo\"", "\"cv 0\"", 12, 10, "tunnel.t.device", "holds a space"},
                                {"\"cv-tokyo\"", "\"cv\\n0\"", 12, 10, "tunnel.t.device", "holds a space, a control"},
                                {"\"cv-tokyo\"", "\"cv%d\"", 12, 10, "tunnel.t.device", "holds a '%'"},
                                {"\"cv-tokyo\"", "\"lo\"", 12, 10, "tunnel.t.device", "reserved"},
                                {"\"cv-tokyo\"", "\"all\"", 12, 10, "tunnel.t.device", "reserved"},
                                {"\"cv-tokyo\"", "\"default\"", 12, 10, "tunnel.t.device", "reserved"},
                                {"\"cv-tokyo\"", "\"..\"", 12, 10, "tunnel.t.device", "reserved"},
                            });
}

TEST_CASE("two tunnels on one device are refused") {
  const std::string second = "[tunnel.u]\npeer = \"tokyo\"\ncarry = \"gre\"\nkey = 1\ndevice = \"cv-tokyo\"\n";
  check_mistakes(sound_gre, {{"# end", second, 18, 10, "tunnel.u.device",
                              "'cv-tokyo' is the device of tunnel t (line 9) already"}});
}

TEST_CASE("the address of a device is an address with its net, and stands on one device") {
  const std::string second = with_second_gre("key = 1\naddress = [\"169.254.10.1/30\"]\n");
  const std::string both = "address = [\"169.254.10.1/30\"]\n" + second;
  check_mistakes(
      sound_gre,
      {
          {"# tunnel", "address = [\"169.254.10.0/30\"]", 13, 12, "tunnel.t.address", "169.254.10.0/30 is a net"},
          {"# tunnel", "address = [\"fd00::/64\"]", 13, 12, "tunnel.t.address", "is a net"},
          {"# tunnel", "address = [\"0.0.0.0/32\"]", 13, 12, "tunnel.t.address", "is no address of a device"},
          {"# tunnel", "address = [\"224.0.0.5/24\"]", 13, 12, "tunnel.t.address", "is no address of a device"},
          {"# tunnel", both, 19, 12, "tunnel.u.address", "169.254.10.1/30 is on tunnel t (line 9) already"},
          {"# tunnel", "address = [\"198.51.100.2/24\"]", 13, 12, "tunnel.t.address",
           "holds the peer's own address 198.51.100.1"},
      });
  const Folder
      folder;  // RFC 3021 and RFC 6164: both addresses of a point-to-point net are usable; unnumbered links share one
  const std::string unnumbered = "address = [\"10.0.0.0/31\", \"fd00::/127\", \"10.9.9.9\"]\n" +
                                 with_second_gre("key = 1\naddress = [\"10.9.9.9/32\"]\n");
  CHECK(sound(folder, replaced(sound_gre, "# tunnel", unnumbered)).tunnels[0].addresses.size() == 3);
}

TEST_CASE("keys of the other carry are refused") {
  check_mistakes(
      sound_ip, {
                    {"# tunnel", "key = 42", 15, 7, "tunnel.t.key", "belongs to carry = \"gre\" only"},
                    {"# tunnel", "sequence = false", 15, 12, "tunnel.t.sequence", "belongs to carry = \"gre\" only"},
                    {"# tunnel", "checksum = true", 15, 12, "tunnel.t.checksum", "belongs to carry = \"gre\" only"},
                    {"# tunnel", "source = \"10.1.0.1\"", 15, 10, "tunnel.t.source", "belongs to carry = \"gre\" only"},
                    {"# tunnel", "mode = \"transport\"", 15, 8, "tunnel.t.mode", "needs tunnel mode"},
                });
  check_mistakes(
      sound_gre,
      {
          {"# tunnel", "local = [\"10.1.0.0/16\"]", 13, 9, "tunnel.t.local", "belongs to carry = \"ip\" only"},
          {"# tunnel", "remote = [\"10.1.0.0/16\"]", 13, 10, "tunnel.t.remote", "belongs to carry = \"ip\" only"},
      });
}

TEST_CASE("GRE endpoints come in pairs, of one family, and only in tunnel mode") {
  check_mistakes(
      sound_gre,
      {
          {"# tunnel", "source = \"10.0.0.1\"", 13, 10, "tunnel.t.source", "stands without destination"},
          {"# tunnel", "destination = \"10.0.0.1\"", 13, 15, "tunnel.t.destination", "stands without source"},
          {"# tunnel", "source = \"10.0.0.1\"\ndestination = \"fd00::1\"", 14, 15, "tunnel.t.destination",
           "not of one family"},
          {"# tunnel", "source = \"10.0.0.1\"\ndestination = \"10.0.0.1\"", 14, 15, "tunnel.t.destination",
           "the same address"},
          {"# tunnel", "source = \"0.0.0.0\"\ndestination = \"10.0.0.1\"", 13, 10, "tunnel.t.source",
           "is no address of a gateway"},
          {"# tunnel", "source = \"10.0.0.1\"\ndestination = \"10.0.0.2\"\nmode = \"transport\"", 15, 8,
           "tunnel.t.mode", "no inner addresses"},
      });
}

TEST_CASE("GRE tunnels that share their SAs are told apart by key, and agree on mode and window") {
  const auto first = [](std::string_view more) { return std::string(more) + "\n" + with_second_gre("# second\n"); };
  check_mistakes(sound_gre, {
                                {"# end", with_second_gre(""), 14, 9, "tunnel.u.key",
                                 "tunnel t (line 9) to the same peer has no GRE key either"},
                                {"# tunnel", "key = 7\n" + with_second_gre("key = 7\n"), 18, 7, "tunnel.u.key",
                                 "has the GRE key 7 too"},
                                {"# tunnel", "mode = \"tunnel\"\n" + with_second_gre("key = 7\nmode = \"transport\"\n"),
                                 19, 8, "tunnel.u.mode", "runs between the same addresses in another mode"},
                                {"# tunnel", "replay_window = 64\n" + with_second_gre("key = 7\nreplay_window = 128\n"),
                                 19, 17, "tunnel.u.replay_window", "and says 64"},
                            });
  const Folder folder;
  CHECK(sound(folder, replaced(replaced(sound_gre, "# tunnel", first("key = 0")), "# second", ""))
            .peers[0]
            .children.size() == 1);
}

TEST_CASE("a plain tunnel needs both sides, of the same families, and disjoint") {
  check_mistakes(
      sound_ip,
      {
          {"local = [\"10.1.0.0/16\"]", "", 9, 9, "tunnel.t.local", "is required with carry = \"ip\""},
          {"remote = [\"10.2.0.0/16\"]", "", 9, 9, "tunnel.t.remote", "is required with carry = \"ip\""},
          {"local = [\"10.1.0.0/16\"]", "local = [\"10.1.0.0/16\", \"fd00::/64\"]", 13, 9, "tunnel.t.local",
           "has IPv6 prefixes while remote has none"},
          {"[\"10.2.0.0/16\"]", "[\"10.2.0.0/16\", \"fd00::/64\"]", 14, 10, "tunnel.t.remote",
           "has IPv6 prefixes while local has none"},
          {"[\"10.2.0.0/16\"]", "[\"10.9.0.0/16\", \"10.1.128.0/17\"]", 14, 26, "tunnel.t.remote",
           "10.1.128.0/17 overlaps with the local net 10.1.0.0/16 (line 13)"},
          {"[\"10.2.0.0/16\"]", "[\"10.0.0.0/8\"]", 14, 11, "tunnel.t.remote",
           "10.0.0.0/8 overlaps with the local net 10.1.0.0/16"},
          {"[\"10.2.0.0/16\"]", "[\"10.1.0.0/16\"]", 14, 11, "tunnel.t.remote", "overlaps with the local net"},
      });
  std::string many;
  for (int i = 0; i < 64; ++i) many += "\"10.2." + std::to_string(i) + ".0/24\", ";
  check_mistakes(sound_ip,
                 {{"[\"10.2.0.0/16\"]", "[" + many + "]", 14, 10, "tunnel.t.remote", "more than 63 prefixes"}});
}

TEST_CASE("everything else may be remote, when the routes leave the peer's own address out") {
  const Folder folder;
  const std::string any = replaced(sound_ip, "[\"10.2.0.0/16\"]", "[\"0.0.0.0/0\"]");
  CHECK(sound(folder, replaced(any, "# tunnel", "routes = [\"10.0.0.0/8\"]")).tunnels[0].routes.size() == 1);
  CHECK(sound(folder, replaced(any, "# tunnel", "routes = []")).tunnels[0].routes.empty());
  const std::string by_name = replaced(any, "198.51.100.1", "tokyo.example.net");
  CHECK(sound(folder, by_name).tunnels[0].routes.size() == 1);
}

TEST_CASE("a route that would swallow the peer's own address is refused") {
  check_mistakes(
      sound_gre,
      {
          {"# tunnel", "routes = [\"10.2.0.0/16\", \"198.51.0.0/16\"]", 13, 26, "tunnel.t.routes",
           "holds the peer's own address 198.51.100.1, so it would send the tunnel's own packets into the tunnel"},
          {"# tunnel", "routes = [\"0.0.0.0/0\"]", 13, 11, "tunnel.t.routes", "Name smaller prefixes without it"},
      });
  check_mistakes(sound_ip,
                 {
                     {"[\"10.2.0.0/16\"]", "[\"0.0.0.0/0\"]", 14, 11, "tunnel.t.remote", "or write routes = []"},
                 });
}

TEST_CASE("a route outside the remote nets, or into two devices, is refused") {
  check_mistakes(sound_ip, {
                               {"# tunnel", "routes = [\"10.2.8.0/24\", \"10.3.0.0/16\"]", 15, 26, "tunnel.t.routes",
                                "10.3.0.0/16 is not inside `remote`"},
                               {"# tunnel", "routes = [\"10.0.0.0/8\"]", 15, 11, "tunnel.t.routes",
                                "10.0.0.0/8 is not inside `remote`"},
                               {"# tunnel", "routes = [\"10.2.0.0/16\", \"10.2.0.0/16\"]", 15, 26, "tunnel.t.routes",
                                "is routed into this tunnel already"},
                               {"# end", with_second_gre("key = 1\nroutes = [\"10.2.0.0/16\"]"), 21, 11,
                                "tunnel.u.routes", "10.2.0.0/16 is routed into tunnel t (line 9) already"},
                           });
  check_mistakes(
      sound_gre,
      {
          {"# tunnel", "routes = [\"10.2.0.0/16\"]\n" + with_second_gre("key = 1\nroutes = [\"10.2.0.0/16\"]"), 19, 11,
           "tunnel.u.routes", "already"},
      });
  const Folder folder;  // longest prefix wins: that is what routing is for
  const std::string nested = "routes = [\"10.0.0.0/8\"]\n" + with_second_gre("key = 1\nroutes = [\"10.2.0.0/16\"]");
  CHECK(sound(folder, replaced(sound_gre, "# tunnel", nested)).tunnels.size() == 2);
}

TEST_CASE("routes go into a table by number or by iproute2's name, or nowhere") {
  const Folder folder;
  const auto tunnel = [&](const char* keys) { return sound(folder, replaced(sound_gre, "# tunnel", keys)).tunnels[0]; };
  const std::string routes = "routes = [\"10.2.0.0/16\"]\n";
  CHECK(tunnel("").table == 254);  // RT_TABLE_MAIN
  CHECK(tunnel("table = \"main\"").table == 254);
  CHECK(tunnel("table = 254").table == 254);
  CHECK(tunnel("table = 100\nmetric = 7").table == 100);
  CHECK(tunnel("table = 100\nmetric = 7").metric == 7);
  CHECK(tunnel("table = 4294967295").table == 4294967295);
  CHECK(tunnel("table = \"default\"").table == 253);  // /etc/iproute2/rt_tables of Debian
  CHECK(tunnel((routes + "table = \"off\"").c_str()).routes.empty());
  CHECK(sound(folder, replaced(sound_ip, "# tunnel", "table = \"off\"")).tunnels[0].routes.empty());
  CHECK(tunnel("table = 100\nroutes = [\"0.0.0.0/0\"]").routes.size() == 1);  // the peer is reached by other tables
  const std::string reserved = "the kernel keeps the tables 0 and 255 (local) for itself";
  check_mistakes(sound_gre,
                 {
                     {"# tunnel", "table = \"nowhere\"", 13, 9, "tunnel.t.table", "add it there, or write its number"},
                     {"# tunnel", "table = 0", 13, 9, "tunnel.t.table", "1 … 4294967295"},
                     {"# tunnel", "table = 255", 13, 9, "tunnel.t.table", reserved.c_str()},
                     {"# tunnel", "table = \"local\"", 13, 9, "tunnel.t.table", reserved.c_str()},
                     {"# tunnel", "table = true", 13, 9, "tunnel.t.table", "integer"},
                     {"# tunnel", "metric = 4000000000", 13, 10, "tunnel.t.metric", "0 … 3999999999"},
                     {"# tunnel", "table = \"off\"\nmetric = 1", 14, 10, "tunnel.t.metric", "has no effect"},
                     {"# tunnel", "fwmark = 1", 13, 1, "tunnel.t.fwmark", "it stands in [gateway]"},
                     {"# gateway", "fwmark = 0", 3, 10, "gateway.fwmark", "1 … 4294967295"},
                 });
}

TEST_CASE("one prefix goes into two tunnels by another metric or table") {
  const Folder folder;
  const std::string first = "routes = [\"10.2.0.0/16\"]\n", second = "key = 1\n" + first;
  for (const char* place : {"metric = 10", "table = 100"})
    CHECK(sound(folder, replaced(sound_gre, "# tunnel", first + with_second_gre(second + place))).tunnels.size() == 2);
  check_mistakes(sound_gre, {
                                {"# tunnel", first + "metric = 10\n" + with_second_gre(second + "metric = 10"), 20, 11,
                                 "tunnel.u.routes", "another `metric` or `table` would make both possible"},
                            });
}

TEST_CASE("names of routing tables are read as iproute2 writes them") {
  // ip-route(8), and /etc/iproute2/rt_tables of Debian 12.
  const RoutingTables tables = parse_routing_tables(
      "#\n# reserved values\n#\n255\tlocal\n 0x64 wan # comment\n\n7\nx y\n100 isp2 more\n"
      "5000000000 big\n1 last");
  CHECK(tables == RoutingTables{{"local", 255}, {"wan", 100}, {"isp2", 100}, {"last", 1}});
}

TEST_CASE("remote nets of two plain tunnels do not overlap") {
  const std::string other_peer =
      "[peer.osaka]\naddress = \"any\"\nid = \"osaka.example.net\"\nauth = { psk_file = \"good.psk\" }\n";
  check_mistakes(
      sound_ip,
      {
          {"# end", with_second_ip("\"10.1.0.0/16\"", "\"10.2.0.0/16\""), 21, 11, "tunnel.u.remote",
           "10.2.0.0/16 overlaps with 10.2.0.0/16 of tunnel t (line 14): the peer could not tell"},
          {"# end", with_second_ip("\"10.1.0.0/16\"", "\"10.2.7.0/24\""), 21, 11, "tunnel.u.remote",
           "the peer could not tell"},
          {"# end", with_second_ip("\"10.1.0.0/16\"", "\"10.2.7.0/24\"", "routes = []"), 21, 11, "tunnel.u.remote",
           "the peer could not tell"},
          {"# end", with_second_ip("\"10.5.0.0/16\"", "\"10.2.7.0/24\""), 21, 11, "tunnel.u.remote",
           "could only be routed into one of them"},
          {"# end", other_peer + replaced(with_second_ip("\"10.1.0.0/16\"", "\"10.2.7.0/24\""), "tokyo", "osaka"), 25,
           11, "tunnel.u.remote", "could only be routed into one of them"},
          // The later in the file is the one to blame, whichever is the larger.
          {"[\"10.2.0.0/16\"]\n",
           "[\"10.2.7.0/24\"]\n" + with_second_ip("\"10.1.0.0/16\"", "\"10.3.0.0/16\", \"10.2.0.0/15\"") + "\n", 20, 26,
           "tunnel.u.remote", "10.2.0.0/15 overlaps with 10.2.7.0/24 of tunnel t (line 14)"},
      });
  const Folder folder;
  const std::string apart = replaced(sound_ip, "# end", with_second_ip("\"10.1.0.0/16\"", "\"10.3.0.0/16\""));
  CHECK(sound(folder, apart).peers[0].children.size() == 2);
  const std::string chosen =
      replaced(sound_ip, "# end", with_second_ip("\"10.5.0.0/16\"", "\"10.2.7.0/24\"", "routes = [\"10.2.7.0/25\"]"));
  CHECK(sound(folder, chosen).tunnels.size() == 2);
  const std::string everything_else =
      replaced(sound_ip, "# end", with_second_ip("\"10.1.0.0/16\"", "\"0.0.0.0/0\"", "routes = [\"10.64.0.0/10\"]"));
  CHECK(sound(folder, everything_else).tunnels.size() == 2);
}

TEST_CASE("IPv6 inside needs an MTU of 1280") {
  check_mistakes(sound_gre,
                 {
                     {"# tunnel", "mtu = 1279\naddress = [\"fd00::1/64\"]", 13, 7, "tunnel.t.mtu", "at least 1280"},
                     {"# tunnel", "mtu = 1279\nroutes = [\"fd00:2::/48\"]", 13, 7, "tunnel.t.mtu", "at least 1280"},
                 });
  const Folder folder;
  CHECK(sound(folder, replaced(sound_gre, "# tunnel", "mtu = 1279")).tunnels[0].plane.mtu == 1279);
}

TEST_CASE("what is hardly meant but harmless is a warning") {
  const Folder folder;
  folder.write("short.psk", "eight by\n");
  const Config config = sound(folder, replaced(replaced(sound_ip, "good.psk", "short.psk"), "[\"10.2.0.0/16\"]",
                                               "[\"10.2.0.0/16\", \"10.2.3.0/24\"]"));
  REQUIRE(config.warnings.size() == 2);
  CHECK(config.warnings[0].line == 7);
  CHECK(config.warnings[0].message.find("a key of 8 bytes") != std::string::npos);
  CHECK(config.warnings[1].line == 14);
  CHECK(config.warnings[1].message == "10.2.3.0/24 is part of 10.2.0.0/16 in the same list");
  CHECK(sound(folder, "[gateway]\nid = \"a.net\"\n").warnings.size() == 1);
}

TEST_CASE("up and down are programs with their arguments, by whole paths, that nobody else can change") {
  const Folder folder;
  const auto hooks = [&](const char* keys) {
    return sound(folder, replaced(sound_gre, "# tunnel", keys)).tunnels[0].hooks;
  };
  CHECK(hooks("") == nullptr);
  const auto both = hooks("up = [\"/bin/true\", \"a b\", \"$(c)\"]\ndown = \"/bin/false\"");
  REQUIRE(both != nullptr);
  CHECK(both->up == std::vector<std::string>{"/bin/true", "a b", "$(c)"});
  CHECK(both->down == std::vector<std::string>{"/bin/false"});
  CHECK(sound(folder, replaced(sound_gre, "# tunnel", "up = \"/bin/true\"")).uses_hooks);
  const std::string open_file = folder.write("open.sh", "#!/bin/sh\n", 0777).string();
  const std::string plain = folder.write("plain.txt", "", 0644).string();
  const auto named = [](const std::string& file) { return "up = [\"" + file + "\"]"; };
  check_mistakes(sound_gre,
                 {
                     {"# tunnel", "up = [\"true\"]", 13, 7, "tunnel.t.up", "is no whole path"},
                     {"# tunnel", "up = []", 13, 6, "tunnel.t.up", "at least one"},
                     {"# tunnel", "down = [\"/nowhere/at/all\"]", 13, 9, "tunnel.t.down", "No such file"},
                     {"# tunnel", "up = [\"/bin/true\", 1]", 13, 20, "tunnel.t.up", "got an integer"},
                     {"# tunnel", "up = [\"/bin/true\", \"a\\u0000b\"]", 13, 20, "tunnel.t.up", "holds a NUL"},
                     {"# tunnel", "up = [\"/etc\"]", 13, 7, "tunnel.t.up", "is not a regular file"},
                     {"# tunnel", named(plain), 13, 7, "tunnel.t.up", "is not executable"},
                     {"# tunnel", named(open_file), 13, 7, "tunnel.t.up", "group or others could change"},
                     {"# tunnel", "post_up = \"/bin/true\"", 13, 1, "tunnel.t.post_up", "there is no shell"},
                 });
}

// Mistakes in single keys. Lines and columns were counted by hand in the text of fixture.h.
#include "fixture.h"

using namespace culvert::config;
using namespace culvert::config::test;

TEST_CASE("the sound files that these tests spoil are sound") {
  const Folder folder;
  CHECK(sound(folder, sound_gre).tunnels.size() == 1);
  CHECK(sound(folder, sound_ip).tunnels.size() == 1);
}

TEST_CASE("an unknown key is reported with the nearest known one") {
  check_mistakes(
      sound_gre,
      {
          {"address =", "adress =", 5, 1, "peer.tokyo.adress", "unknown key 'adress'; did you mean 'address'?"},
          {"# gateway", "listn = [\"::\"]", 3, 1, "gateway.listn", "did you mean 'listen'?"},
          {"# gateway", "log-level = \"info\"", 3, 1, "gateway.log-level", "did you mean 'log_level'?"},
          {"# tunnel", "rotues = []", 13, 1, "tunnel.t.rotues", "did you mean 'routes'?"},
          {"# tunnel", "DEVICE = 1", 13, 1, "tunnel.t.DEVICE", "did you mean 'device'?"},
          {"# tunnel", "colour = 1", 13, 1, "tunnel.t.colour",
           "unknown key 'colour'; tunnel.t takes peer, carry, device"},
          {"# end", "[tunel.x]", 14, 2, "tunel", "did you mean 'tunnel'?"},
          {"# end", "[vrf]", 14, 2, "vrf", "the file takes gateway, peer, tunnel, pool or radius"},
          {"# peer", "\"st\\u001bart\" = 1", 8, 1, "peer.tokyo.'st\\x1bart'", "unknown key 'st\\x1bart'"},
          {"# peer", "\"\" = 1", 8, 1, "peer.tokyo.''", "unknown key ''"},
          {"psk_file =", "pskfile =", 7, 10, "peer.tokyo.auth.pskfile", "did you mean 'psk_file'?"},
      });
}

TEST_CASE("a key brought from elsewhere is answered with the way out") {
  check_mistakes(sound_gre,
                 {
                     {"# peer", "psk = \"hunter2\"", 8, 1, "peer.tokyo.psk", "write the key to a file of mode 0600"},
                     {"# peer", "dpd_delay = \"5s\"", 8, 1, "peer.tokyo.dpd_delay", "it is called liveness"},
                     {"# peer", "remote_ts = []", 8, 1, "peer.tokyo.remote_ts", "stand in [tunnel.NAME]"},
                 });
}

TEST_CASE("a secret that stands in the file is not repeated by the message") {
  const Folder folder;
  const auto config = parse(replaced(sound_gre, "# peer", "psk = \"hunter2\""), folder.file("gw.toml"));
  REQUIRE_FALSE(config.has_value());
  CHECK(all_of(config.error()).find("hunter2") == std::string::npos);
}

TEST_CASE("a required key that is missing is reported where its table begins") {
  check_mistakes(sound_gre,
                 {
                     {"id = \"paris.example.net\"", "", 1, 2, "gateway.id", "is required, and missing"},
                     {"address = [\"198.51.100.1\"]", "", 4, 7, "peer.tokyo.address", "is required, and missing"},
                     {"id = \"tokyo.example.net\"", "", 4, 7, "peer.tokyo.id", "is required, and missing"},
                     {"auth = { psk_file = \"good.psk\" }", "", 4, 7, "peer.tokyo.auth", "is required, and missing"},
                     {"psk_file = \"good.psk\"", "", 7, 8, "peer.tokyo.auth", "says no way to authenticate"},
                     {"carry = \"gre\"", "", 9, 9, "tunnel.t.carry", "is required, and missing"},
                     {"device = \"cv-tokyo\"", "", 9, 9, "tunnel.t.device", "is required, and missing"},
                 });
  const Folder folder;
  const auto empty = parse("", folder.file("gw.toml"));
  REQUIRE_FALSE(empty.has_value());
  CHECK(all_of(empty.error()) ==
        folder.file("gw.toml").string() +
            ":1:1: gateway: is required, and missing: a table [gateway] with at least id = \"…\"\n");
}

TEST_CASE("an address to probe is a host at the other end") {
  check_mistakes(sound_ip, {
                               {"# tunnel", "probe = \"10.9.0.1\"", 15, 9, "tunnel.t.probe", "lies outside `remote`"},
                               {"# tunnel", "probe = \"0.0.0.0\"", 15, 9, "tunnel.t.probe", "must be the address of one host"},
                               {"# tunnel", "probe = \"224.0.0.5\"", 15, 9, "tunnel.t.probe", "must be the address of one host"},
                               {"# tunnel", "probe = \"10.2.0.1\"\naddress = [\"10.2.0.1/16\"]", 15, 9, "tunnel.t.probe", "our own device"},
                               {"# peer", "probe_interval = \"5ms\"", 8, 18, "peer.tokyo.probe_interval", ""},
                           });
}

TEST_CASE("a value of the wrong type says what was expected and what is there") {
  check_mistakes(
      sound_gre,
      {
          {"id = \"paris.example.net\"", "id = 7", 2, 6, "gateway.id", "expected a string, got an integer"},
          {"id = \"paris.example.net\"", "id = \"\"", 2, 6, "gateway.id", "must not be empty"},
          {"id = \"paris.example.net\"", "id = 2024-01-01", 2, 6, "gateway.id",
           "expected a string, got a date or time"},
          {"# gateway", "listen = 5", 3, 10, "gateway.listen",
           "expected an array of IPv4 or IPv6 addresses, got an integer"},
          {"# gateway", "listen = []", 3, 10, "gateway.listen", "at least one"},
          {"# gateway", "listen = [\"::\", true]", 3, 17, "gateway.listen", "got a boolean in the array"},
          {"# gateway", "port = \"500\"", 3, 8, "gateway.port", "expected an integer 1 … 65535, got a string"},
          {"# gateway", "port = 500.0", 3, 8, "gateway.port", "got a number with a fraction"},
          {"# tunnel", "clamp_mss = \"yes\"", 13, 13, "tunnel.t.clamp_mss", "expected true or false, got a string"},
          {"auth = { psk_file = \"good.psk\" }", "auth = \"good.psk\"", 7, 8, "peer.tokyo.auth",
           "{ psk_file = \"FILE\" }, { certificate = \"FILE\", key = \"FILE\" } or { key = \"FILE\" }, got a string"},
          {"# peer", "ike_lifetime = 1.5", 8, 16, "peer.tokyo.ike_lifetime", "got a number with a fraction"},
          {"# peer", "start = [\"always\"]", 8, 9, "peer.tokyo.start",
           "expected always, on-traffic or wait, got an array"},
          {"# end", "[peer]\nx = 1", 15, 1, "peer.x", "expected a table"},
          {"# peer", "[peer.tokyo.port]\na = 1", 8, 1, "peer.tokyo.port", "expected an integer 1 … 65535, got a table"},
      });
}

TEST_CASE("a word that is none of the possible ones is answered with the list and the nearest") {
  check_mistakes(
      sound_gre,
      {
          {"# peer", "start = \"alway\"", 8, 9, "peer.tokyo.start",
           "expected always, on-traffic or wait, got 'alway'; did you mean 'always'?"},
          {"# peer", "start = \"on_traffic\"", 8, 9, "peer.tokyo.start", "did you mean 'on-traffic'?"},
          {"# peer", "start = \"ALWAYS\"", 8, 9, "peer.tokyo.start", "did you mean 'always'?"},
          {"# peer", "start = \"tomorrow\"", 8, 9, "peer.tokyo.start",
           "expected always, on-traffic or wait, got 'tomorrow'"},
          {"# peer", "encapsulation = \"upd\"", 8, 17, "peer.tokyo.encapsulation", "did you mean 'udp'?"},
          {"# gateway", "log_level = \"warning\"", 3, 13, "gateway.log_level", "expected debug, info, warn or error"},
          {"# gateway", "workers = \"all\"", 3, 11, "gateway.workers",
           "expected \"auto\" or an integer 1 … 256, got 'all'"},
          {"# gateway", "aead = \"vaes-512\"", 3, 8, "gateway.aead",
           "expected auto, openssl, aesni-avx2, vaes256 or vaes512, got 'vaes-512'; did you mean 'vaes512'?"},
          {"# gateway", "aead = \"\"", 3, 8, "gateway.aead", "expected auto, openssl"},
          {"\"gre\"", "\"ger\"", 11, 9, "tunnel.t.carry", "expected gre or ip, got 'ger'; did you mean 'gre'?"},
          {"# tunnel", "mode = \"tunel\"", 13, 8, "tunnel.t.mode", "did you mean 'tunnel'?"},
      });
}

TEST_CASE("a number outside its range is refused") {
  check_mistakes(
      sound_gre,
      {
          {"# gateway", "port = 0", 3, 8, "gateway.port", "expected an integer 1 … 65535, got 0"},
          {"# gateway", "port = 65536", 3, 8, "gateway.port", "got 65536"},
          {"# gateway", "port = -1", 3, 8, "gateway.port", "got -1"},
          {"# gateway", "workers = 257", 3, 11, "gateway.workers", "expected an integer 1 … 256, got 257"},
          {"# gateway", "busy_poll_us = 1001", 3, 16, "gateway.busy_poll_us", "expected an integer 0 … 1000, got 1001"},
          {"# gateway", "busy_poll_us = -1", 3, 16, "gateway.busy_poll_us", "got -1"},
          {"# gateway", "workers = 0", 3, 11, "gateway.workers", "got 0"},
          {"# peer", "retransmit_tries = 21", 8, 20, "peer.tokyo.retransmit_tries", "expected an integer 1 … 20"},
          {"# peer", "fragment_size = 65536", 8, 17, "peer.tokyo.fragment_size", "got 65536"},
          {"# peer", "fragment_size = 575", 8, 17, "peer.tokyo.fragment_size", "expected 576 … 65535, or 0"},
          {"# peer", "rekey_jitter = 0.51", 8, 16, "peer.tokyo.rekey_jitter", "expected a number 0 … 0.5, got 0.51"},
          {"# peer", "rekey_jitter = nan", 8, 16, "peer.tokyo.rekey_jitter", "expected a number 0 … 0.5, got nan"},
          {"# tunnel", "key = 4294967296", 13, 7, "tunnel.t.key", "expected an integer 0 … 4294967295"},
          {"# tunnel", "mtu = 575", 13, 7, "tunnel.t.mtu", "expected an integer 576 … 65535"},
          {"# tunnel", "replay_window = 63", 13, 17, "tunnel.t.replay_window", "expected an integer 64 … 65536"},
          {"# tunnel", "replay_window = 65537", 13, 17, "tunnel.t.replay_window", "got 65537"},
      });
}

TEST_CASE("a duration wants a unit and has bounds") {
  check_mistakes(
      sound_gre,
      {
          {"# peer", "ike_lifetime = 30", 8, 16, "peer.tokyo.ike_lifetime", "did you mean \"30s\"?"},
          {"# peer", "ike_lifetime = \"30\"", 8, 16, "peer.tokyo.ike_lifetime", "got '30'"},
          {"# peer", "ike_lifetime = \"30 s\"", 8, 16, "peer.tokyo.ike_lifetime", "got '30 s'"},
          {"# peer", "ike_lifetime = \"s\"", 8, 16, "peer.tokyo.ike_lifetime", "a duration 1s … 30d"},
          {"# peer", "ike_lifetime = \"-1s\"", 8, 16, "peer.tokyo.ike_lifetime", "got '-1s'"},
          {"# peer", "ike_lifetime = \"0s\"", 8, 16, "peer.tokyo.ike_lifetime", "got '0s'"},
          {"# peer", "ike_lifetime = \"31d\"", 8, 16, "peer.tokyo.ike_lifetime", "got '31d'"},
          {"# peer", "ike_lifetime = \"18446744073709551616s\"", 8, 16, "peer.tokyo.ike_lifetime",
           "a duration 1s … 30d"},
          {"# peer", "ike_lifetime = \"9223372036854775807d\"", 8, 16, "peer.tokyo.ike_lifetime",
           "a duration 1s … 30d"},
          {"# peer", "liveness = \"999ms\"", 8, 12, "peer.tokyo.liveness", "or \"0s\" for never"},
          {"# peer", "retransmit_timeout = \"50ms\"", 8, 22, "peer.tokyo.retransmit_timeout", "a duration 100ms … 1m"},
      });
}

TEST_CASE("a size is a number or has a unit that exists") {
  check_mistakes(sound_gre, {
                                {"# peer", "child_bytes = \"10 GiB\"", 8, 15, "peer.tokyo.child_bytes", "got '10 GiB'"},
                                {"# peer", "child_bytes = \"10Gib\"", 8, 15, "peer.tokyo.child_bytes", "got '10Gib'"},
                                {"# peer", "child_bytes = \"9000000000GiB\"", 8, 15, "peer.tokyo.child_bytes",
                                 "expected an integer or a size"},
                                {"# peer", "child_bytes = -5", 8, 15, "peer.tokyo.child_bytes", "got -5"},
                                {"# peer", "child_bytes = 1023", 8, 15, "peer.tokyo.child_bytes", "at least 1024"},
                                {"# peer", "child_packets = true", 8, 17, "peer.tokyo.child_packets", "got a boolean"},
                            });
}

TEST_CASE("addresses and prefixes that are none are quoted") {
  check_mistakes(
      sound_gre,
      {
          {"# gateway", "listen = [\"0.0.0.0\", \"1.2.3\"]", 3, 22, "gateway.listen",
           "expected an IPv4 or IPv6 address, got '1.2.3'"},
          {"# tunnel", "source = \"10.0.0.0/8\"\ndestination = \"10.9.9.9\"", 13, 10, "tunnel.t.source",
           "got '10.0.0.0/8'"},
          {"# tunnel", "routes = [\"10.2.0.0/33\"]", 13, 11, "tunnel.t.routes",
           "expected a prefix such as \"10.1.0.0/16\" or \"fd00::/64\", got '10.2.0.0/33'"},
          {"# tunnel", "routes = [\n  \"10.2.0.0/16\",\n  \"nonsense\",\n]", 15, 3, "tunnel.t.routes",
           "got 'nonsense'"},
          {"# tunnel", "routes = [\"10.2.0.5/16\"]", 13, 11, "tunnel.t.routes",
           "10.2.0.5/16 has host bits set; did you mean 10.2.0.0/16 (the network) or 10.2.0.5/32 (one host)?"},
          {"# tunnel", "routes = [\"fd00::1/64\"]", 13, 11, "tunnel.t.routes",
           "did you mean fd00::/64 (the network) or fd00::1/128 (one host)?"},
      });
}

TEST_CASE("names that could not be typed on a command line are refused") {
  check_mistakes(sound_gre,
                 {
                     {"# end", "[tunnel.\"a b\"]\npeer = \"tokyo\"\ncarry = \"gre\"\nkey = 1\ndevice = \"x\"", 14, 9,
                      "tunnel.'a b'", "the name 'a b' must be"},
                     {"# end", "[tunnel.-a]\npeer = \"tokyo\"\ncarry = \"gre\"\nkey = 1\ndevice = \"x\"", 14, 9,
                      "tunnel.-a", "not begin with '-'"},
                 });
}

TEST_CASE("a very long value is cut in the message") {
  const Folder folder;
  const auto config =
      parse(replaced(sound_gre, "# peer", "start = \"" + std::string(100'000, 'x') + "\""), folder.file("gw.toml"));
  REQUIRE_FALSE(config.has_value());
  CHECK(config.error()[0].message.size() < 300);
}

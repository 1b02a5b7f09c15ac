#include "tunnel_mtu.h"

#include <doctest/doctest.h>

using namespace culvert;
using daemon::possible_shapes;
using daemon::SaShape;
using daemon::smallest_tunnel_mtu;
using daemon::tunnel_mtu;

namespace {

const std::vector<IpAddress> dual = {IpAddress::any(IpFamily::v4), IpAddress::any(IpFamily::v6)};
const std::vector<IpAddress> v4_only = {IpAddress::any(IpFamily::v4)};

tunnel::TunnelConfig gre(bool key) {
  tunnel::TunnelConfig config;
  config.carry = tunnel::Carry::gre;
  if (key) config.gre_key = 42;
  return config;
}

ike::PeerConfig peer_with(const char* esp, std::vector<std::string> addresses) {
  ike::PeerConfig peer;
  peer.esp_proposals = {ike::parse_esp_proposal(esp).value()};
  peer.addresses = std::move(addresses);
  ike::ChildConfig child;
  child.id = ChildId(0);
  peer.children = {child};
  return peer;
}

}  // namespace

// Counted by hand from RFC 791, 768, 3948, 4303, 4106, 2784 and 2890.
TEST_CASE("the inner MTU is what the headers leave, to the byte") {
  // 1500 - IPv4 20 - UDP 8 - ESP 8 - IV 8 - ICV 16 = 1440, of which a multiple of 4 less the trailer's 2 bytes: 1438;
  // less GRE 4 + key 4.
  CHECK(tunnel_mtu(gre(true),
                   {crypto::CipherSuite::aes_gcm_16_256, EspMode::transport, EspEncapsulation::udp, IpFamily::v4},
                   1500) == 1430);
  // Tunnel mode: the GRE delivery header, 20 bytes more.
  CHECK(tunnel_mtu(gre(true),
                   {crypto::CipherSuite::aes_gcm_16_256, EspMode::tunnel, EspEncapsulation::udp, IpFamily::v4},
                   1500) == 1410);
  // Without the key 4 bytes less.
  CHECK(tunnel_mtu(gre(false),
                   {crypto::CipherSuite::aes_gcm_16_256, EspMode::tunnel, EspEncapsulation::udp, IpFamily::v4},
                   1500) == 1414);
  // Raw ESP over IPv6, AES-CBC with HMAC-SHA-512-256: 1500 - 40 - 8 - IV 16 - ICV 32 = 1404, a multiple of 16: 1392,
  // less 2.
  tunnel::TunnelConfig ip;
  ip.carry = tunnel::Carry::ip;
  CHECK(tunnel_mtu(
            ip, {crypto::CipherSuite::aes_cbc_256_sha2_512_256, EspMode::tunnel, EspEncapsulation::raw, IpFamily::v6},
            1500) == 1390);
}

TEST_CASE("a path that leaves next to nothing still gives the 576 bytes that every host takes") {
  CHECK(tunnel_mtu(gre(true),
                   {crypto::CipherSuite::aes_gcm_16_256, EspMode::tunnel, EspEncapsulation::udp, IpFamily::v6},
                   576) == 576);
}

TEST_CASE("before an SA exists, the largest overhead that the configuration allows counts") {
  const auto one = possible_shapes(peer_with("aes256gcm16-esn", {"192.0.2.1"}), ChildId(0), dual);
  REQUIRE(one.size() == 1);
  CHECK(one[0].outer_family == IpFamily::v4);
  CHECK(one[0].mode == EspMode::tunnel);
  CHECK(smallest_tunnel_mtu(gre(true), one, 1500) == 1410);

  // A name may turn out to be IPv6: 20 bytes more outside, and 20 in the delivery header.
  CHECK(smallest_tunnel_mtu(gre(true),
                            possible_shapes(peer_with("aes256gcm16-esn", {"tokyo.example.net"}), ChildId(0), dual),
                            1500) == 1370);
  CHECK(smallest_tunnel_mtu(gre(true),
                            possible_shapes(peer_with("aes256gcm16-esn", {"tokyo.example.net"}), ChildId(0), v4_only),
                            1500) == 1410);
  // "any" likewise.
  CHECK(possible_shapes(peer_with("aes256gcm16-esn", {}), ChildId(0), dual).size() == 2);

  auto transport_only = peer_with("aes256gcm16-esn", {"192.0.2.1"});
  transport_only.children.front().mode = ike::ModePreference::transport;
  CHECK(smallest_tunnel_mtu(gre(true), possible_shapes(transport_only, ChildId(0), dual), 1500) == 1430);
  transport_only.encapsulation = ike::EncapsulationPreference::raw;
  CHECK(smallest_tunnel_mtu(gre(true), possible_shapes(transport_only, ChildId(0), dual), 1500) == 1438);
}

TEST_CASE("of several suites the one with the longest ICV and the widest blocks decides") {
  auto peer = peer_with("aes256gcm16-esn", {"192.0.2.1"});
  peer.esp_proposals.push_back(ike::parse_esp_proposal("aes128-sha512-noesn").value());
  tunnel::TunnelConfig ip;
  ip.carry = tunnel::Carry::ip;
  // 1500 - 20 - 8 - 8 - 16 - 32 = 1416, a multiple of 16: 1408, less 2.
  CHECK(smallest_tunnel_mtu(ip, possible_shapes(peer, ChildId(0), dual), 1500) == 1406);
}

#include <doctest/doctest.h>

#include "carrier.h"
#include "culvert/tunnel/mtu.h"
#include "esp_encrypt.h"
#include "packets.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;
using crypto::CipherSuite;

namespace {

MtuQuery query(CipherSuite suite) {
  MtuQuery query;
  query.suite = suite;
  query.carry = Carry::ip;
  return query;
}

/// The outer packet's length when an IPv4 packet of `len` bytes really goes through carrier and ESP.
std::size_t outer_len(const MtuQuery& query, std::size_t len) {
  ChildSaKeys keys = make_keys(query.suite, 0x1000);
  keys.mode = query.mode;
  const auto sa = outbound_at(std::move(keys), 1);
  TunnelConfig config;
  config.carry = query.carry;
  if (query.gre_key) config.gre_key = 1;
  config.gre_sequence = query.gre_sequence;
  config.gre_checksum = query.gre_checksum;
  const bool v4 = query.delivery_family == IpFamily::v4;
  config.gre_source = v4 ? ip("192.0.2.1") : ip("2001:db8::1");
  config.gre_destination = v4 ? ip("192.0.2.2") : ip("2001:db8::2");
  Tunnel tunnel(config);
  Bytes inner(len);
  std::copy(inner4.begin(), inner4.end(), inner.begin());
  store_be(&inner[2], static_cast<std::uint16_t>(len));
  Batch batch;
  batch.packets[batch.add(inner, sa.get(), nullptr)].tunnel = &tunnel;
  push_batch(batch.packets);
  encrypt_batch(batch.packets);
  REQUIRE(batch.packets.alive(0));
  return batch.packets[0].len + (query.outer_family == IpFamily::v4 ? 20 : 40) +
         (query.encapsulation == EspEncapsulation::udp ? 8 : 0);
}

}  // namespace

// By hand, from RFC 4303 §2.4: room = outer MTU - IP - UDP - 8 - IV - ICV, down to whole blocks, less 2 for the
// trailer.
TEST_CASE("the inner MTU in cases computed by hand") {
  MtuQuery q = query(CipherSuite::aes_gcm_16_256);
  CHECK(inner_mtu(q) == 1438);  // 1500-20-8-8-8-16 = 1440
  q.encapsulation = EspEncapsulation::raw;
  CHECK(inner_mtu(q) == 1446);  // 1448
  q.outer_mtu = 1501;
  CHECK(inner_mtu(q) == 1446);  // 1449, one byte short of a use
  q.outer_mtu = 1504;
  CHECK(inner_mtu(q) == 1450);

  q = query(CipherSuite::aes_cbc_128_sha2_256_128);
  q.outer_family = IpFamily::v6;
  CHECK(inner_mtu(q) == 1406);  // 1500-40-8-8-16-16 = 1412: 88 blocks = 1408
  q = query(CipherSuite::aes_cbc_256_sha2_512_256);
  q.outer_mtu = 1492;
  CHECK(inner_mtu(q) == 1406);  // 1492-20-8-8-16-32 = 1408
  q.outer_mtu = 1491;
  CHECK(inner_mtu(q) == 1390);
  CHECK(inner_mtu(query(CipherSuite::chacha20_poly1305)) == 1438);
}

TEST_CASE("the inner MTU through GRE by hand") {
  MtuQuery q = query(CipherSuite::aes_gcm_16_128);
  q.carry = Carry::gre;
  q.mode = EspMode::transport;
  CHECK(inner_mtu(q) == 1434);  // 1438 - 4
  q.gre_key = true;
  CHECK(inner_mtu(q) == 1430);
  q.mode = EspMode::tunnel;
  CHECK(inner_mtu(q) == 1410);
  q.delivery_family = IpFamily::v6;
  CHECK(inner_mtu(q) == 1390);
  q.delivery_family = IpFamily::v4;
  q.gre_sequence = q.gre_checksum = true;
  CHECK(inner_mtu(q) == 1402);
}

TEST_CASE("an outer MTU that leaves no room gives 0, a huge one at most 65535") {
  MtuQuery q = query(CipherSuite::aes_gcm_16_128);
  for (const std::uint32_t outer : {0U, 59U, 60U, 63U}) {
    q.outer_mtu = outer;
    CHECK(inner_mtu(q) == 0);
  }
  q.outer_mtu = 64;
  CHECK(inner_mtu(q) == 2);
  q.outer_mtu = 200000;
  CHECK(inner_mtu(q) == 65535);
}

TEST_CASE("a packet of the inner MTU fits when it really goes through, and one byte more does not") {
  for (int s = 0; s <= static_cast<int>(CipherSuite::aes_cbc_256_sha2_512_256); ++s) {
    for (unsigned bits = 0; bits < 128; ++bits) {
      MtuQuery q = query(static_cast<CipherSuite>(s));
      q.outer_mtu = 1400 + bits % 17;
      q.outer_family = (bits & 1) != 0 ? IpFamily::v6 : IpFamily::v4;
      q.encapsulation = (bits & 2) != 0 ? EspEncapsulation::raw : EspEncapsulation::udp;
      q.carry = (bits & 4) != 0 ? Carry::gre : Carry::ip;
      q.mode = (bits & 8) != 0 && q.carry == Carry::gre ? EspMode::transport : EspMode::tunnel;
      q.gre_key = (bits & 16) != 0;
      q.gre_sequence = q.gre_checksum = (bits & 32) != 0;
      q.delivery_family = (bits & 64) != 0 ? IpFamily::v6 : IpFamily::v4;
      const std::size_t mtu = inner_mtu(q);
      REQUIRE(outer_len(q, mtu) <= q.outer_mtu);
      REQUIRE(outer_len(q, mtu + 1) > q.outer_mtu);
    }
  }
}

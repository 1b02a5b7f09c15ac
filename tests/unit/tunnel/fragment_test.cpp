#include <doctest/doctest.h>

#include "culvert/wire/ipv4.h"
#include "fragment.h"
#include "packets.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {

std::vector<Bytes> fragments_of(const Bytes& packet, std::uint16_t mtu) {
  std::vector<Bytes> fragments;
  Ipv4Fragmenter fragmenter(packet, mtu);
  while (!fragmenter.done()) {
    Bytes out(mtu);
    const std::size_t len = fragmenter.next(out);
    REQUIRE(len != 0);
    out.resize(len);
    fragments.push_back(std::move(out));
  }
  return fragments;
}

// scapy: IP(src='10.1.0.5',dst='10.2.0.7',id=77,ttl=9)/ICMP(type=8,id=1,seq=1)/bytes(range(100))
const Bytes echo =
    hex("45000080004d000009019d220a0100050a02000708005c3000010001000102030405060708090a0b0c0d0e0f101112131415161718191a"
        "1b1c1d1e1f20212223"
        "2425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a"
        "5b5c5d5e5f60616263");

}  // namespace

TEST_CASE("fragments are scapy's, to the byte") {
  // scapy: fragment(echo, fragsize=40)
  const std::vector<Bytes> expected{
      hex("4500003c004d200009017d660a0100050a02000708005c3000010001000102030405060708090a0b0c0d0e0f10111213141516171819"
          "1a1b1c1d1e1f"),
      hex("4500003c004d200509017d610a0100050a020007202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f4041"
          "424344454647"),
      hex("45000030004d000a09019d680a0100050a02000748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60616263")};
  CHECK(fragments_of(echo, 60) == expected);
  CHECK(fragments_of(echo, 67) == expected);  // 47 bytes of room are 40: offsets count in eights
}

TEST_CASE("a fragment of a fragment keeps its place and its more-fragments flag") {
  const std::vector<Bytes> once = fragments_of(echo, 60);
  const std::vector<Bytes> again = fragments_of(once[1], 40);
  REQUIRE(again.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto header = wire::Ipv4Header::parse(again[i]);
    REQUIRE(header);
    CHECK(header->fragment_offset() == 40 + 16 * i);
    CHECK(header->more_fragments());
    CHECK(wire::checksum(ByteView(again[i]).first(20)) == 0);
  }
}

// RFC 791 §3.1: the copied flag of an option says whether all fragments have it.
TEST_CASE("options: all in the first fragment, only copied ones in the others") {
  Bytes packet =
      hex("47000000004d000009010000"
          "0a0100050a020007"
          "9404000001010700");  // router alert (copied), NOP, NOP, record route
  packet[26] = 7;
  packet[27] = 2;  // record route, 2 bytes long, not copied
  append(packet, iota(64));
  store_be(&packet[2], static_cast<std::uint16_t>(packet.size()));
  const std::vector<Bytes> fragments = fragments_of(packet, 60);
  REQUIRE(fragments.size() == 2);  // 28 + 32 and 24 + 32 bytes
  CHECK(fragments[0][0] == 0x47);
  CHECK(to_bytes(ByteView(fragments[0]).subspan(20, 8)) == hex("9404000001010702"));
  CHECK(fragments[1][0] == 0x46);
  CHECK(to_bytes(ByteView(fragments[1]).subspan(20, 4)) == hex("94040000"));
  Bytes payload;
  for (const Bytes& fragment : fragments) {
    const auto header = wire::Ipv4Header::parse(fragment);
    REQUIRE(header);
    CHECK(header->total_len == fragment.size());
    CHECK(fragment.size() <= 60);
    CHECK(header->fragment_offset() == payload.size());
    append(payload, ByteView(fragment).subspan(header->header_len));
  }
  CHECK(payload == iota(64));
}

TEST_CASE("nothing to do: DF, malformed, no room for eight bytes, an end beyond 65535") {
  Bytes packet = echo;
  packet[6] = 0x40;
  CHECK(Ipv4Fragmenter(packet, 60).done());
  CHECK(Ipv4Fragmenter(echo, 27).done());
  CHECK_FALSE(Ipv4Fragmenter(echo, 28).done());
  CHECK(Ipv4Fragmenter(ByteView(echo).first(100), 60).done());
  CHECK(Ipv4Fragmenter(inner6, 60).done());
  CHECK(Ipv4Fragmenter({}, 60).done());
  packet = echo;
  store_be(&packet[6], std::uint16_t{0x1FFF});
  CHECK(Ipv4Fragmenter(packet, 60).done());
}

TEST_CASE("a buffer shorter than the MTU takes nothing and loses nothing") {
  Ipv4Fragmenter fragmenter(echo, 60);
  Bytes small(59), enough(60);
  CHECK(fragmenter.next(small) == 0);
  CHECK(fragmenter.next(enough) == 60);
}

TEST_CASE("what fits, what is cut, what is too big") {
  CHECK(fit(echo, 128) == Fit::fits);
  CHECK(fit(echo, 127) == Fit::fragment);
  Bytes with_df = echo;
  with_df[6] = 0x40;
  CHECK(fit(with_df, 128) == Fit::fits);
  CHECK(fit(with_df, 127) == Fit::too_big);
  CHECK(fit(inner6, 64) == Fit::fits);
  CHECK(fit(inner6, 63) == Fit::too_big);
  CHECK(fit(ByteView(echo).first(127), 1500) == Fit::malformed);
  CHECK(fit({}, 1500) == Fit::malformed);
}

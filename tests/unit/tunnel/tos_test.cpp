#include <doctest/doctest.h>

#include "packets.h"
#include "tos.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

// RFC 6040 §4.2, figure 4, row by row; nullopt is <drop>.
TEST_CASE("decapsulation of ECN is the whole table of RFC 6040") {
  constexpr auto n = Ecn::not_ect, e0 = Ecn::ect0, e1 = Ecn::ect1, ce = Ecn::ce;
  struct Row {
    Ecn inner;
    std::optional<Ecn> by_outer_not_ect, by_outer_ect0, by_outer_ect1, by_outer_ce;
  };
  for (const Row& row :
       {Row{n, n, n, n, std::nullopt}, Row{e0, e0, e0, e1, ce}, Row{e1, e1, e1, e1, ce}, Row{ce, ce, ce, ce, ce}}) {
    CHECK(decapsulate_ecn(row.inner, n) == row.by_outer_not_ect);
    CHECK(decapsulate_ecn(row.inner, e0) == row.by_outer_ect0);
    CHECK(decapsulate_ecn(row.inner, e1) == row.by_outer_ect1);
    CHECK(decapsulate_ecn(row.inner, ce) == row.by_outer_ce);
  }
}

TEST_CASE("encapsulation copies ECN always and DSCP when it may") {
  CHECK(outer_tos(0xB9, true) == 0xB9);
  CHECK(outer_tos(0xB9, false) == 0x01);
  CHECK(outer_tos(0x00, true) == 0x00);
}

TEST_CASE("a changed ECN leaves an IPv4 checksum right and every other bit as it was") {
  // scapy: IP(src='10.1.0.5',dst='10.2.0.7',ttl=64,id=0x1234,tos=2 and 3)/UDP(sport=1111,dport=2222)/b'culvert!'
  Bytes packet = hex("4502002412340000401154850a0100050a020007045708ae0010353b63756c7665727421");
  CHECK(decapsulate_ecn(packet, 3));
  CHECK(packet == hex("4503002412340000401154840a0100050a020007045708ae0010353b63756c7665727421"));
  packet = inner4;
  CHECK_FALSE(decapsulate_ecn(packet, 3));
  CHECK(packet == inner4);
}

TEST_CASE("the traffic class of IPv6 straddles two bytes") {
  Bytes packet = inner6;
  store_be(packet.data(), std::uint32_t{0x6BAF'FFFF});  // traffic class 0xBA: ECT(0), flow label all ones
  CHECK(decapsulate_ecn(packet, 3));
  CHECK(load_be<std::uint32_t>(packet.data()) == 0x6BBF'FFFF);
  CHECK(to_bytes(ByteView(packet).subspan(4)) == to_bytes(ByteView(inner6).subspan(4)));
}

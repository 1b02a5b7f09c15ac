#include <doctest/doctest.h>

#include "packets.h"
#include "selectors.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {

bool outbound(const Bytes& packet, std::vector<TrafficSelector> local, std::vector<TrafficSelector> remote) {
  const auto flow = wire::Flow::parse(packet);
  REQUIRE(flow);
  return SelectorSet(std::move(local), std::move(remote)).allows_outbound(*flow);
}

TrafficSelector ports(std::string_view prefix, std::uint8_t protocol, std::uint16_t first, std::uint16_t last) {
  TrafficSelector selector = test::selector(prefix, protocol);
  selector.start_port = first;
  selector.end_port = last;
  return selector;
}

// scapy: IP(src='10.1.0.5',dst='10.2.0.7',frag=…,flags=…)/UDP(sport=1111,dport=2222)/b'culvert!': the last 8 bytes as a
// fragment of their own
const Bytes first_fragment = hex("4500002412342000401134870a0100050a020007045708ae0010353b63756c7665727421");
const Bytes later_fragment = hex("4500001c123400024011548d0a0100050a02000763756c7665727421");
// scapy: IP(src='10.1.0.5',dst='10.2.0.7')/ICMP(type=8,id=1,seq=1)
const Bytes echo = hex("4500001c00010000400166d20a0100050a0200070800f7fd00010001");

}  // namespace

TEST_CASE("addresses: the ends of a range belong to it, their neighbours do not") {
  TrafficSelector range;
  range.first = ip("10.2.0.7");
  range.last = ip("10.2.0.7");
  CHECK(outbound(inner4, {selector("0.0.0.0/0")}, {range}));
  range.first = ip("10.2.0.0");
  CHECK(outbound(inner4, {selector("0.0.0.0/0")}, {range}));
  range.last = ip("10.2.0.6");
  CHECK_FALSE(outbound(inner4, {selector("0.0.0.0/0")}, {range}));
  range.first = ip("10.2.0.8");
  range.last = ip("10.2.0.9");
  CHECK_FALSE(outbound(inner4, {selector("0.0.0.0/0")}, {range}));
  CHECK_FALSE(outbound(inner4, {selector("::/0")}, {selector("::/0")}));
  CHECK(outbound(inner6, {selector("fd00:1::/64")}, {selector("10.0.0.0/8"), selector("fd00:2::/64")}));
  CHECK_FALSE(outbound(inner6, {selector("fd00:2::/64")}, {selector("fd00:1::/64")}));
  CHECK_FALSE(outbound(inner4, {}, {selector("0.0.0.0/0")}));
}

TEST_CASE("protocol and ports: of the end that the selector is for") {
  const auto all = selector("0.0.0.0/0");
  CHECK(outbound(inner4, {ports("10.1.0.0/16", 17, 1111, 1111)}, {ports("10.2.0.0/16", 17, 2000, 2222)}));
  CHECK_FALSE(outbound(inner4, {ports("10.1.0.0/16", 17, 2222, 2222)}, {all}));
  CHECK_FALSE(outbound(inner4, {all}, {ports("10.2.0.0/16", 17, 1111, 1111)}));
  CHECK_FALSE(outbound(inner4, {all}, {ports("10.2.0.0/16", 17, 2223, 65535)}));
  CHECK_FALSE(outbound(inner4, {selector("10.1.0.0/16", 6)}, {all}));
}

// RFC 4301 §4.4.1.1: ports of a fragment that is not the first are OPAQUE.
TEST_CASE("a fragment that is not the first fits only all ports or OPAQUE") {
  const auto all = selector("0.0.0.0/0");
  CHECK(outbound(first_fragment, {all}, {ports("10.2.0.0/16", 17, 2222, 2222)}));
  CHECK_FALSE(outbound(later_fragment, {all}, {ports("10.2.0.0/16", 17, 2222, 2222)}));
  CHECK_FALSE(outbound(later_fragment, {all}, {ports("10.2.0.0/16", 17, 1, 65535)}));
  CHECK(outbound(later_fragment, {all}, {ports("10.2.0.0/16", 17, 0, 65535)}));
  CHECK(outbound(later_fragment, {all}, {ports("10.2.0.0/16", 17, 65535, 0)}));
  CHECK_FALSE(outbound(first_fragment, {all}, {ports("10.2.0.0/16", 17, 65535, 0)}));
  CHECK_FALSE(outbound(later_fragment, {all}, {ports("10.2.0.0/16", 6, 65535, 0)}));
}

// RFC 7296 §3.13.1: type << 8 | code.
TEST_CASE("ICMP type and code ride in the ports") {
  const auto all = selector("0.0.0.0/0");
  CHECK(outbound(echo, {ports("10.1.0.0/16", 1, 0x0800, 0x08FF)}, {all}));
  CHECK(outbound(echo, {all}, {ports("10.2.0.0/16", 1, 0x0800, 0x0800)}));
  CHECK_FALSE(outbound(echo, {ports("10.1.0.0/16", 1, 0x0000, 0x00FF)}, {all}));
}

TEST_CASE("an IPv6 fragment whose upper layer is hidden fits only selectors of any protocol") {
  // scapy: IPv6(src='fd00:1::5',dst='fd00:2::7')/IPv6ExtHdrFragment(nh=60,offset=5,m=0,id=1)/(b'\x11' * 16)
  Bytes hidden =
      hex("6000000000182c40fd000001000000000000000000000005fd0000020000000000000000000000073c00002800000001"
          "11111111111111111111111111111111");
  CHECK(outbound(hidden, {selector("::/0")}, {selector("::/0")}));
  CHECK_FALSE(outbound(hidden, {selector("::/0")}, {selector("::/0", 17)}));
  hidden[40] = 17;  // nh=17: UDP, but the ports are in the first fragment
  CHECK(outbound(hidden, {selector("::/0")}, {selector("::/0", 17)}));
  CHECK_FALSE(outbound(hidden, {selector("::/0")}, {ports("::/0", 17, 1, 9)}));
}

TEST_CASE("transport mode checks the protocol on both sides") {
  const SelectorSet gre({selector("192.0.2.1/32", 47)}, {selector("192.0.2.2/32", 47)});
  CHECK(gre.allows_protocol(47));
  CHECK_FALSE(gre.allows_protocol(17));
  CHECK_FALSE(SelectorSet({selector("192.0.2.1/32")}, {selector("192.0.2.2/32", 17)}).allows_protocol(47));
  CHECK_FALSE(SelectorSet({}, {}).allows_protocol(47));
}

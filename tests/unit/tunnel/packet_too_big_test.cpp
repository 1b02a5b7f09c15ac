#include <doctest/doctest.h>

#include "packet_too_big.h"
#include "packets.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {

// scapy: IP(src='10.1.0.5',dst='10.2.0.7',flags='DF',id=7)/UDP(sport=1,dport=2)/b'hi'
const Bytes small = hex("4500001e00074000401126ba0a0100050a02000700010002000a835f6869");
// scapy: IP(src='10.1.0.5',dst='10.2.0.7',flags='DF',id=7)/UDP(sport=1,dport=2)/(b'x' * 1472)
Bytes big4() {
  Bytes packet = hex("450005dc00074000401120fc0a0100050a0200070001000205c885f2");
  packet.resize(1500, 'x');
  return packet;
}
// scapy: IPv6(src='fd00:1::5',dst='fd00:2::7')/UDP(sport=1,dport=2)/(b'x' * 1452)
Bytes big6() {
  Bytes packet = hex("6000000005b41140fd000001000000000000000000000005fd00000200000000000000000000000700010002");
  append(packet, hex("05b454cd"));
  packet.resize(1500, 'x');
  return packet;
}
const IpAddress source4 = ip("169.254.10.1");
const IpAddress source6 = ip("fd00:10::1");

std::size_t answer_len(const Bytes& packet, const IpAddress& source = source4) {
  Bytes out(max_packet_too_big_len);
  return build_packet_too_big(packet, 1400, source, out);
}

}  // namespace

TEST_CASE("ICMPv4 fragmentation needed is scapy's, to the byte") {
  Bytes out(max_packet_too_big_len);
  out.resize(build_packet_too_big(small, 29, source4, out));
  // scapy: IP(src='169.254.10.1',dst='10.1.0.5',tos=0xc0,id=0)/ICMP(type=3,code=4,nexthopmtu=29)/Raw(small)
  CHECK(out == hex("45c0003a000000004001bbfea9fe0a010a010005030411090000001d4500001e00074000401126ba0a0100050a020007000"
                   "10002000a835f6869"));
}

TEST_CASE("ICMPv4 quotes up to 576 bytes in all") {
  Bytes out(max_packet_too_big_len);
  out.resize(build_packet_too_big(big4(), 1400, source4, out));
  // scapy:
  // IP(src='169.254.10.1',dst='10.1.0.5',tos=0xc0,id=0)/ICMP(type=3,code=4,nexthopmtu=1400)/Raw(bytes(big4)[:548])
  CHECK(out.size() == 576);
  CHECK(to_bytes(ByteView(out).first(60)) == hex("45c00240000000004001b9f8a9fe0a010a0100050304116c00000578450005dc00074"
                                                 "000401120fc0a0100050a0200070001000205c885f278787878"));
  CHECK(std::all_of(out.begin() + 56, out.end(), [](std::uint8_t byte) { return byte == 'x'; }));
}

TEST_CASE("ICMPv6 packet too big quotes up to 1280 bytes in all") {
  Bytes out(max_packet_too_big_len);
  out.resize(build_packet_too_big(big6(), 1400, source6, out));
  REQUIRE(out.size() == 1280);
  // scapy: IPv6(src='fd00:10::1',dst='fd00:1::5')/ICMPv6PacketTooBig(mtu=1400)/Raw(bytes(big6)[:1232])
  CHECK(to_bytes(ByteView(out).first(48)) ==
        hex("6000000004d83a40fd000010000000000000000000000001fd0000010000000000000000000000050200973c00000578"));
  CHECK(to_bytes(ByteView(out).subspan(48)) == to_bytes(ByteView(big6()).first(1232)));
}

TEST_CASE("no error is sent about what RFC 792, 1122 and 4443 except") {
  CHECK(answer_len(big4()) != 0);
  Bytes packet = big4();
  packet[6] = 0;  // without DF: to be fragmented
  CHECK(answer_len(packet) == 0);
  packet = big4();
  packet[7] = 1;  // not the first fragment
  CHECK(answer_len(packet) == 0);
  for (const int type : {3, 4, 5, 11, 12}) {
    packet = big4();
    packet[9] = 1;
    packet[20] = static_cast<std::uint8_t>(type);
    CHECK(answer_len(packet) == 0);
    packet[20] = 8;  // an echo may be answered
    CHECK(answer_len(packet) != 0);
  }
  for (const char* destination : {"224.0.0.5", "255.255.255.255", "239.1.2.3"}) {
    packet = big4();
    std::ranges::copy(ip(destination).bytes(), packet.begin() + 16);
    CHECK(answer_len(packet) == 0);
  }
  for (const char* source : {"0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1"}) {
    packet = big4();
    std::ranges::copy(ip(source).bytes(), packet.begin() + 12);
    CHECK(answer_len(packet) == 0);
  }
}

TEST_CASE(
    "IPv6: errors, redirects, later fragments and sources that are no host get no answer, multicast destinations do") {
  CHECK(answer_len(big6(), source6) != 0);
  for (const int type : {1, 2, 127, 137}) {
    Bytes packet = big6();
    packet[6] = 58;
    packet[40] = static_cast<std::uint8_t>(type);
    CHECK(answer_len(packet, source6) == 0);
    packet[40] = 128;
    CHECK(answer_len(packet, source6) != 0);
  }
  Bytes packet = big6();
  packet[24] = 0xFF;  // RFC 4443 §2.4 (e.3): the exception for packet too big
  CHECK(answer_len(packet, source6) != 0);
  packet = big6();
  packet[8] = 0xFF;
  CHECK(answer_len(packet, source6) == 0);
  std::fill_n(packet.begin() + 8, 16, std::uint8_t{0});
  CHECK(answer_len(packet, source6) == 0);
  packet = big6();
  packet[6] = 44;
  packet[40] = 17;
  packet[42] = 0x01;  // offset 32
  packet[43] = 0;
  CHECK(answer_len(packet, source6) == 0);
}

TEST_CASE("a source of the other family, a short buffer or a malformed packet give nothing") {
  CHECK(answer_len(big4(), source6) == 0);
  CHECK(answer_len(big6(), source4) == 0);
  Bytes out(575);
  CHECK(build_packet_too_big(big4(), 1400, source4, out) == 0);
  CHECK(answer_len({}) == 0);
  for (std::size_t len = 0; len < small.size(); ++len) CHECK(answer_len(to_bytes(ByteView(small).first(len))) == 0);
}

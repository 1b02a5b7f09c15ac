#include <doctest/doctest.h>

#include "mss_clamp.h"
#include "packets.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {

// scapy: IP(src='10.1.0.5',dst='10.2.0.7')/TCP(sport=1,dport=2,flags='S',seq=1,options=[('MSS',1460 or
// 1360),('SAckOK',b''),('WScale',7)])
const Bytes syn4 =
    hex("4500003400010000400666b50a0100050a0200070001000200000001000000008002200036070000020405b40402030307000000");
const Bytes syn4_1360 =
    hex("4500003400010000400666b50a0100050a02000700010002000000010000000080022000366b0000020405500402030307000000");
// scapy: the same with flags='SA', options=[('NOP',None),('MSS',9000 or 1360)]: the value stands at an odd offset
const Bytes odd =
    hex("4500003000010000400666b90a0100050a020007000100020000000100000000701220002e9300000102042328000000");
const Bytes odd_1360 =
    hex("4500003000010000400666b90a0100050a02000700010002000000010000000070122000"
        "06b100000102040550000000");
// scapy:
// IPv6(src='fd00:1::5',dst='fd00:2::7')/IPv6ExtHdrHopByHop(options=[PadN(optdata=b'\0\0\0\0')])/IPv6ExtHdrDestOpt(
// options=[PadN(optdata=b'\0\0\0\0')])/TCP(sport=1,dport=2,flags='S',seq=1,options=[('MSS',1440 or 1340)])
const Bytes syn6 =
    hex("6000000000280040fd000001000000000000000000000005fd0000020000000000000000000000073c0001040000000006000104000000"
        "0000010002"
        "0000000100000000600220007e260000020405a0");
const Bytes syn6_1340 =
    hex("6000000000280040fd000001000000000000000000000005fd0000020000000000000000000000073c0001040000000006000104000000"
        "0000010002"
        "0000000100000000600220007e8a00000204053c");

bool unchanged(Bytes packet, std::uint16_t mtu) {
  const Bytes before = packet;
  return !clamp_mss(packet, mtu) && packet == before;
}

}  // namespace

TEST_CASE("a SYN over IPv4 offers at most the MTU less 40, with scapy's checksum") {
  Bytes packet = syn4;
  CHECK(clamp_mss(packet, 1400));
  CHECK(packet == syn4_1360);
  CHECK(unchanged(packet, 1400));
  CHECK(unchanged(packet, 1500));  // never raised
}

TEST_CASE("a limit below what fits wins, and one above it does not") {
  Bytes packet = syn4;
  CHECK(clamp_mss(packet, 1500, 1360));
  CHECK(packet == syn4_1360);
  packet = syn4;
  CHECK(clamp_mss(packet, 1400, 1406));
  CHECK(packet == syn4_1360);
}

TEST_CASE("an MSS at an odd offset, in a SYN|ACK") {
  Bytes packet = odd;
  CHECK(clamp_mss(packet, 1400));
  CHECK(packet == odd_1360);
}

TEST_CASE("a SYN over IPv6 behind extension headers offers at most the MTU less 60") {
  Bytes packet = syn6;
  CHECK(clamp_mss(packet, 1400));
  CHECK(packet == syn6_1340);
}

TEST_CASE("what is no SYN with an MSS stays as it is") {
  CHECK(unchanged(inner4, 100));
  CHECK(unchanged(inner6, 100));
  CHECK(unchanged({}, 1400));
  Bytes packet = syn4;
  packet[20 + 13] = 0x10;  // ACK
  CHECK(unchanged(packet, 1400));
  packet = syn4;
  packet[40] = 8;  // another option of the same length
  CHECK(unchanged(packet, 1400));
  packet = syn4;
  packet[40] = 0;  // end of options before it
  CHECK(unchanged(packet, 1400));
  packet = syn4;
  packet[7] = 1;  // a fragment that is not the first
  CHECK(unchanged(packet, 1400));
  CHECK(unchanged(syn4, 40));
}

TEST_CASE("malformed options and every truncation end the walk") {
  for (const int len : {0, 1, 3, 5, 13, 255}) {
    Bytes packet = syn4;
    packet[41] = static_cast<std::uint8_t>(len);
    CHECK(unchanged(packet, 1400));
  }
  Bytes last = odd;  // a kind without its length, at the very end of the options
  std::fill(last.begin() + 40, last.end(), std::uint8_t{1});
  last.back() = 2;
  CHECK(unchanged(last, 1400));
  for (const Bytes& whole : {syn4, syn6}) {
    for (std::size_t len = 0; len < whole.size(); ++len) {
      CHECK(unchanged(to_bytes(ByteView(whole).first(len)), 1400));
      Bytes shorter = to_bytes(ByteView(whole).first(len));  // and with the length to match
      if (len >= 40)
        store_be(&shorter[whole == syn4 ? 2 : 4], static_cast<std::uint16_t>(whole == syn4 ? len : len - 40));
      clamp_mss(shorter, 1400);
    }
  }
}

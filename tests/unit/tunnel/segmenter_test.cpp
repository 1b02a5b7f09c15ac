#include "segmenter.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "culvert/wire/flow.h"
#include "packets.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {

// Super-packets and segments are scapy 2.5's, each segment built from its fields: IPv4 id + i, TCP sequence + what went
// before, the flags that belong to it. The checksum field of a super-packet holds the sum of the pseudo header, as the
// kernel leaves it. The payload is bytes(range(0x61, 0x61 + 25)).
struct Case {
  const char* what;
  Offload::Kind kind;
  std::uint16_t segment_len;
  std::uint16_t upper_offset;
  Bytes packet;
  std::vector<Bytes> segments;

  Offload offload() const {
    Offload offload;
    offload.kind = kind;
    offload.needs_checksum = true;
    offload.segment_len = segment_len;
    offload.checksum_start = upper_offset;
    offload.checksum_offset = kind == Offload::Kind::tcp ? 16 : 6;
    return offload;
  }
};

// IP(src='10.1.0.5',dst='10.2.0.7',id=0xFFFF,flags='DF',tos=2)/TCP(sport=1111,dport=2222,seq=0xFFFFFFF8,ack=7,
// flags='FPAEC',options=[('NOP',None),('NOP',None),('Timestamp',(1,2))])
const Case tcp4{
    "TCP over IPv4: id and sequence numbers wrap, FIN and PSH at the end, CWR at the beginning, ECE in all",
    Offload::Kind::tcp,
    10,
    20,
    hex("4502004dffff40004006269b0a0100050a020007045708aefffffff80000000780d92000144e00000101080a000000010000"
        "00026162636465666768696a6b6c6d6e6f70717273747576777879"),
    {hex("4502003effff4000400626aa0a0100050a020007045708aefffffff80000000780d0200039dd00000101080a000000010000"
         "00026162636465666768696a"),
     hex("4502003e00004000400626aa0a0100050a020007045708ae000000020000000780502000082200000101080a000000010000"
         "00026b6c6d6e6f7071727374"),
     hex("4502003900014000400626ae0a0100050a020007045708ae0000000c0000000780592000cf5600000101080a000000010000"
         "00027576777879")}};
// IP(src='10.1.0.5',dst='10.2.0.7',id=9,options=[IPOption_LSRR(routers=['10.9.9.9']),IPOption_NOP()])/TCP(sport=1111,
// dport=2222,seq=5,flags='PAU',urgptr=3)
const Case tcp4_options{
    "TCP over IPv4 with a source route: the pseudo header has its end",
    Offload::Kind::tcp,
    12,
    28,
    hex("47000049000900004006cb7c0a0100050a0200078307040a09090901045708ae0000000500000000503820001d4b00036162"
        "636465666768696a6b6c6d6e6f70717273747576777879"),
    {hex("4700003c000900004006cb890a0100050a0200078307040a09090901045708ae000000050000000050302000ff1700036162"
         "636465666768696a6b6c"),
     hex("4700003c000a00004006cb880a0100050a0200078307040a09090901045708ae000000110000000050302000b6c300036d6e"
         "6f707172737475767778"),
     hex("47000031000b00004006cb920a0100050a0200078307040a09090901045708ae0000001d0000000050382000ec6e000379")}};
// IPv6(src='fd00:1::5',dst='fd00:2::7',hlim=64,fl=0x12345)/TCP(sport=1111,dport=2222,seq=0x7FFFFFFF,ack=7,flags='PA')
const Case tcp6{
    "TCP over IPv6",
    Offload::Kind::tcp,
    13,
    40,
    hex("60012345002d0640fd000001000000000000000000000005fd000002000000000000000000000007045708ae7fffffff0000"
        "000750182000fa4300006162636465666768696a6b6c6d6e6f70717273747576777879"),
    {hex("6001234500210640fd000001000000000000000000000005fd000002000000000000000000000007045708ae7fffffff0000"
         "000750102000353f00006162636465666768696a6b6c6d"),
     hex("6001234500200640fd000001000000000000000000000005fd000002000000000000000000000007045708ae8000000c0000"
         "00075018200053dd00006e6f70717273747576777879")}};
// IPv6(src='fd00:1::5',dst='fd00:9::9',hlim=64)/IPv6ExtHdrHopByHop(options=[PadN(optdata=b'\0'*4)])/IPv6ExtHdrRouting(
// type=0,segleft=1,addresses=['fd00:2::7'])/IPv6ExtHdrDestOpt(options=[PadN(optdata=b'\0'*4)])/TCP(sport=1111,
// dport=2222,seq=1,flags='FA')
const Case tcp6_extensions{
    "TCP over IPv6 with extension headers: the pseudo header has the route's end",
    Offload::Kind::tcp,
    20,
    80,
    hex("6000000000550040fd000001000000000000000000000005fd0000090000000000000000000000092b000104000000003c02"
        "000100000000fd0000020000000000000000000000070600010400000000045708ae000000010000000050112000fa430000"
        "6162636465666768696a6b6c6d6e6f70717273747576777879"),
    {hex("6000000000500040fd000001000000000000000000000005fd0000090000000000000000000000092b000104000000003c02"
         "000100000000fd0000020000000000000000000000070600010400000000045708ae00000001000000005010200060780000"
         "6162636465666768696a6b6c6d6e6f7071727374"),
     hex("6000000000410040fd000001000000000000000000000005fd0000090000000000000000000000092b000104000000003c02"
         "000100000000fd0000020000000000000000000000070600010400000000045708ae00000015000000005011200022b50000"
         "7576777879")}};
// IP(src='10.1.0.5',dst='10.2.0.7',id=1)/UDP(sport=1111,dport=2222)
const Case udp4{
    "UDP over IPv4",
    Offload::Kind::udp,
    10,
    20,
    hex("4500003500010000401166a90a0100050a020007045708ae002114416162636465666768696a6b6c6d6e6f70717273747576"
        "777879"),
    {hex("4500002600010000401166b80a0100050a020007045708ae0012e3b66162636465666768696a"),
     hex("4500002600020000401166b70a0100050a020007045708ae0012b1846b6c6d6e6f7071727374"),
     hex("4500002100030000401166bb0a0100050a020007045708ae000d78d17576777879")}};
// IPv6(src='fd00:1::5',dst='fd00:2::7')/UDP(sport=1111,dport=2222)
const Case udp6{
    "UDP over IPv6",
    Offload::Kind::udp,
    13,
    40,
    hex("6000000000211140fd000001000000000000000000000005fd000002000000000000000000000007045708ae0021fa426162"
        "636465666768696a6b6c6d6e6f70717273747576777879"),
    {hex("6000000000151140fd000001000000000000000000000005fd000002000000000000000000000007045708ae001525426162"
         "636465666768696a6b6c6d"),
     hex("6000000000141140fd000001000000000000000000000005fd000002000000000000000000000007045708ae001443f66e6f"
         "70717273747576777879")}};
// udp4's headers with the payload b'\xb4\x8dabcdefxyz': the first datagram sums up to 0
const Case udp_zero{"a datagram of UDP whose sum is 0 gets 0xFFFF",
                    Offload::Kind::udp,
                    8,
                    20,
                    hex("4500002700010000401166b70a0100050a020007045708ae00131433b48d61626364656678797a"),
                    {hex("4500002400010000401166ba0a0100050a020007045708ae0010ffffb48d616263646566"),
                     hex("4500001f00020000401166be0a0100050a020007045708ae000bec4a78797a")}};

const std::vector<const Case*> cases{&tcp4, &tcp4_options, &tcp6, &tcp6_extensions, &udp4, &udp6, &udp_zero};

Bytes next_packet(Segmenter& segmenter) {
  Bytes headers(Segmenter::max_header_len, 0xEE);
  const auto segment = segmenter.next(headers.data());
  // What stands behind the headers is the caller's.
  CHECK(std::all_of(headers.begin() + static_cast<std::ptrdiff_t>(segment.header_len), headers.end(),
                    [](std::uint8_t byte) { return byte == 0xEE; }));
  headers.resize(segment.header_len);
  append(headers, segment.body);
  return headers;
}

std::vector<Bytes> cut(ByteView packet, const Offload& offload) {
  auto segmenter = Segmenter::start(packet, offload);
  REQUIRE(segmenter);
  std::vector<Bytes> segments;
  while (!segmenter->done()) segments.push_back(next_packet(*segmenter));
  return segments;
}

bool refused(ByteView packet, const Offload& offload) {
  const Bytes exact = to_bytes(packet);  // on the heap, so that the sanitizer sees a read beyond
  return !Segmenter::start(exact, offload).has_value();
}

}  // namespace

TEST_CASE("super-packets are cut into the packets that scapy makes") {
  for (const Case* test : cases) {
    CAPTURE(test->what);
    const auto segments = cut(test->packet, test->offload());
    REQUIRE(segments.size() == test->segments.size());
    for (std::size_t i = 0; i < segments.size(); ++i) {
      CAPTURE(i);
      CHECK(segments[i] == test->segments[i]);
    }
    const auto segmenter = Segmenter::start(test->packet, test->offload());
    CHECK(segmenter->num_segments() == segments.size());
    CHECK(segmenter->segment_packet_len() == segments[0].size());
  }
}

TEST_CASE("the bodies of segments are the super-packet's own bytes") {
  auto segmenter = Segmenter::start(tcp4.packet, tcp4.offload());
  REQUIRE(segmenter);
  std::uint8_t headers[Segmenter::max_header_len];
  CHECK(segmenter->next(headers).body.data() == &tcp4.packet[52]);
  CHECK(segmenter->next(headers).body.data() == &tcp4.packet[62]);
}

TEST_CASE("checksums are computed anew where the header says which addresses count") {
  for (const Case* test : {&tcp4, &tcp6, &udp4, &udp6}) {
    CAPTURE(test->what);
    Bytes packet = test->packet;
    const std::size_t field = std::size_t{test->upper_offset} + test->offload().checksum_offset;
    packet[field] ^= 0x5A;
    packet[10] ^= test->packet[0] >> 4 == 4 ? 0xFF : 0;  // the header checksum of IPv4, too
    CHECK(cut(packet, test->offload()) == test->segments);
    Offload offload = test->offload();
    offload.needs_checksum = false;
    CHECK(cut(packet, offload) == test->segments);
  }
}

TEST_CASE("a super-packet of one segment is that packet, with all its flags") {
  for (const Case* test : {&tcp4, &tcp6, &udp4}) {
    CAPTURE(test->what);
    for (const std::uint16_t segment_len : {25, 26, 1400, 65535}) {
      Offload offload = test->offload();
      offload.segment_len = segment_len;
      const auto segments = cut(test->packet, offload);
      REQUIRE(segments.size() == 1);
      Bytes completed = test->packet;
      REQUIRE(complete_checksum(completed, offload));
      CHECK(segments[0] == completed);
      CHECK(Segmenter::start(test->packet, offload)->segment_packet_len() == completed.size());
    }
  }
}

TEST_CASE("a super-packet without payload is one packet") {
  // scapy: IP(src='10.1.0.5',dst='10.2.0.7',id=1)/UDP(sport=1111,dport=2222), and its checksum field as above
  const Bytes packet = hex("4500001c00010000401166c20a0100050a020007045708ae00081428");
  const auto segments = cut(packet, udp4.offload());
  REQUIRE(segments.size() == 1);
  CHECK(segments[0] == hex("4500001c00010000401166c20a0100050a020007045708ae0008deca"));
  CHECK(Segmenter::start(packet, udp4.offload())->num_segments() == 1);
}

TEST_CASE("what stands behind the IP length is left out") {
  for (const Case* test : cases) {
    CAPTURE(test->what);
    Bytes packet = test->packet;
    append(packet, iota(9));
    CHECK(cut(packet, test->offload()) == test->segments);
  }
}

TEST_CASE("the length in the UDP header of a super-packet does not matter") {
  for (const std::uint8_t len : {0, 8, 18, 255}) {
    Bytes packet = udp4.packet;
    packet[24] = packet[25] = len;
    CHECK(cut(packet, udp4.offload()) == udp4.segments);
  }
}

TEST_CASE("the largest super-packets of both versions are cut, byte by byte if need be") {
  for (const bool v4 : {true, false}) {
    Bytes packet = to_bytes(ByteView(v4 ? udp4.packet : udp6.packet).first(v4 ? 28 : 48));
    packet.resize(v4 ? 65535 : 65575, 0xFF);
    packet[v4 ? 2 : 4] = packet[v4 ? 3 : 5] = 0xFF;
    Offload offload = v4 ? udp4.offload() : udp6.offload();
    offload.segment_len = 1;
    const auto segments = cut(packet, offload);
    CHECK(segments.size() == (v4 ? 65507 : 65527));
    CHECK(Segmenter::start(packet, offload)->num_segments() == segments.size());
    CHECK(std::all_of(segments.begin(), segments.end(), [&](const Bytes& segment) {
      return segment.size() == (v4 ? 29 : 49) && segment.back() == 0xFF;
    }));
  }
}

TEST_CASE("every truncation of a super-packet is refused") {
  for (const Case* test : cases) {
    CAPTURE(test->what);
    for (std::size_t len = 0; len < test->packet.size(); ++len) {
      CHECK(refused(ByteView(test->packet).first(len), test->offload()));
    }
  }
}

TEST_CASE("an IP length that does not reach over the headers is refused; 0 is a BIG TCP packet") {
  for (const Case* test : cases) {
    CAPTURE(test->what);
    const bool v4 = test->packet[0] >> 4 == 4;
    const std::size_t headers = test->packet.size() - (test == &udp_zero ? 11 : 25);
    for (std::size_t len = 0; len < headers - (v4 ? 0 : 40); ++len) {
      Bytes packet = test->packet;
      store_be(&packet[v4 ? 2 : 4], static_cast<std::uint16_t>(len));
      CHECK(refused(packet, test->offload()));
    }
  }
}

TEST_CASE("what is not the super-packet that the device announced is refused") {
  for (const Case* test : cases) {
    CAPTURE(test->what);
    const auto refused_with = [&](auto&& change) {
      Offload offload = test->offload();
      change(offload);
      return refused(test->packet, offload);
    };
    CHECK(refused_with([](Offload& offload) { offload.segment_len = 0; }));
    CHECK(refused_with([](Offload& offload) { offload.kind = Offload::Kind::none; }));
    CHECK(refused_with([](Offload& offload) {
      offload.kind = offload.kind == Offload::Kind::tcp ? Offload::Kind::udp : Offload::Kind::tcp;
    }));
    CHECK(refused_with([](Offload& offload) { offload.checksum_start += 2; }));
    CHECK(refused_with([](Offload& offload) { offload.checksum_start = 65535; }));
    CHECK(refused_with([](Offload& offload) { offload.checksum_offset = 18; }));
    CHECK(refused_with([](Offload& offload) { offload.checksum_offset = 65535; }));
    for (const int version : {0, 5, 7, 15}) {
      Bytes packet = test->packet;
      packet[0] = static_cast<std::uint8_t>(version << 4 | (packet[0] & 15));
      CHECK(refused(packet, test->offload()));
    }
  }
}

TEST_CASE("fragments, other protocols and header lengths that cannot be are refused") {
  struct Change {
    const Case& test;
    std::size_t offset;
    std::uint8_t value;
  };
  for (const auto& [test, offset, value] : {
           Change{tcp4, 0, 0x44},              // header of 16 bytes
           Change{tcp4, 0, 0x4F},              // options over the TCP header
           Change{tcp4, 6, 0x20},              // more fragments
           Change{tcp4, 7, 0x01},              // fragment offset
           Change{tcp4, 9, 17},                // UDP
           Change{tcp4, 32, 0x40},             // data offset of 16 bytes
           Change{tcp4_options, 40, 0xF0},     // data offset beyond the packet
           Change{tcp6, 6, 44},                // Fragment header
           Change{tcp6, 6, 0},                 // hop-by-hop, in place of TCP
           Change{tcp6, 6, 59},                // no next header
           Change{tcp6_extensions, 40, 44},    // the Fragment header in the chain
           Change{tcp6_extensions, 41, 0xFF},  // an extension header beyond the packet
           Change{udp4, 9, 6},
           Change{udp6, 6, 136},
       }) {
    CAPTURE(test.what);
    CAPTURE(offset);
    Bytes packet = test.packet;
    packet[offset] = value;
    CHECK(refused(packet, test.offload()));
  }
}

TEST_CASE("a packet with an IPv6 Fragment header is refused, be it the only fragment (RFC 6946)") {
  for (const std::uint8_t more : {0, 1}) {
    Bytes packet = tcp6.packet;
    packet[6] = 44;
    packet[5] += 8;
    const Bytes fragment_header{6, 0, 0, more, 1, 2, 3, 4};
    packet.insert(packet.begin() + 40, fragment_header.begin(), fragment_header.end());
    Offload offload = tcp6.offload();
    offload.checksum_start = 48;
    CHECK(refused(packet, offload));
  }
}

TEST_CASE("headers with options need the sender's sum: without it they are refused") {
  for (const Case* test : {&tcp4_options, &tcp6_extensions}) {
    Offload offload = test->offload();
    offload.needs_checksum = false;
    CHECK(refused(test->packet, offload));
  }
}

TEST_CASE("headers longer than the limit are refused, up to it they are cut") {
  for (const std::size_t num_extensions : {16, 17}) {  // 40 + 128 + 20 = 188 bytes, and 8 more
    Bytes packet = to_bytes(ByteView(tcp6.packet).first(40));
    packet[6] = 60;
    // One destination options header, of PadN.
    Bytes options(num_extensions * 8);
    options[0] = 6;
    options[1] = static_cast<std::uint8_t>(num_extensions - 1);
    options[2] = 1;
    options[3] = static_cast<std::uint8_t>(options.size() - 4);
    append(packet, options);
    append(packet, ByteView(tcp6.packet).subspan(40));
    store_be(&packet[4], static_cast<std::uint16_t>(packet.size() - 40));
    Offload offload = tcp6.offload();
    offload.checksum_start = static_cast<std::uint16_t>(40 + options.size());
    if (num_extensions == 17) {
      CHECK(refused(packet, offload));
    } else {
      const auto segments = cut(packet, offload);
      REQUIRE(segments.size() == 2);
      // The upper layer is as long as before: its sender would have left the same sum.
      CHECK(to_bytes(ByteView(segments[0]).subspan(168)) == to_bytes(ByteView(tcp6.segments[0]).subspan(40)));
      CHECK(to_bytes(ByteView(segments[1]).subspan(168)) == to_bytes(ByteView(tcp6.segments[1]).subspan(40)));
    }
  }
}

TEST_CASE("damaged super-packets are refused, or cut into whole packets whose bodies are the payload") {
  std::mt19937 random(5);  // seeded: the same in every run
  const auto number = [&](std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
  };
  std::size_t num_cut = 0;
  for (int round = 0; round < 100000; ++round) {
    const Case& test = *cases[number(cases.size())];
    Bytes packet = to_bytes(ByteView(test.packet).first(test.packet.size() - (number(4) == 0 ? number(20) : 0)));
    for (std::size_t i = number(3); i-- > 0;) packet[number(packet.size())] = static_cast<std::uint8_t>(random());
    Offload offload = test.offload();
    if (number(2) == 0) offload.segment_len = static_cast<std::uint16_t>(number(40));
    if (number(8) == 0) offload.checksum_start = static_cast<std::uint16_t>(number(100));
    if (number(8) == 0) offload.needs_checksum = false;
    auto segmenter = Segmenter::start(packet, offload);
    if (!segmenter) continue;
    ++num_cut;
    const std::size_t num_segments = segmenter->num_segments(), packet_len = segmenter->segment_packet_len();
    const std::uint8_t* expected_body = nullptr;
    for (std::size_t i = 0; i < num_segments; ++i) {
      REQUIRE_FALSE(segmenter->done());
      std::uint8_t headers[Segmenter::max_header_len];
      const auto [header_len, body] = segmenter->next(headers);
      REQUIRE(header_len <= packet.size());
      REQUIRE(body.data() == (i == 0 ? packet.data() + header_len : expected_body));
      REQUIRE(
          (i + 1 == num_segments ? header_len + body.size() <= packet_len : header_len + body.size() == packet_len));
      Bytes segment = to_bytes({headers, header_len});
      append(segment, body);
      REQUIRE(wire::ip_total_len(segment) == segment.size());
      expected_body = body.data() + body.size();
    }
    REQUIRE(segmenter->done());
    REQUIRE(static_cast<std::size_t>(expected_body - packet.data()) == wire::ip_total_len(packet));
  }
  CHECK(num_cut > 10000);
}

TEST_CASE("a missing checksum is filled in") {
  // The segments of above, with the sum of the pseudo header (by scapy) in the field: addresses, protocol and length.
  struct Partial {
    Bytes packet;
    std::uint16_t start, offset, sum;
  };
  for (const auto& [packet, start, offset, sum] :
       {Partial{udp4.segments[0], 20, 6, 0x1432}, Partial{udp_zero.segments[0], 20, 6, 0x1430},
        Partial{tcp6.segments[0], 40, 16, 0xFA37}}) {
    Bytes partial = packet;
    store_be(&partial[std::size_t{start} + offset], sum);
    Offload offload;
    offload.needs_checksum = true;
    offload.checksum_start = start;
    offload.checksum_offset = offset;
    CHECK(complete_checksum(partial, offload));
    CHECK(partial == packet);
  }
}

TEST_CASE("a packet whose checksum is there stays as it is") {
  Bytes packet = udp4.segments[0];
  CHECK(complete_checksum(packet, Offload{}));
  CHECK(packet == udp4.segments[0]);
}

TEST_CASE("a checksum field outside of the packet is refused and nothing is changed") {
  Offload offload;
  offload.needs_checksum = true;
  for (const auto& [start, offset] :
       {std::pair<int, int>{37, 0}, {38, 0}, {20, 17}, {20, 65535}, {65535, 65535}, {65535, 0}}) {
    offload.checksum_start = static_cast<std::uint16_t>(start);
    offload.checksum_offset = static_cast<std::uint16_t>(offset);
    Bytes packet = udp4.segments[0];
    CHECK_FALSE(complete_checksum(packet, offload));
    CHECK(packet == udp4.segments[0]);
  }
  CHECK_FALSE(complete_checksum({}, offload));
}

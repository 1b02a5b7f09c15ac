#include <doctest/doctest.h>

#include "culvert/wire/checksum.h"
#include "culvert/wire/echo.h"
#include "culvert/wire/esp.h"
#include "culvert/wire/flow.h"
#include "culvert/wire/gre.h"
#include "culvert/wire/tcp.h"
#include "culvert/wire/udp.h"
#include "packets.h"

using namespace culvert;
using namespace culvert::tunnel::test;

// RFC 1071 §3.
TEST_CASE("the checksum of RFC 1071's example") {
  const Bytes data = hex("0001f203f4f5f6f7");
  CHECK(wire::checksum_fold(wire::checksum_add(data)) == 0xDDF2);
  CHECK(wire::checksum(data) == 0x220D);
}

TEST_CASE("the checksum counts an odd last byte as the high half of a word, and zero over data that has it") {
  CHECK(wire::checksum_fold(wire::checksum_add(hex("ab"))) == 0xAB00);
  CHECK(wire::checksum_fold(wire::checksum_add(hex("000100"))) == 1);
  CHECK(wire::checksum({}) == 0xFFFF);
  CHECK(wire::checksum(ByteView(inner4).first(20)) == 0);
  const auto pseudo = wire::pseudo_header_sum(ip("10.1.0.5"), ip("10.2.0.7"), 17, 16);
  CHECK(wire::checksum(ByteView(inner4).subspan(20), pseudo) == 0);
  const auto pseudo6 = wire::pseudo_header_sum(ip("fd00:1::5"), ip("fd00:2::7"), 17, 24);
  CHECK(wire::checksum(ByteView(inner6).subspan(40), pseudo6) == 0);
}

TEST_CASE("an echo is read back as it was written, and nothing shorter or else is one") {
  const wire::Echo echo{wire::Echo::Type::answer, 0xfffe, 0x80000001, 0x0123456789abcdef, 250, 1400};
  Bytes bytes(wire::echo_len);
  echo.write(bytes.data());
  CHECK(bytes == hex("63766563686f00010002fffe800000010123456789abcdef000000fa00000578"));  // as echo.h draws it
  CHECK(wire::Echo::parse(bytes) == echo);
  for (std::size_t len = 0; len < bytes.size(); ++len) CHECK_FALSE(wire::Echo::parse(ByteView(bytes).first(len)));
  for (std::size_t at = 0; at < 10; ++at) {  // magic and type
    Bytes other = bytes;
    other[at] ^= 0x10;
    CHECK_FALSE(wire::Echo::parse(other));
  }
  bytes.resize(1400);
  CHECK(wire::Echo::parse(bytes) == echo);
}

// RFC 1624 §4: the example on which RFC 1141 goes wrong.
TEST_CASE("an incremental update gives RFC 1624's answer") {
  CHECK(wire::checksum_update(0xDD2F, 0x5555, 0x3285) == 0x0000);
}

TEST_CASE("IPv4: the fields of a packet by scapy, and the same bytes back") {
  const auto header = wire::Ipv4Header::parse(inner4);
  REQUIRE(header);
  CHECK(header->header_len == 20);
  CHECK(header->total_len == 36);
  CHECK(header->id == 0x1234);
  CHECK(header->ttl == 64);
  CHECK(header->protocol == 17);
  CHECK(header->source == ip("10.1.0.5"));
  CHECK(header->destination == ip("10.2.0.7"));
  CHECK_FALSE(header->is_fragment());
  Bytes written(20);
  header->write(written.data());
  CHECK(written == to_bytes(ByteView(inner4).first(20)));
  for (std::size_t len = 0; len < inner4.size(); ++len) {
    CHECK_FALSE(wire::Ipv4Header::parse(ByteView(inner4).first(len)).has_value());
    CHECK_FALSE(wire::Flow::parse(ByteView(inner4).first(len)).has_value());
    CHECK_FALSE(wire::ip_total_len(ByteView(inner4).first(len)).has_value());
  }
}

TEST_CASE("IPv4: a header length or a total length that cannot be") {
  for (const auto& [offset, value] : {std::pair<std::size_t, int>{0, 0x44}, {0, 0x4A}, {0, 0x55}, {3, 19}, {3, 37}}) {
    Bytes packet = inner4;
    packet[offset] = static_cast<std::uint8_t>(value);
    const bool options_fit = value == 0x4A && packet.size() >= 40;
    CHECK(wire::Ipv4Header::parse(packet).has_value() == options_fit);
    CHECK(wire::ip_total_len(packet).has_value() == options_fit);
  }
}

TEST_CASE("IPv6: the fields of a packet by scapy, and the same bytes back") {
  const auto header = wire::Ipv6Header::parse(inner6);
  REQUIRE(header);
  CHECK(header->payload_len == 24);
  CHECK(header->next_header == 17);
  CHECK(header->source == ip("fd00:1::5"));
  CHECK(header->destination == ip("fd00:2::7"));
  Bytes written(40);
  header->write(written.data());
  CHECK(written == to_bytes(ByteView(inner6).first(40)));
  for (std::size_t len = 0; len < inner6.size(); ++len) {
    CHECK_FALSE(wire::Ipv6Header::parse(ByteView(inner6).first(len)).has_value());
    CHECK_FALSE(wire::Flow::parse(ByteView(inner6).first(len)).has_value());
    CHECK_FALSE(wire::ip_total_len(ByteView(inner6).first(len)).has_value());
  }
}

TEST_CASE("IPv6: traffic class and flow label share the first word") {
  wire::Ipv6Header header;
  header.traffic_class = 0xAB;
  header.flow_label = 0xCDEF1;
  header.source = header.destination = ip("::1");
  Bytes written(40);
  header.write(written.data());
  CHECK(load_be<std::uint32_t>(written.data()) == 0x6ABCDEF1);
  CHECK(wire::ip_tos(written) == 0xAB);
  CHECK(wire::Ipv6Header::parse(written)->flow_label == 0xCDEF1);
}

TEST_CASE("IPv6: the walk over extension headers ends at the upper layer, or refuses") {
  const auto chain = [](int num_headers) {
    Bytes packet = to_bytes(ByteView(inner6).first(40));
    packet[6] = 60;
    for (int i = 0; i < num_headers; ++i)
      append(packet, hex(i + 1 < num_headers ? "3c00010400000000" : "1100010400000000"));
    append(packet, ByteView(inner6).subspan(40));
    store_be(&packet[4], static_cast<std::uint16_t>(packet.size() - 40));
    return packet;
  };
  for (const int num_headers : {1, 2, 8}) {
    const auto flow = wire::Flow::parse(chain(num_headers));
    REQUIRE(flow);
    CHECK(flow->protocol == 17);
    CHECK(flow->destination_port == 2222);
  }
  CHECK_FALSE(wire::Flow::parse(chain(9)).has_value());
  CHECK_FALSE(wire::Flow::parse(chain(100)).has_value());
  Bytes beyond = chain(1);
  beyond[41] = 4;  // a header of 40 bytes, where 32 are left
  CHECK_FALSE(wire::Flow::parse(beyond).has_value());
}

TEST_CASE("a flow has ports only where they can be known") {
  Bytes packet = inner4;
  CHECK(wire::Flow::parse(packet)->ports_known);
  CHECK(wire::Flow::parse(packet)->source_port == 1111);
  packet[9] = 89;  // OSPF
  CHECK_FALSE(wire::Flow::parse(packet)->ports_known);
  packet = to_bytes(ByteView(inner4).first(23));  // three bytes of UDP
  packet[3] = 23;
  CHECK_FALSE(wire::Flow::parse(packet)->ports_known);
  packet = inner4;
  packet[9] = 1;
  CHECK(wire::Flow::parse(packet)->source_port == 0x0457);  // ICMP: type << 8 | code
  packet = inner6;
  packet[6] = 135;
  packet[42] = 5;  // MH type, RFC 7296 §3.13.1
  CHECK(wire::Flow::parse(packet)->destination_port == 0x0500);
}

// The packets are scapy 2.5's.
TEST_CASE("what a kernel sends into an interface by itself is told from what somebody wants to send") {
  const auto is_housekeeping = [](std::string_view packet) {
    return wire::is_link_housekeeping(wire::Flow::parse(hex(packet)).value());
  };
  CHECK(is_housekeeping(  // MLDv2 report behind a hop-by-hop header
      "600000000024000100000000000000000000000000000000ff0200000000000000000000000000163a000502000001008f006e8a0000000104000000ff"
      "020000000000000000000000000002"));
  CHECK(is_housekeeping(  // router solicitation
      "6000000000083afffe800000000000000000000000000001ff02000000000000000000000000000285007d3600000000"));
  CHECK(is_housekeeping("46c000200001000001029001a9fe0a01e0000016940400002200ddff00000000"));  // IGMPv3 report
  CHECK_FALSE(is_housekeeping("45000018000100004059e687a9fe0a01e000000502010004"));            // OSPF hello
  CHECK_FALSE(is_housekeeping(  // echo request to all nodes
      "6000000000083a40fd000010000000000000000000000001ff020000000000000000000000000001800083a700000000"));
  CHECK_FALSE(is_housekeeping(  // unicast
      "6000000000183afffd000010000000000000000000000001fd0000100000000000000000000000028700817500000000fd0000100000000000000000"
      "00000002"));
}

TEST_CASE("UDP and TCP headers: fields, and lengths that do not fit") {
  const ByteView udp = ByteView(inner4).subspan(20);
  const auto header = wire::UdpHeader::parse(udp);
  REQUIRE(header);
  CHECK(header->source_port == 1111);
  CHECK(header->len == 16);
  Bytes written(8);
  header->write(written.data());
  CHECK(written == to_bytes(udp.first(8)));
  CHECK_FALSE(wire::UdpHeader::parse(udp.first(15)).has_value());
  CHECK_FALSE(wire::UdpHeader::parse(udp.first(7)).has_value());
  CHECK_FALSE(wire::UdpHeader::parse(hex("0001000200070000")).has_value());

  Bytes tcp = hex("0001000200000001000000005002200000000000");
  CHECK(wire::TcpHeader::parse(tcp)->flags == wire::tcp_syn);
  tcp[12] = 0x40;
  CHECK_FALSE(wire::TcpHeader::parse(tcp).has_value());
  tcp[12] = 0x60;
  CHECK_FALSE(wire::TcpHeader::parse(tcp).has_value());
}

TEST_CASE("ESP padding fills the block, and the trailer is read back") {
  CHECK(wire::esp_pad_len(0, 4) == 2);
  CHECK(wire::esp_pad_len(2, 4) == 0);
  CHECK(wire::esp_pad_len(3, 4) == 3);
  CHECK(wire::esp_pad_len(14, 16) == 0);
  CHECK(wire::esp_pad_len(15, 16) == 15);
  Bytes trailer(5);
  wire::write_esp_trailer(trailer.data(), 3, 47);
  CHECK(trailer == hex("010203032f"));  // RFC 4303 §2.4: 1, 2, 3
  const auto parsed = wire::EspTrailer::parse(trailer);
  REQUIRE(parsed);
  CHECK(parsed->payload_len == 0);
  CHECK(parsed->next_header == 47);
  CHECK_FALSE(wire::EspTrailer::parse(hex("04")).has_value());
  CHECK_FALSE(wire::EspTrailer::parse({}).has_value());
}

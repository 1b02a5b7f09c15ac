#include "packet_line.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>

#include "vectors/hex.h"

using namespace culvert;
using cli::packet_line;

namespace {

std::string line(const char* hex, bool outer = false) {
  const Bytes bytes = test::hex(hex);
  return packet_line(bytes, bytes.size(), outer);
}

}  // namespace

// The headers are written out by RFC 791, 8200, 9293, 768, 792, 4303, 3948 and 7296.
TEST_CASE("a packet's line has its ends, its protocol and its length") {
  CHECK(line("450000280000400040060000 0a010002 0a020002 a0f001bb 00000001 00000000 5002ffff00000000") ==
        "10.1.0.2.41200 > 10.2.0.2.443 tcp S, 40 bytes");
  CHECK(line("450000280000400040060000 0a010002 0a020002 a0f001bb 00000001 00000000 5019ffff00000000") ==
        "10.1.0.2.41200 > 10.2.0.2.443 tcp FP., 40 bytes");
  CHECK(line("4500001c0000400040110000 0a010002 0a020002 14e90035 00080000") ==
        "10.1.0.2.5353 > 10.2.0.2.53 udp, 28 bytes");
  CHECK(line("4500001c0000400040010000 0a010002 0a020002 0800000000000000") ==
        "10.1.0.2 > 10.2.0.2 icmp type 8 code 0, 28 bytes");
  CHECK(line("600000000008 3a40 fd000001000000000000000000000002 fd000002000000000000000000000002 8000000000000000") ==
        "fd00:1::2 > fd00:2::2 icmp6 type 128 code 0, 48 bytes");
  CHECK(line("4500001c0000000a40110000 0a010002 0a020002 14e90035 00080000") ==
        "10.1.0.2 > 10.2.0.2 fragment of protocol 17, 28 bytes");
  CHECK(line("4500001c00000000402f0000 0a010002 0a020002 2000080000000001") == "10.1.0.2 > 10.2.0.2 gre, 28 bytes");
  CHECK(packet_line({}, 0, false) == "no IP packet that is understood, 0 bytes");
  CHECK(packet_line(test::hex("4500001c0000400040110000 0a010002 0a020002"), 1500, false) ==
        "10.1.0.2 > 10.2.0.2 protocol 17, 1500 bytes");
}

TEST_CASE("outside, UDP is a keepalive, IKE with its exchange and SPIs, or ESP with its SPI and number") {
  const std::string udp = "4500003c0000400040110000 c0000201 c6336401 11941194 00280000";
  CHECK(line((udp + "0badcafe 0000002a 00").c_str(), true) ==
        "192.0.2.1.4500 > 198.51.100.1.4500 ESP SPI 0x0badcafe number 42, 37 bytes");
  CHECK(
      line((udp + "00000000 0102030405060708 1112131415161718 2e 20 23 08 00000001 00000020 00000000").c_str(), true) ==
      "192.0.2.1.4500 > 198.51.100.1.4500 IKE IKE_AUTH request 1 from the initiator, SPIs 0102030405060708 "
      "1112131415161718, 64 bytes");
  CHECK(line((udp + "0102030405060708 0000000000000000 21 20 22 20 00000000 0000001c").c_str(), true) ==
        "192.0.2.1.4500 > 198.51.100.1.4500 IKE IKE_SA_INIT response 0 from the responder, SPIs 0102030405060708 "
        "0000000000000000, 56 bytes");
  CHECK(line((udp + "ff").c_str(), true) == "192.0.2.1.4500 > 198.51.100.1.4500 NAT keepalive, 29 bytes");
  CHECK(line("450000200000400040320000 c0000201 c6336401 00001000 00000007 00000000", true) ==
        "192.0.2.1 > 198.51.100.1 ESP SPI 0x00001000 number 7, 32 bytes");
}

TEST_CASE("any bytes become one printable line") {
  std::mt19937 random(11);
  for (int i = 0; i < 50'000; ++i) {
    Bytes bytes(random() % 90);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    if (!bytes.empty()) bytes[0] = random() % 2 ? 0x45 : 0x60;
    if (bytes.size() > 9 && random() % 2) bytes[9] = bytes[6] = 17;
    const std::string text = packet_line(bytes, bytes.size(), random() % 2 == 0);
    CHECK(text.size() < 250);
    CHECK(std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }));
  }
}

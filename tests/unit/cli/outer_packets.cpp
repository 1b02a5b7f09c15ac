#include "outer_packets.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "culvert/wire/checksum.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/udp.h"

using namespace culvert;
using cli::split_outer;

namespace {

Bytes esp(std::uint32_t spi, std::uint32_t number, std::size_t len) {
  Bytes packet(len, static_cast<std::uint8_t>(number));
  store_be(packet.data(), spi);
  store_be(packet.data() + 4, number);
  return packet;
}

/// Headers by the builders of the data plane: RFC 791, 8200, 768.
Bytes datagram(ByteView payload, bool v6 = false, std::uint16_t id = 7) {
  const auto udp_len = static_cast<std::uint16_t>(payload.size() + wire::udp_header_len);
  Bytes packet(v6 ? 40 : 20);
  if (v6) {
    wire::Ipv6Header ip;
    ip.payload_len = udp_len;
    ip.next_header = wire::proto_udp;
    ip.source = *IpAddress::parse("2001:db8::1");
    ip.destination = *IpAddress::parse("2001:db8::2");
    ip.write(packet.data());
  } else {
    wire::Ipv4Header ip;
    ip.total_len = static_cast<std::uint16_t>(udp_len + 20);
    ip.id = id;
    ip.protocol = wire::proto_udp;
    ip.source = *IpAddress::parse("192.0.2.1");
    ip.destination = *IpAddress::parse("192.0.2.2");
    ip.write(packet.data());
  }
  Bytes udp(wire::udp_header_len);
  wire::UdpHeader{4500, 4500, udp_len, 0}.write(udp.data());
  append(packet, udp);
  append(packet, payload);
  return packet;
}

Bytes joined(const std::vector<Bytes>& parts) {
  Bytes all;
  for (const Bytes& part : parts) append(all, part);
  return all;
}

std::vector<Bytes> split(ByteView packet) {
  std::vector<Bytes> parts;
  split_outer(packet, [&](ByteView part) { parts.emplace_back(part.begin(), part.end()); });
  return parts;
}

}  // namespace

TEST_CASE("ESP packets that the kernel shows as one datagram come apart as they are on the wire") {
  const std::vector<Bytes> packets{esp(0xc0ffee00, 9, 1400), esp(0xc0ffee00, 10, 1400), esp(0xc0ffee00, 12, 1400),
                                   esp(0xc0ffee00, 11, 52)};
  const auto parts = split(datagram(joined(packets)));
  REQUIRE(parts.size() == packets.size());
  for (std::size_t i = 0; i < parts.size(); ++i)
    CHECK(parts[i] == datagram(packets[i], false, static_cast<std::uint16_t>(7 + i)));
}

TEST_CASE("in IPv6 the parts have a checksum of UDP that holds") {
  const std::vector<Bytes> packets{esp(0x100, 1, 100), esp(0x100, 2, 100), esp(0x100, 3, 77)};
  const auto parts = split(datagram(joined(packets), true));
  REQUIRE(parts.size() == packets.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto ip = wire::Ipv6Header::parse(parts[i]);
    REQUIRE(ip);
    CHECK(ip->total_len() == parts[i].size());
    const ByteView upper = ByteView(parts[i]).subspan(40);
    // RFC 1071: the sum over everything, its own field included, is all ones.
    const auto pseudo =
        wire::pseudo_header_sum(ip->source, ip->destination, wire::proto_udp, static_cast<std::uint32_t>(upper.size()));
    CHECK(wire::checksum(upper, pseudo) == 0);
    CHECK(Bytes(upper.begin() + 8, upper.end()) == packets[i]);
  }
}

TEST_CASE("what is one packet stays one: ESP alone, IKE, another SPI behind, numbers far apart, a fragment, TCP") {
  const Bytes one = esp(0x200, 5, 1000);
  const auto stays = [](const Bytes& packet) { return split(packet) == std::vector<Bytes>{packet}; };
  CHECK(stays(datagram(one)));
  CHECK(stays(datagram(joined({esp(0, 1, 100), esp(0, 2, 100)}))));  // the non-ESP marker
  CHECK(stays(datagram(joined({one, esp(0x201, 6, 1000)}))));
  CHECK(stays(datagram(joined({one, esp(0x200, 5, 1000)}))));
  CHECK(stays(datagram(joined({one, esp(0x200, 50'000, 1000)}))));
  Bytes fragment = datagram(joined({one, esp(0x200, 6, 1000)}));
  fragment[6] = 0x20;
  CHECK(stays(fragment));
  Bytes tcp = datagram(joined({one, esp(0x200, 6, 1000)}));
  tcp[9] = 6;
  CHECK(stays(tcp));
}

TEST_CASE("any bytes, cut anywhere, are given whole or in parts with the same payload, and never more of it") {
  std::mt19937 random(5);
  const Bytes good = datagram(joined({esp(0x300, 1, 64), esp(0x300, 2, 64), esp(0x300, 3, 40)}));
  for (std::size_t len = 0; len <= good.size(); ++len) {
    const ByteView cut = ByteView(good).first(len);
    if (len < good.size()) CHECK(split(cut) == std::vector<Bytes>{Bytes(cut.begin(), cut.end())});
  }
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = good;
    bytes.resize(random() % (good.size() + 20));
    for (int k = 0; k < 3 && !bytes.empty(); ++k) bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    std::size_t total = 0;
    const auto parts = split(bytes);
    for (const Bytes& part : parts) total += part.size();
    CHECK(total <= bytes.size() + parts.size() * 68);  // each has headers of its own: at most 60 and 8
  }
}

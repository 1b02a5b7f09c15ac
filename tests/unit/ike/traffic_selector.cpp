// Traffic selectors: RFC 7296 §2.9 and §3.13.1, RFC 4301 §4.4.1.1.
#include "traffic_selector.h"

#include <doctest/doctest.h>

#include "message.h"

namespace culvert::ike {
namespace {

TrafficSelector net(const char* prefix, std::uint8_t protocol = 0) {
  return TrafficSelector::from_prefix(*IpPrefix::parse(prefix), protocol);
}
TrafficSelector range(const char* first, const char* last, std::uint8_t protocol = 0, std::uint16_t start = 0,
                      std::uint16_t end = 65535) {
  return {protocol, start, end, *IpAddress::parse(first), *IpAddress::parse(last)};
}
TrafficSelector ports(const char* prefix, std::uint8_t protocol, std::uint16_t start, std::uint16_t end) {
  TrafficSelector selector = net(prefix, protocol);
  selector.start_port = start;
  selector.end_port = end;
  return selector;
}
using List = std::vector<TrafficSelector>;

TEST_CASE("a selector is written as a person would") {
  CHECK(to_string(net("10.1.0.0/16")) == "10.1.0.0/16");
  CHECK(to_string(net("0.0.0.0/0")) == "0.0.0.0/0");
  CHECK(to_string(net("192.0.2.1/32", 47)) == "192.0.2.1/32[gre]");
  CHECK(to_string(range("10.0.0.1", "10.0.0.9", 6, 80, 80)) == "10.0.0.1-10.0.0.9[tcp/80]");
  CHECK(to_string(ports("10.1.0.0/16", 17, 1000, 2000)) == "10.1.0.0/16[udp/1000-2000]");
  CHECK(to_string(ports("10.1.0.0/16", 0, 53, 53)) == "10.1.0.0/16[any/53]");
  CHECK(to_string(ports("10.1.0.0/16", 1, 0x0800, 0x08ff)) == "10.1.0.0/16[icmp/8]");
  CHECK(to_string(ports("10.1.0.0/16", 1, 0x0301, 0x0301)) == "10.1.0.0/16[icmp/3.1]");
  CHECK(to_string(ports("fd00::/64", 17, 65535, 0)) == "fd00::/64[udp/opaque]");
  CHECK(to_string(net("fd00::/64", 201)) == "fd00::/64[201]");
  CHECK(to_string(List{net("10.1.0.0/16"), net("fd00::/64")}) == "10.1.0.0/16, fd00::/64");
  CHECK(to_string(List{}) == "nothing");
}

TEST_CASE("an intersection is what both allow: addresses, protocol and ports") {
  CHECK(intersect(net("10.0.0.0/8"), net("10.1.0.0/16")) == net("10.1.0.0/16"));
  CHECK(intersect(range("10.0.0.1", "10.0.0.9"), range("10.0.0.5", "10.0.0.20")) == range("10.0.0.5", "10.0.0.9"));
  CHECK_FALSE(intersect(net("10.1.0.0/16"), net("10.2.0.0/16")).has_value());
  CHECK_FALSE(intersect(net("0.0.0.0/0"), net("::/0")).has_value());
  CHECK(intersect(net("10.0.0.0/8", 6), net("10.0.0.0/8")) == net("10.0.0.0/8", 6));
  CHECK_FALSE(intersect(net("10.0.0.0/8", 6), net("10.0.0.0/8", 17)).has_value());
  CHECK(intersect(ports("10.0.0.0/8", 6, 80, 443), ports("10.0.0.0/8", 0, 100, 65535)) ==
        ports("10.0.0.0/8", 6, 100, 443));
  CHECK_FALSE(intersect(ports("10.0.0.0/8", 6, 80, 90), ports("10.0.0.0/8", 6, 91, 100)).has_value());
  CHECK(intersect(net("fd00::/16"), net("fd00:10::/32")) == net("fd00:10::/32"));
}

TEST_CASE("an intersection does not depend on the order of its sides") {
  const List all{net("10.0.0.0/8"),
                 net("10.1.0.0/16", 6),
                 range("10.0.255.9", "10.1.0.9"),
                 ports("10.0.0.0/8", 6, 65535, 0),
                 ports("10.0.0.0/8", 6, 80, 80),
                 net("::/0"),
                 net("0.0.0.0/0", 47)};
  for (const auto& a : all) {
    for (const auto& b : all) {
      const auto both = intersect(a, b);
      CHECK(both == intersect(b, a));
      if (both) CHECK(contains(a, *both));
      if (both) CHECK(contains(b, *both));
    }
    CHECK(intersect(a, a) == a);
  }
}

TEST_CASE("OPAQUE ports lie within any ports, and within nothing else (RFC 4301 §4.4.1.1)") {
  const auto opaque = ports("10.0.0.0/8", 6, 65535, 0), any = net("10.0.0.0/8", 6),
             one = ports("10.0.0.0/8", 6, 80, 80);
  CHECK(is_opaque(opaque));
  CHECK_FALSE(is_opaque(any));
  CHECK(intersect(opaque, any) == opaque);
  CHECK(intersect(opaque, opaque) == opaque);
  CHECK_FALSE(intersect(opaque, one).has_value());
  CHECK(contains(any, opaque));
  CHECK_FALSE(contains(opaque, any));
  CHECK_FALSE(contains(opaque, one));
}

TEST_CASE("a list covers a packet when one of its selectors does") {
  const List list{net("10.1.0.0/16", 6), net("10.2.0.0/16")};
  CHECK(covers(list, range("10.1.2.3", "10.1.2.3", 6, 443, 443)));
  CHECK_FALSE(covers(list, range("10.1.2.3", "10.1.2.3", 17, 443, 443)));
  CHECK_FALSE(covers(list, net("10.1.0.0/16")));  // any protocol is more than TCP
  CHECK(covers(list, range("10.2.2.3", "10.2.2.3", 17, 443, 443)));
  CHECK_FALSE(covers(list, net("10.0.0.0/8")));
  CHECK_FALSE(covers({}, net("10.0.0.0/8")));
  CHECK(covers_all(list, List{net("10.2.0.0/24"), net("10.1.5.0/24", 6)}));
  CHECK_FALSE(covers_all(list, List{net("10.2.0.0/24"), net("10.3.0.0/24")}));
}

TEST_CASE("narrowing keeps what both allow") {
  CHECK(narrow(List{net("0.0.0.0/0")}, List{net("10.1.0.0/16"), net("10.2.0.0/16")}) ==
        List{net("10.1.0.0/16"), net("10.2.0.0/16")});
  CHECK(narrow(List{net("10.1.0.0/16")}, List{net("0.0.0.0/0")}) == List{net("10.1.0.0/16")});
  CHECK(narrow(List{net("10.1.0.0/16")}, List{net("10.2.0.0/16")}).empty());
  CHECK(narrow(List{net("::/0"), net("0.0.0.0/0")}, List{net("10.1.0.0/16")}) == List{net("10.1.0.0/16")});
  CHECK(narrow(List{net("192.0.2.1/32")}, List{net("192.0.2.1/32", 47)}) == List{net("192.0.2.1/32", 47)});
  CHECK(narrow({}, List{net("10.1.0.0/16")}).empty());
  CHECK(narrow(List{net("10.1.0.0/16")}, {}).empty());
}

TEST_CASE(
    "the packet that triggered stands first, lies within the result, and does not stand beside what contains it (RFC "
    "7296 §2.9)") {
  const auto packet = range("10.1.2.3", "10.1.2.3", 6, 443, 443);
  const List narrowed = narrow(List{packet, net("10.1.0.0/16")}, List{net("10.1.0.0/17")});
  CHECK(narrowed == List{net("10.1.0.0/17")});
  CHECK(covers(narrowed, packet));
  const List apart = narrow(List{packet, net("10.2.0.0/16"), net("10.1.0.0/16")}, List{net("10.0.0.0/8")});
  CHECK(apart == List{net("10.1.0.0/16"), net("10.2.0.0/16")});
}

TEST_CASE("a result has at most 64 selectors, and the packet's is among them") {
  List offered, ours;
  const auto packet = range("10.255.0.1", "10.255.0.1");
  offered.push_back(packet);
  for (int i = 0; i < 64; ++i)
    offered.push_back(
        range(("10.0." + std::to_string(i) + ".0").c_str(), ("10.0." + std::to_string(i) + ".99").c_str()));
  for (int i = 0; i < 40; ++i)
    ours.push_back(TrafficSelector{0, static_cast<std::uint16_t>(2 * i), static_cast<std::uint16_t>(2 * i),
                                   *IpAddress::parse("10.0.0.0"), *IpAddress::parse("10.255.255.255")});
  const List narrowed = narrow(offered, ours);
  CHECK(narrowed.size() == max_selectors);
  CHECK(narrowed.front().first == packet.first);
}

TEST_CASE("a configured selector without a prefix is the IKE SA's own address") {
  const auto address = *IpAddress::parse("192.0.2.1");
  CHECK(resolve(SelectorSpec{std::nullopt, 47}, address) == net("192.0.2.1/32", 47));
  CHECK(resolve(SelectorSpec{IpPrefix::parse("10.1.2.3/16"), 0}, address) == net("10.1.0.0/16"));
  const std::vector<SelectorSpec> specs{{std::nullopt, 47}, {IpPrefix::parse("fd00::/64"), 6}};
  CHECK(resolve(specs, *IpAddress::parse("2001:db8::1")) == List{net("2001:db8::1/128", 47), net("fd00::/64", 6)});
}

}  // namespace
}  // namespace culvert::ike

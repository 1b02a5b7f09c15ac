#include "culvert/base/ip.h"

#include <doctest/doctest.h>

using culvert::Endpoint;
using culvert::IpAddress;
using culvert::IpFamily;
using culvert::IpPrefix;

TEST_CASE("an address parses and prints in its canonical text") {
  CHECK(IpAddress::parse("192.0.2.1")->to_string() == "192.0.2.1");
  CHECK(*IpAddress::parse("192.0.2.1") == IpAddress::v4(0xc0000201));
  CHECK(IpAddress::parse("2001:DB8:0:0:0:0:0:1")->to_string() == "2001:db8::1");  // RFC 5952 §4
  CHECK(IpAddress::parse("::ffff:192.0.2.1")->family() == IpFamily::v6);
  for (const char* bad : {"", "192.0.2", "192.0.2.256", "192.0.2.1 ", "fe80::1%eth0", "::1::", "localhost", "1.2.3.4/8"}) {
    CAPTURE(bad);
    CHECK_FALSE(IpAddress::parse(bad));
  }
}

TEST_CASE("an address knows what it is for") {
  CHECK(IpAddress::parse("224.0.0.5")->is_multicast());
  CHECK(IpAddress::parse("ff02::5")->is_multicast());
  CHECK_FALSE(IpAddress::parse("223.255.255.255")->is_multicast());
  CHECK(IpAddress::parse("127.9.9.9")->is_loopback());
  CHECK(IpAddress::parse("::1")->is_loopback());
  CHECK(IpAddress::parse("::")->is_unspecified());
  CHECK(IpAddress{}.is_unspecified());
}

TEST_CASE("bytes of another length than 4 or 16 are no address") {
  const culvert::Bytes bytes(17, 1);
  for (std::size_t len = 0; len <= bytes.size(); ++len) {
    CAPTURE(len);
    CHECK(IpAddress::from_bytes({bytes.data(), len}).has_value() == (len == 4 || len == 16));
  }
}

TEST_CASE("a prefix has its network, its last address, and knows what lies inside") {
  const IpPrefix prefix = *IpPrefix::parse("10.1.2.3/12");
  CHECK(prefix.has_host_bits());
  CHECK(prefix.network().to_string() == "10.0.0.0");
  CHECK(prefix.last().to_string() == "10.15.255.255");
  CHECK(prefix.contains(*IpAddress::parse("10.15.0.1")));
  CHECK_FALSE(prefix.contains(*IpAddress::parse("10.16.0.0")));
  CHECK_FALSE(prefix.contains(*IpAddress::parse("::ffff:10.1.2.3")));
  CHECK(IpPrefix::parse("2001:db8::/33")->last().to_string() == "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff");
  CHECK(IpPrefix::parse("0.0.0.0/0")->contains(*IpAddress::parse("255.255.255.255")));
  CHECK(IpPrefix::parse("192.0.2.7")->length == 32);
}

TEST_CASE("prefixes overlap when one holds the other, whichever way round") {
  const auto overlap = [](const char* a, const char* b) { return IpPrefix::parse(a)->overlaps(*IpPrefix::parse(b)); };
  CHECK(overlap("10.0.0.0/8", "10.200.0.0/16"));
  CHECK(overlap("10.200.0.0/16", "10.0.0.0/8"));
  CHECK(overlap("10.0.0.0/8", "10.0.0.0/8"));
  CHECK_FALSE(overlap("10.0.0.0/9", "10.128.0.0/9"));
  CHECK_FALSE(overlap("0.0.0.0/0", "::/0"));
}

TEST_CASE("a prefix with a bad length is refused") {
  for (const char* bad : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::/129", "/8", "10.0.0.0/ 8"}) {
    CAPTURE(bad);
    CHECK_FALSE(IpPrefix::parse(bad));
  }
}

TEST_CASE("an endpoint with an IPv6 address prints in brackets") {
  CHECK(Endpoint{*IpAddress::parse("192.0.2.1"), 500}.to_string() == "192.0.2.1:500");
  CHECK(Endpoint{*IpAddress::parse("2001:db8::1"), 4500}.to_string() == "[2001:db8::1]:4500");  // RFC 5952 §6
}

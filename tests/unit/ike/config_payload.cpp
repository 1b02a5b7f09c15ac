// RFC 7296 §3.15, RFC 8598 §3: bytes put together by hand from their diagrams and tables.
#include "config_payload.h"

#include <doctest/doctest.h>

#include "wire_bytes.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

CpPayload parsed_cp(const Bytes& body) {
  auto payload = parse_one(PayloadType::cp, body);
  REQUIRE(payload.has_value());
  return std::get<CpPayload>(std::move(*payload));
}

Bytes written(const CpPayload& cp) {
  Bytes bytes;
  Writer writer(bytes);
  write_cp(writer, cp);
  return bytes;
}

const Bytes request_head = hex("01 000000");
const Bytes reply_head = hex("02 000000");

}  // namespace

TEST_CASE("CP: each attribute has a type without the reserved bit, a length and a value") {
  const CpPayload cp = parsed_cp(join({request_head, hex("8001 0000  0008 0011 fd99000000000000000000000000000180")}));
  CHECK(cp.type == CfgType::request);
  REQUIRE(cp.attributes.size() == 2);
  CHECK(cp.attributes[0].type == CfgAttributeType::internal_ip4_address);
  CHECK(cp.attributes[0].value.empty());
  CHECK(cp.attributes[1].type == CfgAttributeType::internal_ip6_address);
  CHECK(written(cp) == join({request_head, hex("0001 0000  0008 0011 fd99000000000000000000000000000180")}));
  CHECK(parsed_cp(request_head).attributes.empty());
}

TEST_CASE("CP: every truncation is malformed") {
  const Bytes whole = join({request_head, hex("0001 0004 0a630001  0019 0004 6c616e2e")});
  CHECK(parsed_cp(whole).attributes.size() == 2);
  for (std::size_t len = 0; len < whole.size(); ++len) {
    if (len == 4 || len == 12) continue;  // whole attributes
    CAPTURE(len);
    CHECK(is_malformed(PayloadType::cp, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(len))));
  }
}

// The table of RFC 7296 §3.15.1.
TEST_CASE("CP: lengths that the RFC does not know are malformed, other attributes pass") {
  for (const char* wrong :
       {"0001 0003 0a6300", "0002 0001 00", "0003 0010 00000000000000000000000000000000",
        "0008 0012 000000000000000000000000000000000000", "000a 0011 0000000000000000000000000000000000",
        "000d 0004 0a000000", "000f 0010 00000000000000000000000000000000"}) {
    CAPTURE(wrong);
    CHECK(is_malformed(PayloadType::cp, join({request_head, hex(wrong)})));
  }
  CHECK(parsed_cp(join({request_head, hex("0007 0003 616263  7fff 0001 00")})).attributes.size() == 2);
}

TEST_CASE("CP: a number of attributes beyond 128 is malformed") {
  Bytes body = request_head;
  for (int i = 0; i < 128; ++i) append(body, hex("0001 0000"));
  CHECK(parsed_cp(body).attributes.size() == 128);
  append(body, hex("0001 0000"));
  CHECK(is_malformed(PayloadType::cp, body));
}

TEST_CASE("CFG_REQUEST: families, wishes, and what is not an address") {
  const AddressRequest both =
      read_request(parsed_cp(join({request_head, hex("0001 0004 0a630007  0008 0000  0003 0000  0019 0000")})));
  CHECK(both.v4);
  CHECK(both.v6);
  CHECK(both.wish_v4 == IpAddress::parse("10.99.0.7"));
  CHECK_FALSE(both.wish_v6);
  CHECK(both.dns_v4);
  CHECK_FALSE(both.dns_v6);
  CHECK(both.domains);
  // strongSwan's `vips = 0.0.0.0` asks with the unspecified address; RFC 4306 had no prefix length behind IPv6.
  CHECK_FALSE(read_request(parsed_cp(join({request_head, hex("0001 0004 00000000")}))).wish_v4);
  const AddressRequest old =
      read_request(parsed_cp(join({request_head, hex("0008 0010 fd990000000000000000000000000005")})));
  CHECK(old.wish_v6 == IpAddress::parse("fd99::5"));
  const AddressRequest none = read_request(parsed_cp(join({request_head, hex("0007 0000")})));
  CHECK_FALSE((none.v4 || none.v6));
}

TEST_CASE("CFG_REPLY: of what was asked for alone; domains go with servers (RFC 8598 §3.1)") {
  VirtualNet net;
  net.addresses = {*IpAddress::parse("10.99.0.1"), *IpAddress::parse("fd99::1")};
  net.dns = {*IpAddress::parse("10.1.0.53")};
  net.domains = {"lan"};
  net.subnets = {*IpPrefix::parse("10.1.0.0/16"), *IpPrefix::parse("fd01::/48")};
  AddressRequest asked;
  asked.v4 = asked.domains = true;
  CHECK(written(make_reply(net, asked)) == join({reply_head, hex("0001 0004 0a630001")}));
  asked = {.v4 = true,
           .v6 = true,
           .wish_v4 = {},
           .wish_v6 = {},
           .dns_v4 = true,
           .dns_v6 = true,
           .domains = true,
           .subnet_v4 = true,
           .subnet_v6 = true};
  CHECK(written(make_reply(net, asked)) ==
        join({reply_head, hex("0001 0004 0a630001  0008 0011 fd99000000000000000000000000000180"),
              hex("0003 0004 0a010035  0019 0003 6c616e"),
              hex("000d 0008 0a010000ffff0000  000f 0011 fd01000000000000000000000000000030")}));
  const auto back = read_reply(make_reply(net, asked));
  REQUIRE(back.has_value());
  CHECK(*back == net);
}

TEST_CASE("CFG_REPLY: what a gateway cannot mean is an error or left out") {
  const auto read = [](const char* attributes) { return read_reply(parsed_cp(join({reply_head, hex(attributes)}))); };
  CHECK_FALSE(read("0001 0004 e0000001").has_value());  // 224.0.0.1
  CHECK_FALSE(read("0001 0004 7f000001").has_value());
  CHECK_FALSE(read("0001 0004 ffffffff").has_value());
  CHECK(read("0001 0004 00000000")->addresses.empty());
  CHECK(read("0001 0004 0a000001 0001 0004 0a000002")->addresses.size() == 1);
  CHECK(read("000d 0008 0a000000ff00ff00")->subnets.empty());
  CHECK(read("000d 0008 0a000000ff000000")->subnets == std::vector{*IpPrefix::parse("10.0.0.0/8")});
  CHECK(read("000d 0008 0000000000000000")->subnets == std::vector{*IpPrefix::parse("0.0.0.0/0")});
  CHECK(read("000f 0011 fd010000000000000000000000000000ff")->subnets.empty());
  CHECK(read("0019 0004 4c616e2e")->domains == std::vector<std::string>{"lan"});
  CHECK(read("0019 0005 61200a6262")->domains.empty());  // a space and a line feed
}

TEST_CASE("domains: letters, digits and hyphens in labels of 63, 253 in all") {
  for (const char* good : {"lan", "corp.example.net", "a-b.c", "xn--bcher-kva.example", "_tcp.example"})
    CHECK(is_domain(good));
  for (const char* bad : {"", ".", "a..b", ".a", "a.", "-a", "a-", "a-.b", "a b", "a\n",
                          "b\xc3\xbc"
                          "cher",
                          "a/b", "a;b", "$(a)"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_domain(bad));
  }
  CHECK(is_domain(std::string(63, 'a')));
  CHECK_FALSE(is_domain(std::string(64, 'a')));
  std::string longest;
  for (int i = 0; i < 127; ++i) longest += "a.";
  CHECK_FALSE(is_domain(longest + "a"));
  longest.resize(253);
  CHECK(is_domain(longest));
}

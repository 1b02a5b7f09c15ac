// Identities: RFC 7296 §3.5.
#include "culvert/ike/identity.h"

#include <doctest/doctest.h>

#include "vectors/hex.h"

namespace culvert::ike {
namespace {

using test::to_hex;

Identity id(std::string_view text) {
  auto parsed = Identity::parse(text);
  REQUIRE_MESSAGE(parsed.has_value(), std::string(text));
  return std::move(*parsed);
}
bool refused(std::string_view text) {
  const auto parsed = Identity::parse(text);
  return !parsed.has_value() && parsed.error().code == Errc::malformed && !parsed.error().detail.empty();
}

TEST_CASE("the type of an identity follows from its text") {
  CHECK(id("gw.example.net") ==
        Identity{IdType::fqdn, Bytes(as_bytes("gw.example.net").begin(), as_bytes("gw.example.net").end())});
  CHECK(id("gw").type == IdType::fqdn);
  CHECK(id("a@b.c").type == IdType::rfc822_addr);
  CHECK(id("192.0.2.1").type == IdType::ipv4_addr);
  CHECK(to_hex(id("192.0.2.1").data) == "c0000201");
  CHECK(id("2001:db8::1").type == IdType::ipv6_addr);
  CHECK(to_hex(id("2001:db8::1").data) == "20010db8000000000000000000000001");
  CHECK(id("CN=gw,O=Example").type == IdType::der_asn1_dn);
  CHECK(to_hex(id("keyid:0x0102fF").data) == "0102ff");
  CHECK(id("keyid:0x01").type == IdType::key_id);
  CHECK(as_text(id("keyid:some text").data) == "some text");
}

TEST_CASE("an explicit type in front wins") {
  CHECK(as_text(id("fqdn:gw").data) == "gw");
  CHECK(id("email:a@b").type == IdType::rfc822_addr);
  CHECK(id("dn:CN=a@b.c").type == IdType::der_asn1_dn);
  CHECK(id("KeyID:a@b.c").type == IdType::key_id);
  CHECK(id("keyid:192.0.2.1").type == IdType::key_id);
}

TEST_CASE("a distinguished name is DER") {
  // openssl req -new -x509 -subj /O=Example/CN=gw: SEQUENCE { SET { SEQUENCE { O, UTF8String } }, SET { SEQUENCE { CN,
  // UTF8String } } }
  CHECK(to_hex(id("O=Example,CN=gw").data) == "301f3110300e060355040a0c074578616d706c65310b300906035504030c026777");
  CHECK(id("O=Example,CN=gw").to_string() == "O=Example,CN=gw");
}

TEST_CASE("what is no identity is refused, with what was expected") {
  for (const char* text : {"",         " ",        "two words", "192.0.2.300", "1.2.3", "2001:db8::zz", "fqdn:",
                           "fqdn:a@b", "email:a",  "email:@b",  "email:a@",    "@",     "dn:nonsense",  "=x",
                           "keyid:",   "keyid:0x", "keyid:0x1", "keyid:0xzz",  "a,b",   "tab\there"}) {
    INFO(text);
    CHECK(refused(text));
  }
  CHECK(refused(std::string(300, 'a')));
  CHECK(refused("keyid:" + std::string(2000, 'a')));
  CHECK(refused(std::string_view("nul\0here", 8)));
}

TEST_CASE("to_string gives a text that is read as the same identity") {
  for (const char* text :
       {"gw.example.net", "a@b.c", "192.0.2.1", "2001:db8::1", "keyid:text", "keyid:0x0102", "CN=gw,O=Example"}) {
    CHECK(id(text).to_string() == text);
    CHECK(id(id(text).to_string()) == id(text));
  }
}

TEST_CASE("to_string shows what a peer may send, however odd") {
  CHECK(Identity{IdType::ipv4_addr, {1, 2, 3}}.to_string() == "0x010203");
  CHECK(Identity{static_cast<IdType>(99), {0xab}}.to_string() == "type 99 0xab");
  CHECK(Identity{IdType::key_id, Bytes(100000, 1)}.to_string().size() < 3000);
  CHECK(Identity{IdType::key_id, {'a', ' ', 'b'}}.to_string() == "keyid:0x612062");
  CHECK_FALSE(Identity{IdType::der_asn1_dn, {0x30, 0x05}}.to_string().empty());
}

TEST_CASE("identities match octet by octet within one type; domain names without regard to case") {
  CHECK(id("gw.example.net").matches(id("GW.Example.NET")));
  CHECK_FALSE(id("gw.example.net").matches(id("gw.example.org")));
  CHECK_FALSE(id("gw.example.net").matches(id("gw.example.ne")));
  CHECK_FALSE(id("gw.example.net").matches(id("gw.example.net.")));
  CHECK(id("Joe@example.net").matches(id("Joe@EXAMPLE.net")));
  CHECK_FALSE(id("Joe@example.net").matches(id("joe@example.net")));
  CHECK_FALSE(id("joe@example.net").matches(id("jo@example.net.")));
  CHECK_FALSE(id("fqdn:gw").matches(id("keyid:gw")));
  CHECK_FALSE(id("keyid:GW").matches(id("keyid:gw")));
  CHECK(id("192.0.2.1").matches(id("192.0.2.1")));
  CHECK_FALSE(id("192.0.2.1").matches(id("192.0.2.2")));
  CHECK_FALSE(id("gw").matches(Identity{IdType::fqdn, {'g', 'w', 0}}));
  CHECK_FALSE(id("gw").matches(Identity{IdType::fqdn, {}}));
}

TEST_CASE("distinguished names match by RFC 5280 §7.1, and never when one is not a name") {
  CHECK(id("CN=gw,O=Example").matches(id("cn=GW, o=example")));
  CHECK_FALSE(id("CN=gw,O=Example").matches(id("O=Example,CN=gw")));
  CHECK_FALSE(id("CN=gw,O=Example").matches(id("CN=gw")));
  CHECK_FALSE(id("CN=gw").matches(Identity{IdType::der_asn1_dn, {0x30, 0x05}}));
}

TEST_CASE("an e-mail address of a peer without an @ is compared whole") {
  const Identity odd{IdType::rfc822_addr, {'A'}};
  CHECK(odd.matches(odd));
  CHECK_FALSE(odd.matches(Identity{IdType::rfc822_addr, {'a'}}));
}

TEST_CASE("a pattern covers what its wildcard stands for, and nothing else") {
  const auto covers = [](const char* pattern, const char* id) {
    return Identity::parse(pattern)->covers(*Identity::parse(id));
  };
  CHECK(covers("*.example.net", "gw.example.net"));
  CHECK(covers("*.example.net", "a.b.EXAMPLE.net"));
  CHECK_FALSE(covers("*.example.net", "example.net"));
  CHECK_FALSE(covers("*.example.net", "gw.example.net.evil.org"));
  CHECK_FALSE(covers("*.example.net", "gwexample.net"));
  CHECK_FALSE(covers("*.example.net", "gw@example.net"));
  CHECK(covers("*@example.net", "gw@EXAMPLE.net"));
  CHECK_FALSE(covers("*@example.net", "gw@sub.example.net"));
  CHECK_FALSE(covers("*@example.net", "gw.example.net"));
  CHECK(covers("O=Example, CN=*", "O=Example, CN=gw"));
  CHECK_FALSE(covers("O=Example, CN=*", "O=Other, CN=gw"));
  CHECK_FALSE(covers("O=Example, CN=*", "O=Example, CN=gw, CN=evil"));
  CHECK(covers("gw.example.net", "gw.example.net"));
  CHECK_FALSE(covers("gw.example.net", "*.example.net"));
  CHECK_FALSE(covers("192.0.2.1", "192.0.2.2"));
}

TEST_CASE("an identity tells whether it has a wildcard") {
  for (const char* id : {"*.example.net", "*@example.net", "O=Example, CN=*", "CN=*, O=Example", "fqdn:*"})
    CHECK(Identity::parse(id)->has_wildcard());
  for (const char* id : {"gw.example.net", "gw@example.net", "O=Example, CN=*x", "192.0.2.1", "keyid:*"})
    CHECK_FALSE(Identity::parse(id)->has_wildcard());
}

}  // namespace
}  // namespace culvert::ike

#include "culvert/crypto/distinguished_name.h"

#include <doctest/doctest.h>

#include <string>

#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

std::string encoded(std::string_view text) {
  const Result<Bytes> der = encode_distinguished_name(text);
  return der ? to_hex(*der) : "error: " + der.error().detail;
}

void check_malformed(std::string_view text) {
  CAPTURE(text);
  const Result<Bytes> der = encode_distinguished_name(text);
  REQUIRE(!der);
  CHECK(der.error().code == Errc::malformed);
  CHECK(!der.error().detail.empty());
}

}  // namespace

// DER by Python's cryptography: x509.Name([...]).public_bytes(); the first is also the subject that
// `openssl req -x509 -subj /O=Example/CN=gw` writes.
TEST_CASE("text becomes a DER Name, its RDNs in the order written") {
  CHECK(encoded("O=Example,CN=gw") == "301f3110300e060355040a0c074578616d706c65310b300906035504030c026777");
  CHECK(encoded(" o = Example , cn = gw ") == "301f3110300e060355040a0c074578616d706c65310b300906035504030c026777");
  CHECK(encoded("2.5.4.10=Example,2.5.4.3=gw") == "301f3110300e060355040a0c074578616d706c65310b300906035504030c026777");
}

// DER by hand: SEQUENCE { SET { SEQUENCE { OID 1.3.6.1.4.1.32473.1 (RFC 5612's example number), UTF8String "x" } } }.
TEST_CASE("an attribute that OpenSSL has no name for is given by its number") {
  CHECK(encoded("1.3.6.1.4.1.32473.1=x") == "30123110300e06092b0601040181fd59010c0178");
}

TEST_CASE(
    "attributes get the string type that theirs wants: country printable, domain component and e-mail IA5, others "
    "UTF-8") {
  CHECK(encoded("C=DE,O=Ex\xc3\xa4mple,CN=gw\\, west") ==
        "3033310b30090603550406130244453111300f060355040a0c084578c3a46d706c653111300f06035504030c0867772c2077657374");
  CHECK(encoded("C=DE,O=Ex\\C3\\A4mple,CN=gw\\2C west") ==
        "3033310b30090603550406130244453111300f060355040a0c084578c3a46d706c653111300f06035504030c0867772c2077657374");
  CHECK(encoded("DC=net,DC=example,emailAddress=a@example.net") ==
        "304c31133011060a0992268993f22c64011916036e657431173015060a0992268993f22c64011916076578616d706c65311c301a06092a"
        "864886f70d010901160d61406578616d706c652e6e6574");
  CHECK(encoded("dc=net,dc=example,EMAILADDRESS=a@example.net") ==
        "304c31133011060a0992268993f22c64011916036e657431173015060a0992268993f22c64011916076578616d706c65311c301a06092a"
        "864886f70d010901160d61406578616d706c652e6e6574");
}

TEST_CASE("attributes joined by a plus share one RDN, in DER's order") {
  CHECK(encoded("O=x,CN=a+UID=b") ==
        "3029310a3008060355040a0c0178311b300806035504030c0161300f060a0992268993f22c6401010c0162");
  CHECK(encoded("O=x,UID=b+CN=a") ==
        "3029310a3008060355040a0c0178311b300806035504030c0161300f060a0992268993f22c6401010c0162");
}

TEST_CASE("a value may be given as the hex of its DER") {
  CHECK(encoded("O=Example,CN=#0c026777") == "301f3110300e060355040a0c074578616d706c65310b300906035504030c026777");
  check_malformed("CN=#0c0267,O=Example");  // shorter than its length says
  check_malformed("CN=#0c026777ff");        // more behind it
  check_malformed("CN=#0203010203");        // an INTEGER
  check_malformed("CN=#zz");
  check_malformed("CN=#");
}

TEST_CASE("text that is no distinguished name is refused with its place") {
  for (const std::string_view text :
       {"", "CN", "CN=", "=x", "CN=a,", ",CN=a", "CN=a,,O=b", "CN=a+", "noSuchType=a", "CN=a\\", "CN=a\\q", "CN=a;O=b",
        "CN=\"a\"", "C=DEU", "C=\xc3\xa4\xc3\xa4", "9.9=a", "CN=\xff\xfe"}) {
    check_malformed(text);
  }
  check_malformed(std::string("CN=a\0b", 6));
  check_malformed("CN=" + std::string(5000, 'a'));
}

TEST_CASE("a DER Name becomes the text that it came from") {
  for (const std::string_view text :
       {"O=Example,CN=gw", "C=DE,O=Ex\xc3\xa4mple,CN=gw\\, west", "DC=net,DC=example,emailAddress=a@example.net",
        "CN=\\ leading and trailing\\ ,O=\\#1 \\\"best\\\" \\<a\\>\\;\\+\\\\"}) {
    const Result<Bytes> der = encode_distinguished_name(text);
    REQUIRE(der);
    CHECK(distinguished_name_text(*der) == text);
    const Result<Bytes> again = encode_distinguished_name(distinguished_name_text(*der));
    REQUIRE(again);
    CHECK(*again == *der);
  }
}

TEST_CASE("control characters of a peer's name are escaped") {
  const std::string text = distinguished_name_text(*encode_distinguished_name("CN=a\\0a\\1b[31mb"));
  CHECK(text == "CN=a\\0A\\1B[31mb");
}

TEST_CASE("what is not a Name is shown as hex, at most 64 bytes of it") {
  CHECK(distinguished_name_text(hex("3003")) == "#3003");
  CHECK(distinguished_name_text({}) == "#");
  CHECK(distinguished_name_text(Bytes(1000, 0xff)) == "#" + to_hex(Bytes(64, 0xff)));
  Bytes with_tail = *encode_distinguished_name("CN=gw");
  with_tail.push_back(0);
  CHECK(distinguished_name_text(with_tail).starts_with("#"));
}

TEST_CASE("every truncation of a Name is harmless") {
  const Bytes der = *encode_distinguished_name("CN=gw+UID=b,O=Ex\xc3\xa4mple,C=DE");
  for (std::size_t len = 0; len < der.size(); ++len) {
    CHECK(distinguished_name_text(ByteView(der).first(len)).starts_with("#"));
    CHECK(!same_distinguished_name(ByteView(der).first(len), der));
  }
}

TEST_CASE("names compare without regard to case, blanks and string type, but not to order") {
  const auto name = [](std::string_view text) { return *encode_distinguished_name(text); };
  CHECK(same_distinguished_name(name("O=Example,CN=gw"), name("O=example,CN=GW")));
  CHECK(same_distinguished_name(name("CN=gw,O=Ex  ample"), name("CN=gw,O=Ex ample")));
  CHECK(same_distinguished_name(name("CN=gw"), name("CN=#13026777")));  // PrintableString
  CHECK(!same_distinguished_name(name("O=Example,CN=gw"), name("CN=gw,O=Example")));
  CHECK(!same_distinguished_name(name("O=Example,CN=gw"), name("CN=gw")));
  CHECK(!same_distinguished_name({}, {}));
}

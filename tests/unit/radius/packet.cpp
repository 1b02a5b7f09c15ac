#include "culvert/radius/packet.h"

#include <doctest/doctest.h>

#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::radius;
using culvert::test::hex;
using culvert::test::to_hex;

namespace {

Authenticator authenticator(ByteView bytes) {
  Authenticator value{};
  std::copy_n(bytes.begin(), value.size(), value.begin());
  return value;
}

// Python's hashlib and hmac, by the formulas of RFC 2865 §3, RFC 3579 §3.2, RFC 2548 §2.4.2; secret "testing123",
// request authenticator 000102…0f, identifier 42. Message-Authenticator, Framed-IP-Address 10.9.8.7, Class "staff",
// MS-MPPE-Recv-Key 404142…5f, MS-MPPE-Send-Key 606162…7f, EAP-Success.
const Bytes accept =
    hex("022a00ad02e9114bb708b3ad1886018d1327d6fb5012ff30248e657c7a6f0f6fbd385ae1e54308060a090807190773746166"
        "661a3a0000013711348102690eadfb8573432cfc6aa3608bebcf5dfde452967fd9513cefad8b0cc85d8ba9695d03b568118c"
        "d3828794298ca056b91a3a000001371034930434715536ca9a9a570b8cbb707bad943541b3373d2d97c9829a97eb6633b54b"
        "ee79a90dd1deb8b9fe3af1e3e489068e2a4f0603050004");
const ByteView secret = as_bytes("testing123");

Packet request() {
  return {Code::access_request, 42, authenticator(hex("000102030405060708090a0b0c0d0e0f")), {}};
}

}  // namespace

TEST_CASE("The packets of RFC 2865 §7.1 are read") {
  const auto packet =
      parse(hex("01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d 93 d4 "
                "13 ce 31 96 e4 "
                "3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03"));
  REQUIRE(packet);
  CHECK(packet->code == Code::access_request);
  CHECK(packet->text(AttributeType::user_name) == "nemo");
  CHECK(packet->number(AttributeType::nas_ip_address) == 0xc0a80110);
  // Its answer, without Message-Authenticator: the Response Authenticator holds, and yet it is not taken.
  const Bytes answer =
      hex("02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00 0e 06 c0 a8 "
          "01 03");
  const auto opened = open_reply(answer, *packet, as_bytes("xyzzy5461"));
  REQUIRE_FALSE(opened);
  CHECK(opened.error().detail.find("no Message-Authenticator") != std::string::npos);
  const auto wrong = open_reply(answer, *packet, as_bytes("xyzzy5462"));
  CHECK(wrong.error().detail.find("Response Authenticator does not hold") != std::string::npos);
}

TEST_CASE("An Access-Accept is opened, with its key and addresses") {
  const auto reply = open_reply(accept, request(), secret);
  REQUIRE_MESSAGE(reply, reply.error().detail);
  CHECK(reply->framed_ipv4()->to_string() == "10.9.8.7");
  CHECK(reply->text(AttributeType::class_) == "staff");
  CHECK(reply->eap() == hex("03050004"));
  const Secret msk = master_session_key(*reply, request().authenticator, secret);
  CHECK(to_hex(msk.view()) ==
        "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
        "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f");
}

TEST_CASE("Every changed bit and every truncation of a reply is refused") {
  for (std::size_t i = 0; i < accept.size(); ++i) {
    Bytes changed = accept;
    changed[i] ^= 0x10;
    CHECK_FALSE(open_reply(changed, request(), secret));
    CHECK_FALSE(open_reply(ByteView(accept).first(i), request(), secret));
  }
  Packet other = request();
  other.identifier = 43;
  CHECK(open_reply(accept, other, secret).error().code == Errc::no_match);
  Packet accounting = request();
  accounting.code = Code::accounting_request;
  CHECK(open_reply(accept, accounting, secret).error().code == Errc::no_match);
}

TEST_CASE("Requests carry the authenticators of RFC 3579 §3.2 and RFC 2866 §3") {
  Packet access = request();
  access.identifier = 9;
  access.add(AttributeType::user_name, "carol");
  CHECK(to_hex(*build_request(access, secret)) ==
        "0109002d000102030405060708090a0b0c0d0e0f5012ebc4d54699d036c453688f235d759f3a01076361726f6c");
  Packet accounting{Code::accounting_request, 7, {}, {}};
  accounting.add(AttributeType::acct_status_type, 1u);
  accounting.add(AttributeType::acct_session_id, "abc");
  CHECK(to_hex(*build_request(accounting, secret)) == "0407001ff2a47b560fd849fe456823266285d2542806000000012c05616263");
}

TEST_CASE("An EAP message longer than an attribute is cut, and put together again") {
  Bytes message(1000);
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::uint8_t>(i);
  Packet packet = request();
  packet.add_eap(message);
  CHECK(packet.attributes.size() == 4);
  CHECK(packet.eap() == message);
  packet.add_eap(Bytes(4000));
  CHECK(build_request(packet, secret).error().code == Errc::exhausted);
}

TEST_CASE("Addresses with a meaning of their own are no addresses (RFC 2865 §5.8)") {
  for (const std::uint32_t number : {0u, 0xfffffffeu, 0xffffffffu}) {
    Packet packet = request();
    packet.add(AttributeType::framed_ip_address, number);
    CHECK_FALSE(packet.framed_ipv4());
  }
  Packet packet = request();
  packet.add(AttributeType::framed_ipv6_address, hex("20010db8000000000000000000000007"));
  CHECK(packet.framed_ipv6()->to_string() == "2001:db8::7");
}

TEST_CASE("Packets that break the grammar are refused") {
  const auto with = [](std::string_view attributes) {
    Bytes bytes = hex("02 01 0000 00000000000000000000000000000000");
    append(bytes, hex(attributes));
    store_be(bytes.data() + 2, static_cast<std::uint16_t>(bytes.size()));
    return bytes;
  };
  CHECK(parse(with("")));
  CHECK_FALSE(parse(with("01")));
  CHECK_FALSE(parse(with("01 00")));
  CHECK_FALSE(parse(with("01 01")));
  CHECK_FALSE(parse(with("01 03")));
  CHECK_FALSE(parse(hex("02 01 0013 00000000000000000000000000000000")));
  CHECK_FALSE(parse(hex("02 01 0015 00000000000000000000000000000000")));
  CHECK(parse(hex("02 01 0014 00000000000000000000000000000000 ffff")));
  Bytes many = hex("02 01 0000 00000000000000000000000000000000");
  for (std::size_t i = 0; i <= max_attributes; ++i) append(many, hex("0102"));
  store_be(many.data() + 2, static_cast<std::uint16_t>(many.size()));
  CHECK(parse(many).error().code == Errc::exhausted);
}

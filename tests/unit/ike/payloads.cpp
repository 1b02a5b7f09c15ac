// The contents of payloads: RFC 7296 §3.4–§3.13, each as the RFC's diagram has it, and each of its fields wrong.
#include "payloads.h"

#include <doctest/doctest.h>

#include "wire_bytes.h"

namespace culvert::ike::test {
namespace {

/// Parses `body` by hand-written bytes, and builds it again.
template <class T>
T round_trip(PayloadType type, const Bytes& body) {
  const auto parsed = parse_one(type, body);
  REQUIRE(parsed.has_value());
  CHECK(payload_type(*parsed) == type);
  Bytes built;
  Writer writer(built);
  write_payload(writer, *parsed);
  CHECK(to_hex(built) == to_hex(body));
  return std::get<T>(*parsed);
}

TEST_CASE("KE: method and data") {
  const auto ke = round_trip<KePayload>(PayloadType::ke, join({hex("001f 0000"), Bytes(32, 0xab)}));
  CHECK(ke.method == 31);
  CHECK(ke.data == Bytes(32, 0xab));
  for (const char* body : {"", "00", "001f", "001f00", "001f0000"}) CHECK(is_malformed(PayloadType::ke, hex(body)));
  CHECK(std::get<KePayload>(*parse_one(PayloadType::ke, hex("0013 ffff 01"))).data ==
        hex("01"));  // reserved is ignored
}

TEST_CASE("ID: the reserved bytes are kept, because AUTH covers them (RFC 7296 §2.15)") {
  const auto id = round_trip<IdPayload>(PayloadType::id_i, hex("02 a1b2c3 6777"));
  CHECK(id.initiator);
  CHECK(id.type == 2);
  CHECK(to_hex(id.data) == "6777");
  CHECK(to_hex(id.body()) == "02a1b2c36777");
  CHECK_FALSE(round_trip<IdPayload>(PayloadType::id_r, hex("01 000000 c0000201")).initiator);
  for (const char* body : {"", "02", "020000"}) CHECK(is_malformed(PayloadType::id_r, hex(body)));
}

TEST_CASE("AUTH, CERT, CERTREQ, CP, EAP and vendor ID") {
  CHECK(round_trip<AuthPayload>(PayloadType::auth, hex("02 000000 deadbeef")).method == 2);
  CHECK(round_trip<CertPayload>(PayloadType::cert, hex("04 3082")).encoding == 4);
  CHECK(round_trip<CertReqPayload>(PayloadType::certreq, hex("04")).data.empty());
  CHECK(round_trip<CpPayload>(PayloadType::cp, hex("01 000000 00010000")).type == CfgType::request);
  CHECK(round_trip<EapPayload>(PayloadType::eap, hex("01 02 0005 01")).data.size() == 5);
  CHECK(round_trip<VendorIdPayload>(PayloadType::vendor_id, {}).data.empty());
  for (const char* body : {"", "02", "020000"}) {
    CHECK(is_malformed(PayloadType::auth, hex(body)));
    CHECK(is_malformed(PayloadType::cp, hex(body)));
  }
  CHECK(is_malformed(PayloadType::cert, {}));
  CHECK(is_malformed(PayloadType::certreq, {}));
}

TEST_CASE("nonces have 16 to 256 bytes (RFC 7296 §3.9)") {
  for (const std::size_t len : {16, 32, 256})
    CHECK(round_trip<NoncePayload>(PayloadType::nonce, Bytes(len, 7)).data.size() == len);
  for (const std::size_t len : {0, 1, 15, 257, 1000}) CHECK(is_malformed(PayloadType::nonce, Bytes(len, 7)));
}

TEST_CASE("Notify: protocol, SPI, type, data") {
  const auto rekey = round_trip<NotifyPayload>(PayloadType::notify, hex("03 04 4009 c0ffee01"));
  CHECK(rekey.type == NotifyType::rekey_sa);
  CHECK(rekey.protocol == ProtocolId::esp);
  CHECK(to_hex(rekey.spi) == "c0ffee01");
  CHECK(rekey.data.empty());
  const auto error = round_trip<NotifyPayload>(PayloadType::notify, hex("00 00 0011 0013"));
  CHECK(error.type == NotifyType::invalid_ke_payload);
  CHECK(to_hex(error.data) == "0013");
  CHECK(is_error(error.type));
}

TEST_CASE("Notify: cut off, or with an SPI size that does not fit, is malformed") {
  for (const char* body : {"", "00", "0000", "000040", "0304 4009", "0304 4009 c0ffee", "0303 4009 c0ffee",
                           "03ff 4009 00", "0308 0007 0102030405060708"}) {
    INFO(body);
    CHECK(is_malformed(PayloadType::notify, hex(body)));
  }
}

TEST_CASE("a cookie has 1 to 64 bytes (RFC 7296 §2.6)") {
  CHECK(is_malformed(PayloadType::notify, hex("00004006")));
  CHECK_FALSE(is_malformed(PayloadType::notify, join({hex("00004006"), Bytes(1)})));
  CHECK_FALSE(is_malformed(PayloadType::notify, join({hex("00004006"), Bytes(64)})));
  CHECK(is_malformed(PayloadType::notify, join({hex("00004006"), Bytes(65)})));
}

TEST_CASE("Delete: ESP by SPIs of 4 bytes, IKE by none") {
  const auto esp = round_trip<DeletePayload>(PayloadType::delete_, hex("03 04 0002 c0000001 c0000002"));
  CHECK(esp.protocol == ProtocolId::esp);
  REQUIRE(esp.spis.size() == 2);
  CHECK(to_hex(esp.spis[1]) == "c0000002");
  CHECK(round_trip<DeletePayload>(PayloadType::delete_, hex("01 00 0000")).spis.empty());
  CHECK(round_trip<DeletePayload>(PayloadType::delete_, hex("03 04 0000")).spis.empty());
}

TEST_CASE("Delete: cut off, with wrong sizes or counts, is malformed") {
  for (const char* body : {"", "03", "0304", "030400", "03040001", "03040001c00000", "03040001c000000100",
                           "03040002c0000001", "03080001c000000100000000", "03000000", "01040001c0000001",
                           "01080001c000000100000000", "0100000000", "ff04 0001 c0000001"}) {
    INFO(body);
    CHECK(is_malformed(PayloadType::delete_, hex(body)));
  }
  CHECK(is_malformed(PayloadType::delete_, join({hex("0304 0401"), Bytes(4 * 1025)})));
}

const Bytes v4_selector = hex("07 06 0010 0050 0050 0a000001 0a0000ff");
const Bytes v6_selector = hex("08 00 0028 0000 ffff 20010db8000000000000000000000001 20010db8000000000000000000000001");

TEST_CASE("TS: IPv4 and IPv6 ranges") {
  const auto ts = round_trip<TsPayload>(PayloadType::ts_i, join({hex("02000000"), v4_selector, v6_selector}));
  REQUIRE(ts.selectors.size() == 2);
  CHECK(ts.initiator);
  CHECK(ts.selectors[0] == TrafficSelector{6, 80, 80, *IpAddress::parse("10.0.0.1"), *IpAddress::parse("10.0.0.255")});
  CHECK(ts.selectors[1] ==
        TrafficSelector{0, 0, 65535, *IpAddress::parse("2001:db8::1"), *IpAddress::parse("2001:db8::1")});
  CHECK_FALSE(round_trip<TsPayload>(PayloadType::ts_r, join({hex("01000000"), v4_selector})).initiator);
}

TEST_CASE("TS: a selector of an unknown type is skipped, the others count") {
  const auto parsed =
      parse_one(PayloadType::ts_i, join({hex("03000000"), hex("09 00 0008 01020304"), v4_selector, hex("0a 00 0004")}));
  REQUIRE(parsed.has_value());
  CHECK(std::get<TsPayload>(*parsed).selectors.size() == 1);
  const auto none = parse_one(PayloadType::ts_i, hex("01000000 09 00 0008 01020304"));
  REQUIRE(none.has_value());
  CHECK(std::get<TsPayload>(*none).selectors.empty());
}

TEST_CASE("TS: OPAQUE ports are legal, other reversed ranges are not") {
  const auto opaque = parse_one(PayloadType::ts_i, hex("01000000 07 00 0010 ffff 0000 0a000001 0a000001"));
  REQUIRE(opaque.has_value());
  CHECK(std::get<TsPayload>(*opaque).selectors[0].start_port == 65535);
  CHECK(std::get<TsPayload>(*opaque).selectors[0].end_port == 0);
  CHECK(is_malformed(PayloadType::ts_i, hex("01000000 07 00 0010 0051 0050 0a000001 0a000001")));
  CHECK(is_malformed(PayloadType::ts_i, hex("01000000 07 00 0010 0000 ffff 0a000002 0a000001")));
}

TEST_CASE("TS: every truncation, and wrong counts and lengths, are malformed") {
  const Bytes whole = join({hex("02000000"), v4_selector, v6_selector});
  for (std::size_t len = 0; len < whole.size(); ++len) {
    REQUIRE(is_malformed(PayloadType::ts_i, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(len))));
  }
  CHECK(is_malformed(PayloadType::ts_i, hex("00000000")));
  CHECK(is_malformed(PayloadType::ts_i, join({hex("01000000"), v4_selector, v4_selector})));
  CHECK(is_malformed(PayloadType::ts_i, join({hex("03000000"), v4_selector, v4_selector})));
  CHECK(is_malformed(
      PayloadType::ts_i,
      hex("01000000 07 00 0028 0000 ffff 20010db8000000000000000000000001 20010db8000000000000000000000001")));
  CHECK(is_malformed(PayloadType::ts_i, hex("01000000 08 00 0010 0000 ffff 0a000001 0a000001")));
  CHECK(is_malformed(PayloadType::ts_i, hex("01000000 09 00 0003 00")));
  Bytes many = hex("41000000");
  for (int i = 0; i < 65; ++i) append(many, v4_selector);
  CHECK(is_malformed(PayloadType::ts_i, many));
}

}  // namespace
}  // namespace culvert::ike::test

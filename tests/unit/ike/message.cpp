// The header and the chain of payloads: RFC 7296 §2.5, §3.1, §3.2, §3.14.
#include "message.h"

#include <doctest/doctest.h>

#include "vectors/ikev2_transcript.h"
#include "wire_bytes.h"

namespace culvert::ike::test {
namespace {

using culvert::test::Transcript;

Bytes patched(Bytes bytes, std::size_t at, std::uint8_t value) {
  bytes[at] = value;
  return bytes;
}

ParseError::Kind kind_of(const Bytes& bytes) {
  const auto parsed = parse(bytes);
  REQUIRE_FALSE(parsed.has_value());
  return parsed.error().kind;
}

const Bytes vendor_id = hex("0102030405060708");

TEST_CASE("the header of a real IKE_SA_INIT is read field by field") {
  // message_1 of the strongSwan exchange, read by eye from its hex.
  const Transcript exchange("ikev2_strongswan_aead.txt");
  const auto header = parse_header(exchange.message(1));
  REQUIRE(header.has_value());
  CHECK(header->spi_i.value() == 0xe7fb6ca215201c03);
  CHECK(header->spi_r.value() == 0);
  CHECK(header->exchange == ExchangeType::ike_sa_init);
  CHECK(header->initiator);
  CHECK_FALSE(header->response);
  CHECK(header->message_id.value() == 0);
}

TEST_CASE("every truncation of real messages is refused, and none is read beyond its end") {
  for (const char* file : {"ikev2_strongswan_aead.txt", "ikev2_strongswan_cbc.txt", "ikev2_strongswan_chacha.txt"}) {
    const Transcript exchange(file);
    for (int number = 1; number <= 14; ++number) {
      const Bytes& whole = exchange.message(number);
      REQUIRE(parse(whole).has_value());
      for (std::size_t len = 0; len < whole.size(); ++len) {
        // A copy of exactly that size, so that ASan sees a read beyond it.
        Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(len));
        REQUIRE(kind_of(cut) == ParseError::Kind::malformed_header);
        if (len < header_len) continue;
        store_be(cut.data() + 24,
                 static_cast<std::uint32_t>(len));  // now the header's length fits: the payloads must notice
        const auto parsed = parse(cut);
        if (!parsed) {
          REQUIRE(parsed.error().kind == ParseError::Kind::invalid_syntax);
          REQUIRE(parsed.error().header.spi_i == parse_header(whole)->spi_i);
        } else {
          REQUIRE(len == header_len);
          FAIL("a message without its payloads was accepted");
        }
      }
    }
  }
}

TEST_CASE("what is built of a parsed message is the same message, byte by byte") {
  const Transcript exchange("ikev2_strongswan_cbc.txt");
  for (const int number : {1, 2}) {
    const auto message = parse(exchange.message(number));
    REQUIRE(message.has_value());
    CHECK(to_hex(build(message->header, message->payloads)) == to_hex(exchange.message(number)));
  }
}

TEST_CASE("the length field must be the length of the datagram") {
  const Bytes good = raw_message(43, raw_payload(0, vendor_id));
  REQUIRE(parse(good).has_value());
  CHECK(kind_of(patched(good, 27, static_cast<std::uint8_t>(good.size() + 1))) == ParseError::Kind::malformed_header);
  CHECK(kind_of(patched(good, 27, static_cast<std::uint8_t>(good.size() - 1))) == ParseError::Kind::malformed_header);
  CHECK(kind_of(patched(good, 24, 0xff)) == ParseError::Kind::malformed_header);
  CHECK(kind_of(join({good, {0}})) == ParseError::Kind::malformed_header);
  CHECK(kind_of({}) == ParseError::Kind::malformed_header);
}

TEST_CASE("another major version is reported with the header, so that INVALID_MAJOR_VERSION can be answered") {
  const Bytes good = raw_message(43, raw_payload(0, vendor_id));
  for (const std::uint8_t version : {0x00, 0x10, 0x1f, 0x30, 0xf0}) {
    const auto parsed = parse(patched(good, 17, version));
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error().kind == ParseError::Kind::invalid_major_version);
    CHECK(parsed.error().header.spi_i.value() == 0x1122334455667788);
    CHECK(parsed.error().header.exchange == ExchangeType::ike_sa_init);
  }
}

TEST_CASE("the minor version, the version flag and reserved bits are ignored on receipt") {
  const Bytes good = raw_message(43, raw_payload(0, vendor_id));
  CHECK(parse(patched(good, 17, 0x2f)).has_value());  // minor version 15
  const auto flags = parse(patched(good, 19, 0xff));
  REQUIRE(flags.has_value());
  CHECK(flags->header.initiator);
  CHECK(flags->header.response);
  CHECK(parse(patched(good, 29, 0x7f)).has_value());  // reserved bits of the payload header
}

TEST_CASE("an initiator's SPI of zero is malformed") {
  CHECK(kind_of(join({Bytes(8), Bytes(8), hex("00202208 00000000 0000001c")})) == ParseError::Kind::malformed_header);
}

TEST_CASE("a message of a header alone is legal") {
  const auto message = parse(raw_message(0, {}));
  REQUIRE(message.has_value());
  CHECK(message->payloads.empty());
  CHECK_FALSE(message->encrypted.has_value());
}

TEST_CASE("payload lengths smaller than their header or beyond the message are malformed") {
  for (const std::size_t length : {0, 1, 3, 13, 0xffff}) {
    INFO("length ", length);
    CHECK(kind_of(raw_message(43, join({{0, 0}, be16(length), vendor_id}))) == ParseError::Kind::invalid_syntax);
  }
  CHECK(kind_of(raw_message(43, join({{0, 0}, be16(11), vendor_id}))) ==
        ParseError::Kind::invalid_syntax);  // one byte is left over
}

TEST_CASE("bytes behind the last payload, and a payload announced that does not come, are malformed") {
  CHECK(kind_of(raw_message(43, join({raw_payload(0, vendor_id), hex("00")}))) == ParseError::Kind::invalid_syntax);
  CHECK(kind_of(raw_message(43, raw_payload(43, vendor_id))) == ParseError::Kind::invalid_syntax);
  CHECK(kind_of(raw_message(0, hex("2b000004"))) == ParseError::Kind::invalid_syntax);
}

TEST_CASE("an unknown payload is skipped and kept, with its critical bit") {
  const auto message = parse(raw_message(
      200, join({raw_payload(49, hex("aabb"), true), raw_payload(43, hex("cc")), raw_payload(0, vendor_id)})));
  REQUIRE(message.has_value());
  REQUIRE(message->payloads.size() == 3);
  const auto& first = std::get<UnknownPayload>(message->payloads[0]);
  CHECK(first.type == 200);
  CHECK(first.critical);
  const auto& second = std::get<UnknownPayload>(message->payloads[1]);
  CHECK(second.type == 49);
  CHECK_FALSE(second.critical);
  CHECK(message->find<VendorIdPayload>() != nullptr);
}

TEST_CASE("the critical bit of a known payload is ignored (RFC 7296 §2.5)") {
  const auto message = parse(raw_message(43, raw_payload(0, vendor_id, true)));
  REQUIRE(message.has_value());
  CHECK(to_hex(message->find<VendorIdPayload>()->data) == to_hex(vendor_id));
}

TEST_CASE("64 payloads are the end") {
  const auto chain = [](int count) {
    Bytes bytes;
    for (int i = 0; i < count; ++i) append(bytes, raw_payload(i + 1 < count ? 43 : 0, hex("00")));
    return raw_message(43, bytes);
  };
  CHECK(parse(chain(64)).has_value());
  CHECK(kind_of(chain(65)) == ParseError::Kind::invalid_syntax);
}

TEST_CASE("an SK payload is located, not opened") {
  const auto message = parse(raw_message(43, join({raw_payload(46, vendor_id), raw_payload(39, Bytes(40, 0x55))})));
  REQUIRE(message.has_value());
  REQUIRE(message->payloads.size() == 1);
  REQUIRE(message->encrypted.has_value());
  CHECK(message->encrypted->inner_first == PayloadType::auth);
  CHECK(message->encrypted->header_offset == 40);
  CHECK(message->encrypted->body_offset == 44);
  CHECK(message->encrypted->body_len == 40);
  CHECK_FALSE(message->encrypted->fragment);
}

TEST_CASE("an SK payload that is not the last one is malformed") {
  CHECK(kind_of(raw_message(46, join({raw_payload(43, Bytes(40)), raw_payload(0, vendor_id)}))) ==
        ParseError::Kind::invalid_syntax);
  CHECK(kind_of(raw_message(46, join({raw_payload(0, Bytes(40)), hex("00")}))) == ParseError::Kind::invalid_syntax);
}

TEST_CASE("an encrypted payload inside an encrypted payload is malformed") {
  CHECK_FALSE(parse_payloads(PayloadType::sk, raw_payload(0, Bytes(40))).has_value());
  CHECK_FALSE(parse_payloads(PayloadType::skf, raw_payload(0, Bytes(40))).has_value());
}

TEST_CASE("an encrypted fragment is told from an SK payload") {
  const auto message = parse(raw_message(53, raw_payload(35, join({hex("00010002"), Bytes(40)}))));
  REQUIRE(message.has_value());
  REQUIRE(message->encrypted.has_value());
  REQUIRE(message->encrypted->fragment.has_value());
  CHECK(message->encrypted->fragment->number == 1);
  CHECK(message->encrypted->fragment->total == 2);
}

TEST_CASE("an empty content is no payloads, and first payload none with bytes behind it is malformed") {
  const auto empty = parse_payloads(PayloadType::none, {});
  REQUIRE(empty.has_value());
  CHECK(empty->empty());
  CHECK_FALSE(parse_payloads(PayloadType::none, hex("00")).has_value());
  CHECK_FALSE(parse_payloads(PayloadType::nonce, {}).has_value());
}

TEST_CASE("a message that would not fit a datagram is not built") {
  CHECK(build({}, {VendorIdPayload{Bytes(40000)}, VendorIdPayload{Bytes(30000)}}).empty());
  CHECK(build({}, {VendorIdPayload{Bytes(65536)}}).empty());
  CHECK_FALSE(build({}, {VendorIdPayload{Bytes(65503)}}).empty());
}

TEST_CASE("finders give the payload that was asked for, or nothing") {
  Message message;
  message.payloads = {IdPayload{true, 2, {}, {1}}, IdPayload{false, 2, {}, {2}}, TsPayload{false, {}},
                      NotifyPayload{NotifyType::initial_contact, ProtocolId::none, {}, {}},
                      NotifyPayload{NotifyType::ts_unacceptable, ProtocolId::none, {}, {}}};
  CHECK(message.find_id(true)->data == Bytes{1});
  CHECK(message.find_id(false)->data == Bytes{2});
  CHECK(message.find_ts(true) == nullptr);
  CHECK(message.find_ts(false) != nullptr);
  CHECK(message.find_notify(NotifyType::initial_contact) != nullptr);
  CHECK(message.find_notify(NotifyType::cookie) == nullptr);
  REQUIRE(message.first_error() != nullptr);
  CHECK(message.first_error()->type == NotifyType::ts_unacceptable);
  CHECK(message.find<KePayload>() == nullptr);
}

TEST_CASE("notify types have the RFC's names") {
  CHECK(notify_name(NotifyType::no_proposal_chosen) == "NO_PROPOSAL_CHOSEN");
  CHECK(notify_name(NotifyType::nat_detection_source_ip) == "NAT_DETECTION_SOURCE_IP");
  CHECK(notify_name(static_cast<NotifyType>(12345)) == "unknown notify");
}

}  // namespace
}  // namespace culvert::ike::test

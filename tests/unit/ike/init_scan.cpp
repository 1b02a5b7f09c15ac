#include "init_scan.h"

#include <doctest/doctest.h>

#include "wire_bytes.h"

namespace culvert::ike::test {
namespace {

const Header header{IkeSpi(0x1122334455667788), IkeSpi(0), ExchangeType::ike_sa_init, true, false, MessageId(0)};

Payload cookie(Bytes data) {
  return NotifyPayload{NotifyType::cookie, ProtocolId::none, {}, std::move(data)};
}

std::vector<Payload> plain() {
  return {SaPayload{{*parse_ike_proposal("aes128gcm16-prfsha256-x25519")}}, KePayload{31, Bytes(32, 1)},
          NoncePayload{Bytes(32, 7)},
          NotifyPayload{NotifyType::nat_detection_source_ip, ProtocolId::none, {}, Bytes(20)}};
}

TEST_CASE("the nonce and the cookie are what parse() finds") {
  auto payloads = plain();
  const Bytes without = build(header, payloads);
  CHECK(to_hex(scan_init(without)->nonce) == to_hex(Bytes(32, 7)));
  CHECK(scan_init(without)->cookie.empty());
  payloads.insert(payloads.begin(), cookie(hex("c00c1e")));
  const Bytes with = build(header, payloads);
  CHECK(to_hex(scan_init(with)->cookie) == "c00c1e");
  CHECK(parse(with)->find_notify(NotifyType::cookie)->data == hex("c00c1e"));
}

TEST_CASE("a nonce that is missing, too short or too long is not taken") {
  auto payloads = plain();
  for (const std::size_t len : {0UL, 15UL, 257UL}) {
    payloads[2] = NoncePayload{Bytes(len)};
    CHECK_FALSE(scan_init(build(header, payloads)).has_value());
  }
  payloads.erase(payloads.begin() + 2);
  CHECK_FALSE(scan_init(build(header, payloads)).has_value());
}

TEST_CASE("no truncation is taken, nor bytes behind the last payload") {
  const Bytes whole = build(header, plain());
  for (std::size_t len = header_len; len < whole.size(); ++len)
    CHECK_FALSE(scan_init(ByteView(whole).first(len)).has_value());
  CHECK_FALSE(scan_init(join({whole, {0}})).has_value());
}

TEST_CASE("what it does not take, parse() would not take either") {
  const Bytes whole = build(header, plain());
  for (std::size_t at = header_len; at < whole.size(); ++at) {
    for (const std::uint8_t bit : {1, 4, 128}) {
      Bytes changed = whole;
      changed[at] ^= bit;
      const auto message = parse(changed);
      const bool usable = message && !message->encrypted && message->find<NoncePayload>();
      if (usable) CHECK(scan_init(changed).has_value());
    }
  }
}

TEST_CASE("a chain without an end is left after as many payloads as parse() reads") {
  Bytes chain;
  for (int i = 0; i < 20000; ++i) append(chain, raw_payload(41, hex("00004009")));
  CHECK_FALSE(scan_init(raw_message(41, chain)).has_value());
}

}  // namespace
}  // namespace culvert::ike::test

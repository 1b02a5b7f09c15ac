// Fragments on the wire: RFC 7383 §2.5. Those of another implementation: tests/lab/test_fragmentation.py.
#include <doctest/doctest.h>

#include "culvert/crypto/cipher_suite.h"
#include "message.h"
#include "wire_bytes.h"

namespace culvert::ike::test {
namespace {

using enum crypto::CipherSuite;
constexpr std::array suites{aes_gcm_16_128, chacha20_poly1305, aes_cbc_128_sha2_256_128, aes_cbc_256_sha2_512_256};

const Header header{
    IkeSpi(0x1122334455667788), IkeSpi(0x99aabbccddeeff00), ExchangeType::ike_auth, true, false, MessageId(1)};

SkProtection protection(crypto::CipherSuite suite) {
  const auto& cipher = crypto::info(suite);
  return *SkProtection::create(suite, Bytes(cipher.key_len + cipher.salt_len, 0x42), Bytes(cipher.integrity_len, 0x42));
}

Message parse_fragment(const Bytes& datagram) {
  auto message = parse(datagram);
  REQUIRE(message.has_value());
  REQUIRE(message->encrypted.has_value());
  REQUIRE(message->encrypted->fragment.has_value());
  return std::move(*message);
}

PayloadChain long_chain(std::size_t len) {
  Bytes data(len);
  for (std::size_t i = 0; i < len; ++i) data[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return build_payloads({IdPayload{true, 2, {}, hex("6777")}, VendorIdPayload{data}});
}

TEST_CASE("fragments put together are the payloads that were cut, whatever the suite and the size") {
  for (const auto suite : suites) {
    auto key = protection(suite);
    for (const std::size_t max_len : {520, 548, 1000, 1220, 1252}) {
      for (const std::size_t content_len : {1, 500, 1200, 2500, 8000}) {
        const PayloadChain chain = long_chain(content_len);
        const auto fragments = key.seal_fragments(header, chain, max_len);
        REQUIRE(fragments.has_value());
        Bytes together;
        for (std::size_t i = 0; i < fragments->size(); ++i) {
          const Bytes& datagram = (*fragments)[i];
          CHECK(datagram.size() <= max_len);
          const Message message = parse_fragment(datagram);
          CHECK(message.header.message_id == MessageId(1));
          CHECK(message.encrypted->fragment->number == i + 1);
          CHECK(message.encrypted->fragment->total == fragments->size());
          const auto content = key.open_content(datagram, message);
          REQUIRE(content.has_value());
          append(together, *content);
        }
        CHECK(together == chain.bytes);
        // No more of them than it takes: what all but the last leave empty is less than a block of the cipher.
        if (fragments->size() > 1) CHECK(fragments->front().size() + 16 > max_len);
      }
    }
  }
}

TEST_CASE("a fragment stands on the wire as RFC 7383 §2.5 draws it") {
  auto key = protection(aes_gcm_16_128);
  const auto fragments = key.seal_fragments(header, long_chain(900), 548);
  REQUIRE(fragments->size() == 2);
  const Bytes &first = fragments->at(0), &second = fragments->at(1);
  CHECK(first[16] == 53);  // next payload of the header: SKF
  CHECK(second[16] == 53);
  CHECK(to_hex(ByteView(first).subspan(28, 8)) ==
        "23000208"
        "00010002");       // IDi is the first inside; 548 − 28 bytes
  CHECK(second[28] == 0);  // in all others zero
  CHECK(to_hex(ByteView(second).subspan(32, 4)) == "00020002");
  CHECK(load_be<std::uint32_t>(&first[24]) == first.size());
  CHECK(to_hex(ByteView(first).first(16)) == to_hex(ByteView(second).first(16)));
}

TEST_CASE("number and total are authenticated, as is all ahead of them") {
  auto key = protection(aes_gcm_16_256);
  const auto fragments = key.seal_fragments(header, long_chain(3000), 548);
  for (const std::size_t at : {19UL, 23UL, 28UL, 33UL, 35UL, 40UL, 200UL, fragments->at(1).size() - 1}) {
    CAPTURE(at);
    Bytes forged = fragments->at(1);
    forged[at] ^= 1;
    const auto message = parse(forged);
    REQUIRE(message.has_value());
    const auto content = key.open_content(forged, *message);
    REQUIRE_FALSE(content.has_value());
    CHECK_FALSE(content.error().authentic);
  }
}

TEST_CASE("a fragment with number 0, without a total, or beyond it is malformed (RFC 7383 §2.6)") {
  const auto is_taken = [](const char* position) {
    return parse(raw_message(53, raw_payload(0, join({hex(position), Bytes(40)})))).has_value();
  };
  CHECK(is_taken("00010001"));
  CHECK(is_taken("ffffffff"));
  CHECK_FALSE(is_taken("00000001"));
  CHECK_FALSE(is_taken("00000000"));
  CHECK_FALSE(is_taken("00010000"));
  CHECK_FALSE(is_taken("00020001"));
  for (std::size_t len = 0; len < 4; ++len)
    CHECK_FALSE(parse(raw_message(53, raw_payload(0, Bytes(len, 1)))).has_value());
}

TEST_CASE("no truncation of a fragment opens") {
  const auto key = protection(aes_cbc_128_sha2_256_128);
  const Bytes whole = protection(aes_cbc_128_sha2_256_128).seal_fragments(header, long_chain(900), 548)->at(0);
  for (std::size_t len = 28; len < whole.size(); ++len) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(len));
    store_be(cut.data() + 24, static_cast<std::uint32_t>(len));
    if (len >= 32) store_be(cut.data() + 30, static_cast<std::uint16_t>(len - 28));
    const auto message = parse(cut);
    if (message && message->encrypted) CHECK_FALSE(key.open_content(cut, *message).has_value());
  }
}

TEST_CASE("fragments without room for content are refused, and so are too many") {
  auto key = protection(aes_gcm_16_128);
  CHECK_FALSE(key.seal_fragments(header, long_chain(100), 0).has_value());
  CHECK_FALSE(key.seal_fragments(header, long_chain(100), 28 + 8 + 8 + 16 + 1).has_value());
  CHECK(key.seal_fragments(header, long_chain(100), 28 + 8 + 8 + 16 + 2).has_value());
  PayloadChain chain;
  chain.bytes.resize(65536);
  CHECK_FALSE(key.seal_fragments(header, chain, 28 + 8 + 8 + 16 + 2).has_value());
}

TEST_CASE("sealed_len says how long the one message would be") {
  for (const auto suite : suites) {
    auto key = protection(suite);
    for (std::size_t len = 0; len < 70; ++len) {
      const PayloadChain chain = long_chain(len);
      CHECK(key.sealed_len(chain) == key.seal_chain(header, chain)->size());
    }
  }
}

}  // namespace
}  // namespace culvert::ike::test

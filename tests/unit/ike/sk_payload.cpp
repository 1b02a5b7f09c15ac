// The SK payload: RFC 7296 §3.14, RFC 5282. Real ones of another implementation are opened in
// tests/vectors/ikev2_strongswan.cpp.
#include <doctest/doctest.h>

#include "culvert/crypto/cipher_suite.h"
#include "message.h"
#include "proposal_select.h"
#include "wire_bytes.h"

namespace culvert::ike::test {
namespace {

using enum crypto::CipherSuite;
constexpr std::array suites{aes_gcm_16_128,           aes_gcm_16_256,           chacha20_poly1305,
                            aes_cbc_128_sha2_256_128, aes_cbc_128_sha2_384_192, aes_cbc_128_sha2_512_256,
                            aes_cbc_256_sha2_256_128, aes_cbc_256_sha2_384_192, aes_cbc_256_sha2_512_256};

const Header header{
    IkeSpi(0x1122334455667788), IkeSpi(0x99aabbccddeeff00), ExchangeType::ike_auth, true, false, MessageId(1)};
const std::vector<Payload> content{IdPayload{true, 2, {}, hex("6777")}, NoncePayload{Bytes(32, 3)},
                                   NotifyPayload{NotifyType::initial_contact, ProtocolId::none, {}, {}}};

SkProtection protection(crypto::CipherSuite suite, std::uint8_t fill = 0x42) {
  const auto& cipher = crypto::info(suite);
  auto made =
      SkProtection::create(suite, Bytes(cipher.key_len + cipher.salt_len, fill), Bytes(cipher.integrity_len, fill));
  REQUIRE(made.has_value());
  return std::move(*made);
}

auto open(const SkProtection& key, const Bytes& datagram) {
  const auto message = parse(datagram);
  REQUIRE(message.has_value());
  return key.open(datagram, *message);
}

TEST_CASE("what is sealed opens again, under every suite") {
  for (const auto suite : suites) {
    INFO(std::string(crypto::info(suite).name));
    auto key = protection(suite);
    const auto datagram = key.seal(header, content);
    REQUIRE(datagram.has_value());
    const auto message = parse(*datagram);
    REQUIRE(message.has_value());
    CHECK(message->header.message_id == MessageId(1));
    CHECK(message->payloads.empty());
    REQUIRE(message->encrypted.has_value());
    CHECK(message->encrypted->inner_first == PayloadType::id_i);
    const auto opened = key.open(*datagram, *message);
    REQUIRE(opened.has_value());
    CHECK(to_hex(build_payloads(*opened).bytes) == to_hex(build_payloads(content).bytes));
  }
}

TEST_CASE("what is sealed is what tshark opened: every payload, and its ICV correct") {
  // tshark 4.0, ikev2_decryption_table with 36 times 42 as SK_ei and "AES-GCM-256 with 16 octet ICV [RFC5282]", showed
  // of these bytes IDi FQDN gw, AUTH, INITIAL_CONTACT, SA (ESP c0000001, AES-GCM-16-256, ESN, no ESN), TSi, TSr, pad
  // length 0, ICV [correct].
  auto key = protection(aes_gcm_16_256);
  const std::vector<Proposal> esp{*parse_esp_proposal("aes256gcm16-esn-noesn")};
  const std::vector<TrafficSelector> selectors{TrafficSelector::from_prefix(*IpPrefix::parse("10.1.0.0/16")),
                                               TrafficSelector::from_prefix(*IpPrefix::parse("fd00::/64"), 47)};
  const auto datagram = key.seal(header, {IdPayload{true, 2, {}, {'g', 'w'}}, AuthPayload{2, Bytes(32, 5)},
                                          NotifyPayload{NotifyType::initial_contact, ProtocolId::none, {}, {}},
                                          SaPayload{offer_esp(esp, EspNegotiation::ike_auth, Spi(0xc0000001))},
                                          TsPayload{true, selectors}, TsPayload{false, selectors}});
  REQUIRE(datagram.has_value());
  CHECK(to_hex(*datagram) ==
        "112233445566778899aabbccddeeff002e202308000000010000011f2300010300000000000000003bc7ec9a0acbfc67"
        "e7fa28bd91af373f89a06ee524f814ea01ba9dc02e4d7b736078a5ade7bb185cdaa12a44205fab8772b1a61637c6a317"
        "cb80d0c9bcfde0cf32d3e68230d8d5d0156dec913e14eda888b6f520cb8df1c55a8dd667d9fd820f244e6ea9e417b9a9"
        "34dad86ef4a3ca506a4d05a48161d77ebad73dbb26c35f508d166cde3e94d45cd4f11a3be7a3f180dfadb674a175413f"
        "015c3c8121dd5e79e24b1c711d4eb832a134bbd4e402fe1cd6d57240b8d663f7a8f4ad52becbdebfb777d0d765f52b8f"
        "af29b6fef5c830c5522d4e6401da894ec503543c8200e55456bd772994322d0a24275095e00eeab811520a4a2d7c1c");
}

TEST_CASE("an empty INFORMATIONAL is an SK payload with nothing inside") {
  for (const auto suite : suites) {
    auto key = protection(suite);
    const auto datagram = key.seal(header, {});
    REQUIRE(datagram.has_value());
    const auto opened = open(key, *datagram);
    REQUIRE(opened.has_value());
    CHECK(opened->empty());
  }
}

TEST_CASE("the padding is minimal: none for an AEAD, to the block for CBC") {
  for (const auto suite : suites) {
    const auto& cipher = crypto::info(suite);
    auto key = protection(suite);
    for (std::size_t len = 0; len < 40; ++len) {
      const auto datagram = key.seal(header, {VendorIdPayload{Bytes(len)}});
      REQUIRE(datagram.has_value());
      const std::size_t text_len = datagram->size() - 28 - 4 - cipher.iv_len - cipher.icv_len;
      const std::size_t bare_len = 4 + len + 1;
      CHECK(text_len == (cipher.is_aead ? bare_len : (bare_len + 15) / 16 * 16));
      CHECK(open(key, *datagram).has_value());
    }
  }
}

TEST_CASE("any padding from 0 to 255 bytes, of any content, is accepted") {
  const Bytes chain = raw_payload(0, hex("0102030405060708 09"));
  for (const auto suite : suites) {
    auto key = protection(suite);
    for (unsigned pad_len = 0; pad_len < 256; ++pad_len) {
      Bytes plaintext = chain;
      plaintext.resize(chain.size() + pad_len, 0xee);
      plaintext.push_back(static_cast<std::uint8_t>(pad_len));
      const auto datagram = key.seal_plaintext(header, PayloadType::vendor_id, plaintext);
      if (!crypto::info(suite).is_aead && plaintext.size() % 16 != 0) {
        CHECK_FALSE(datagram.has_value());
        continue;
      }
      REQUIRE(datagram.has_value());
      const auto opened = open(key, *datagram);
      REQUIRE(opened.has_value());
      CHECK(opened->size() == 1);
    }
  }
}

TEST_CASE("a pad length beyond the plaintext is malformed, and known to be authentic") {
  for (const auto suite : suites) {
    auto key = protection(suite);
    for (const std::uint8_t pad_len : {std::uint8_t{16}, std::uint8_t{255}}) {
      Bytes plaintext(16);
      plaintext.back() = pad_len;
      const auto datagram = key.seal_plaintext(header, PayloadType::none, plaintext);
      REQUIRE(datagram.has_value());
      const auto opened = open(key, *datagram);
      REQUIRE_FALSE(opened.has_value());
      CHECK(opened.error().authentic);
      CHECK(opened.error().parse.kind == ParseError::Kind::invalid_syntax);
      CHECK(std::string_view(opened.error().parse.where) == "pad length");
    }
  }
}

TEST_CASE("a malformed content is known to be authentic, so that INVALID_SYNTAX may be answered") {
  auto key = protection(aes_gcm_16_128);
  const auto datagram = key.seal_plaintext(header, PayloadType::nonce, join({raw_payload(0, Bytes(15)), {0}}));
  REQUIRE(datagram.has_value());
  const auto opened = open(key, *datagram);
  REQUIRE_FALSE(opened.has_value());
  CHECK(opened.error().authentic);
  CHECK(opened.error().parse.header.message_id == MessageId(1));
}

TEST_CASE("another key, or one changed bit anywhere, is not authentic") {
  for (const auto suite : suites) {
    INFO(std::string(crypto::info(suite).name));
    auto key = protection(suite);
    const auto datagram = key.seal(header, content);
    REQUIRE(datagram.has_value());
    const auto wrong_key = open(protection(suite, 0x43), *datagram);
    REQUIRE_FALSE(wrong_key.has_value());
    CHECK_FALSE(wrong_key.error().authentic);
    for (std::size_t at = 0; at < datagram->size(); ++at) {
      Bytes changed = *datagram;
      changed[at] ^= 0x01;
      const auto message = parse(changed);
      if (!message) continue;
      const auto opened = key.open(changed, *message);
      REQUIRE_FALSE(opened.has_value());
      REQUIRE_FALSE(opened.error().authentic);
    }
  }
}

TEST_CASE("every truncation with the lengths put right is not authentic") {
  for (const auto suite : suites) {
    auto key = protection(suite);
    const auto datagram = key.seal(header, content);
    REQUIRE(datagram.has_value());
    for (std::size_t len = 32; len < datagram->size(); ++len) {
      Bytes cut(datagram->begin(), datagram->begin() + static_cast<std::ptrdiff_t>(len));
      store_be(cut.data() + 24, static_cast<std::uint32_t>(len));
      store_be(cut.data() + 30, static_cast<std::uint16_t>(len - 28));
      const auto opened = open(key, cut);
      REQUIRE_FALSE(opened.has_value());
      REQUIRE_FALSE(opened.error().authentic);
    }
  }
}

TEST_CASE("what stands before SK is authenticated, and is not returned") {
  // The datagram of a key, and the same with a notify pushed in before SK: what an attacker on the path can do.
  auto key = protection(aes_gcm_16_256);
  const auto datagram = key.seal(header, content);
  REQUIRE(datagram.has_value());
  const Bytes notify = raw_payload(46, hex("00004000"));
  Bytes changed =
      join({Bytes(datagram->begin(), datagram->begin() + 28), notify, Bytes(datagram->begin() + 28, datagram->end())});
  changed[16] = 41;
  store_be(changed.data() + 24, static_cast<std::uint32_t>(changed.size()));
  const auto opened = open(key, changed);
  REQUIRE_FALSE(opened.has_value());
  CHECK_FALSE(opened.error().authentic);
}

TEST_CASE("the IV of an AEAD counts, and never repeats under one key") {
  auto key = protection(aes_gcm_16_128);
  for (std::uint64_t i = 0; i < 100; ++i) {
    const auto datagram = key.seal(header, {});
    REQUIRE(datagram.has_value());
    CHECK(load_be<std::uint64_t>(datagram->data() + 32) == i);
  }
}

TEST_CASE("the IV of CBC is random") {
  auto key = protection(aes_cbc_128_sha2_256_128);
  const auto first = key.seal(header, {}), second = key.seal(header, {});
  CHECK(to_hex(ByteView(*first).subspan(32, 16)) != to_hex(ByteView(*second).subspan(32, 16)));
}

TEST_CASE("a message without SK, or with a fragment, is not opened") {
  const auto key = protection(aes_gcm_16_128);
  CHECK_FALSE(open(key, raw_message(43, raw_payload(0, hex("01")))).has_value());
  CHECK_FALSE(open(key, raw_message(53, raw_payload(0, join({hex("00010001"), Bytes(60)})))).has_value());
}

TEST_CASE("keys of a wrong length are refused") {
  CHECK_FALSE(SkProtection::create(aes_gcm_16_128, Bytes(19), {}).has_value());
  CHECK_FALSE(SkProtection::create(aes_gcm_16_128, Bytes(20), Bytes(32)).has_value());
  CHECK_FALSE(SkProtection::create(aes_cbc_128_sha2_256_128, Bytes(16), Bytes(31)).has_value());
}

TEST_CASE("a content that does not fit a datagram is refused") {
  auto key = protection(aes_gcm_16_128);
  CHECK_FALSE(key.seal(header, {VendorIdPayload{Bytes(65500)}}).has_value());
  CHECK(key.seal(header, {VendorIdPayload{Bytes(65000)}}).has_value());
}

}  // namespace
}  // namespace culvert::ike::test

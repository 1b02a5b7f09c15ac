// The SA payload: RFC 7296 §3.3.
#include <doctest/doctest.h>

#include "payloads.h"
#include "vectors/ikev2_transcript.h"
#include "wire_bytes.h"

namespace culvert::ike::test {
namespace {

Bytes raw_transform(bool last, unsigned type, unsigned id, const Bytes& attributes = {}) {
  return join({{static_cast<std::uint8_t>(last ? 0 : 3), 0},
               be16(8 + attributes.size()),
               {static_cast<std::uint8_t>(type), 0},
               be16(id),
               attributes});
}

Bytes raw_proposal(bool last, unsigned number, unsigned protocol, const Bytes& spi, unsigned num_transforms,
                   const Bytes& transforms) {
  const auto u8 = [](std::size_t value) { return static_cast<std::uint8_t>(value); };
  return join({{u8(last ? 0 : 2), 0},
               be16(8 + spi.size() + transforms.size()),
               {u8(number), u8(protocol), u8(spi.size()), u8(num_transforms)},
               spi,
               transforms});
}

const Bytes key_256 = hex("800e 0100");
const Bytes esn_transform = raw_transform(true, 5, 0);
const Bytes esp_spi = hex("c0000001");

/// An ESP proposal with one encryption transform, last, that has these attributes.
Transform with_attributes(const Bytes& attributes) {
  const auto parsed = parse_sa(raw_proposal(true, 1, 3, esp_spi, 1, raw_transform(true, 1, 20, attributes)));
  REQUIRE(parsed.has_value());
  return parsed->proposals[0].transforms[0];
}

bool malformed(const Bytes& body) {
  return !parse_sa(body).has_value();
}

TEST_CASE("an SA payload is read and built as RFC 7296 §3.3 draws it") {
  const Bytes body =
      join({raw_proposal(false, 1, 3, esp_spi, 2, join({raw_transform(false, 1, 20, key_256), esn_transform})),
            raw_proposal(true, 2, 3, esp_spi, 2, join({raw_transform(false, 1, 28), esn_transform}))});
  const auto sa = parse_sa(body);
  REQUIRE(sa.has_value());
  REQUIRE(sa->proposals.size() == 2);
  CHECK(sa->proposals[0].number == 1);
  CHECK(sa->proposals[0].protocol == ProtocolId::esp);
  CHECK(sa->proposals[0].spi == esp_spi);
  REQUIRE(sa->proposals[0].transforms.size() == 2);
  CHECK(sa->proposals[0].transforms[0] == Transform{TransformType::encr, 20, 256});
  CHECK(sa->proposals[0].transforms[1] == Transform{TransformType::esn, 0});
  CHECK(sa->proposals[1].transforms[0] == Transform{TransformType::encr, 28, 0});
  Bytes built;
  Writer writer(built);
  write_sa(writer, *sa);
  CHECK(to_hex(built) == to_hex(body));
}

TEST_CASE("every truncation of an SA payload is malformed") {
  const Bytes body =
      join({raw_proposal(false, 1, 3, esp_spi, 2, join({raw_transform(false, 1, 20, key_256), esn_transform})),
            raw_proposal(true, 2, 3, esp_spi, 2, join({raw_transform(false, 1, 28), esn_transform}))});
  for (std::size_t len = 0; len < body.size(); ++len) {
    REQUIRE(malformed(Bytes(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(len))));
  }
}

TEST_CASE("last-substructure fields, lengths and counts must hold") {
  const Bytes transforms = join({raw_transform(false, 1, 20, key_256), esn_transform});
  const Bytes good = raw_proposal(true, 1, 3, esp_spi, 2, transforms);
  REQUIRE_FALSE(malformed(good));
  const auto with = [&](std::size_t at, std::uint8_t value) {
    Bytes changed = good;
    changed[at] = value;
    return changed;
  };
  for (const std::uint8_t more : {1, 2, 3, 255}) CHECK(malformed(with(0, more)));  // of the proposal
  CHECK_FALSE(malformed(with(1, 0xff)));                                           // reserved
  for (const std::uint8_t length : {0, 7, 11, 31, 33}) CHECK(malformed(with(3, length)));
  CHECK(malformed(with(2, 1)));
  CHECK(malformed(with(6, 3)));  // SPI size
  CHECK(malformed(with(6, 255)));
  for (const std::uint8_t count : {0, 1, 3, 255}) CHECK(malformed(with(7, count)));
  for (const std::uint8_t more : {0, 1, 2}) CHECK(malformed(with(12, more)));  // of the first transform
  CHECK_FALSE(malformed(with(13, 0xff)));
  for (const std::uint8_t length : {0, 7, 9, 11, 13}) CHECK(malformed(with(15, length)));
  CHECK_FALSE(malformed(with(17, 0xff)));
  CHECK(malformed(with(24, 3)));  // the last transform says that more follow
}

TEST_CASE("proposals are numbered from one by ones; a single one, an answer, has any number but zero") {
  const auto two = [](unsigned first, unsigned second) {
    return join({raw_proposal(false, first, 3, esp_spi, 1, esn_transform),
                 raw_proposal(true, second, 3, esp_spi, 1, esn_transform)});
  };
  CHECK_FALSE(malformed(two(1, 2)));
  CHECK(malformed(two(1, 1)));
  CHECK(malformed(two(1, 3)));
  CHECK(malformed(two(2, 3)));
  CHECK(malformed(two(2, 1)));
  CHECK_FALSE(malformed(raw_proposal(true, 7, 3, esp_spi, 1, esn_transform)));
  CHECK(malformed(raw_proposal(true, 0, 3, esp_spi, 1, esn_transform)));
}

TEST_CASE("the size of the SPI goes with the protocol") {
  CHECK_FALSE(malformed(raw_proposal(true, 1, 1, {}, 1, esn_transform)));
  CHECK_FALSE(malformed(raw_proposal(true, 1, 1, Bytes(8, 1), 1, esn_transform)));
  CHECK(malformed(raw_proposal(true, 1, 1, Bytes(4, 1), 1, esn_transform)));
  CHECK(malformed(raw_proposal(true, 1, 3, {}, 1, esn_transform)));
  CHECK(malformed(raw_proposal(true, 1, 2, Bytes(8, 1), 1, esn_transform)));
  CHECK_FALSE(malformed(raw_proposal(true, 1, 99, Bytes(17, 1), 1, esn_transform)));  // unknown: kept, never chosen
}

TEST_CASE(
    "an attribute that we do not know makes its transform unusable, not the message malformed (RFC 7296 §3.3.6)") {
  CHECK(with_attributes({}).key_bits == 0);
  CHECK_FALSE(with_attributes({}).unknown_attribute);
  CHECK(with_attributes(key_256) == Transform{TransformType::encr, 20, 256});
  CHECK(with_attributes(hex("800f 0100")).unknown_attribute);         // another type, short form
  CHECK(with_attributes(hex("000f 0003 010203")).unknown_attribute);  // another type, long form
  CHECK(with_attributes(hex("000e 0002 0100")).unknown_attribute);    // Key Length MUST be of the short form (§3.3.5)
  CHECK(with_attributes(hex("800e 0000")).unknown_attribute);         // a key of no bits
  CHECK(with_attributes(hex("800e 0100 800e 0080")).unknown_attribute);  // twice
  const Transform both = with_attributes(join({key_256, hex("8011 0001")}));
  CHECK(both.key_bits == 256);
  CHECK(both.unknown_attribute);
}

TEST_CASE("an attribute that is cut off is malformed") {
  for (const char* attributes : {"80", "800e", "800e01", "000f", "000f0001", "000f 0003 0102", "000f ffff 00"}) {
    INFO(attributes);
    CHECK(malformed(raw_proposal(true, 1, 3, esp_spi, 1, raw_transform(true, 1, 20, hex(attributes)))));
  }
}

TEST_CASE("64 proposals and 128 transforms are the end") {
  const auto proposals = [](unsigned count) {
    Bytes body;
    for (unsigned i = 1; i <= count; ++i) append(body, raw_proposal(i == count, i, 3, esp_spi, 1, esn_transform));
    return body;
  };
  CHECK_FALSE(malformed(proposals(64)));
  CHECK(malformed(proposals(65)));
  const auto transforms = [](unsigned count) {
    Bytes body;
    for (unsigned i = 1; i <= count; ++i) append(body, raw_transform(i == count, 1, i));
    return raw_proposal(true, 1, 3, esp_spi, count, body);
  };
  CHECK_FALSE(malformed(transforms(128)));
  CHECK(malformed(transforms(129)));
}

TEST_CASE("a proposal without transforms follows the grammar, an SA payload without proposals does not") {
  CHECK_FALSE(malformed(raw_proposal(true, 1, 3, esp_spi, 0, {})));
  CHECK(malformed({}));
}

}  // namespace
}  // namespace culvert::ike::test

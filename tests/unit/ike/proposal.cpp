// Proposals as people write them. Numbers: IANA "IKEv2 Parameters".
#include "culvert/ike/proposal.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace culvert::ike {
namespace {

using enum TransformType;

std::string error_of(const Result<Proposal>& result) {
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == Errc::malformed);
  return result.error().detail;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TEST_CASE("an AEAD proposal for IKE") {
  const auto proposal = parse_ike_proposal("aes256gcm16-prfsha384-x25519");
  REQUIRE(proposal.has_value());
  CHECK(proposal->protocol == ProtocolId::ike);
  CHECK(proposal->transforms == std::vector<Transform>{{encr, 20, 256}, {prf, 6}, {ke, 31}});
}

TEST_CASE("the PRF is implied by the integrity algorithm, and only when none is named") {
  const auto implied = parse_ike_proposal("aes256-aes128-sha256-sha512-ecp256-modp2048");
  REQUIRE(implied.has_value());
  CHECK(implied->transforms ==
        std::vector<Transform>{
            {encr, 12, 256}, {encr, 12, 128}, {integ, 12}, {integ, 14}, {prf, 5}, {prf, 7}, {ke, 19}, {ke, 14}});
  const auto named = parse_ike_proposal("aes128-sha256-prfsha512-ecp521");
  REQUIRE(named.has_value());
  CHECK(named->transforms == std::vector<Transform>{{encr, 12, 128}, {integ, 12}, {prf, 7}, {ke, 21}});
}

TEST_CASE("every word means its IANA number") {
  const auto proposal = parse_ike_proposal(
      "aes128gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384-ecp521-modp2048-"
      "modp3072-modp4096");
  REQUIRE(proposal.has_value());
  CHECK(proposal->transforms == std::vector<Transform>{{encr, 20, 128},
                                                       {encr, 20, 256},
                                                       {encr, 28},
                                                       {prf, 5},
                                                       {prf, 6},
                                                       {prf, 7},
                                                       {ke, 31},
                                                       {ke, 19},
                                                       {ke, 20},
                                                       {ke, 21},
                                                       {ke, 14},
                                                       {ke, 15},
                                                       {ke, 16}});
  const auto cbc = parse_esp_proposal("aes128-aes256-sha256-sha384-sha512-esn-noesn");
  REQUIRE(cbc.has_value());
  CHECK(cbc->transforms ==
        std::vector<Transform>{
            {encr, 12, 128}, {encr, 12, 256}, {integ, 12}, {integ, 13}, {integ, 14}, {esn, 1}, {esn, 0}});
}

TEST_CASE("ESP: ESN and no ESN are offered when neither is named") {
  CHECK(parse_esp_proposal("aes128gcm16")->transforms == std::vector<Transform>{{encr, 20, 128}, {esn, 1}, {esn, 0}});
  CHECK(parse_esp_proposal("aes128gcm16-noesn")->transforms == std::vector<Transform>{{encr, 20, 128}, {esn, 0}});
  CHECK(parse_esp_proposal("aes256gcm16-x25519-esn")->transforms ==
        std::vector<Transform>{{encr, 20, 256}, {ke, 31}, {esn, 1}});
}

TEST_CASE("ESP: none beside groups lets the peer do without PFS; alone it says nothing") {
  CHECK(parse_esp_proposal("aes128gcm16-x25519-none-esn")->transforms ==
        std::vector<Transform>{{encr, 20, 128}, {ke, 31}, {ke, 0}, {esn, 1}});
  CHECK(parse_esp_proposal("aes128gcm16-none-esn")->transforms == std::vector<Transform>{{encr, 20, 128}, {esn, 1}});
}

TEST_CASE("the order of the words is the order of preference, and letters have no case") {
  CHECK(parse_ike_proposal("X25519-PRFSHA512-AES128GCM16-AES256GCM16")->transforms ==
        std::vector<Transform>{{encr, 20, 128}, {encr, 20, 256}, {prf, 7}, {ke, 31}});
  CHECK(parse_ike_proposal("aes128gcm16-prfsha256-curve25519")->transforms ==
        parse_ike_proposal("aes128gcm16-prfsha256-x25519")->transforms);
}

TEST_CASE("a mistyped word is named, and the nearest one comes first among those that there are") {
  const std::string text = error_of(parse_ike_proposal("aes265gcm16-prfsha256-x25519"));
  CHECK(contains(text, "\"aes265gcm16\""));
  CHECK(contains(text, "the nearest is aes256gcm16;"));
  CHECK(contains(text, "there are aes256gcm16, "));
  CHECK(contains(text, "modp4096"));
  CHECK(contains(error_of(parse_ike_proposal("aes128gcm16-prfsha256-x25591")), "the nearest is x25519"));
  CHECK(contains(error_of(parse_esp_proposal("aes128gcm16-nosen")), "the nearest is noesn"));
  CHECK(contains(error_of(parse_ike_proposal("3des-sha1-modp1024")), "\"3des\""));
}

TEST_CASE("words of the other protocol are refused as such") {
  CHECK(contains(error_of(parse_esp_proposal("aes128gcm16-prfsha256")),
                 "\"prfsha256\" has no place in a proposal for ESP"));
  CHECK(contains(error_of(parse_ike_proposal("aes128gcm16-prfsha256-x25519-esn")),
                 "\"esn\" has no place in a proposal for IKE"));
  CHECK(contains(error_of(parse_ike_proposal("aes128gcm16-prfsha256-none")), "\"none\" has no place"));
}

TEST_CASE("what is missing is said") {
  CHECK(contains(error_of(parse_ike_proposal("aes128gcm16-x25519")), "no PRF"));
  CHECK(contains(error_of(parse_ike_proposal("aes128gcm16-prfsha256")), "no key exchange"));
  CHECK(contains(error_of(parse_ike_proposal("prfsha256-x25519")), "no encryption algorithm"));
  CHECK(contains(error_of(parse_ike_proposal("aes128-prfsha256-x25519")), "need an integrity algorithm"));
  CHECK(contains(error_of(parse_esp_proposal("aes128-x25519")), "need an integrity algorithm"));
}

TEST_CASE("AEADs share a proposal neither with CBC nor with an integrity algorithm") {
  CHECK(contains(error_of(parse_ike_proposal("aes128gcm16-aes128-sha256-x25519")), "two proposals"));
  CHECK(contains(error_of(parse_ike_proposal("aes128gcm16-sha256-x25519")), "authenticates by itself"));
  CHECK(contains(error_of(parse_esp_proposal("chacha20poly1305-sha256")), "authenticates by itself"));
}

TEST_CASE("empty and doubled words are refused, and no text is too odd") {
  for (const char* text : {"", "-", "aes128gcm16-", "-aes128gcm16", "aes128gcm16--x25519"}) {
    CHECK(contains(error_of(parse_esp_proposal(text)), "empty word"));
  }
  CHECK(contains(error_of(parse_esp_proposal("aes128gcm16-aes128gcm16")), "twice"));
  CHECK(contains(error_of(parse_esp_proposal("x25519-aes128gcm16-curve25519")), "twice"));
  CHECK(error_of(parse_esp_proposal(std::string(1'000'000, 'a'))).size() < 1000);
  CHECK(error_of(parse_esp_proposal(std::string("a\0b", 3))).size() < 1000);
}

TEST_CASE("to_string gives words that are read as the same proposal") {
  for (const char* text : {"aes256gcm16-prfsha384-x25519", "aes256-aes128-sha256-sha512-prfsha256-ecp256-modp2048"}) {
    CHECK(to_string(*parse_ike_proposal(text)) == text);
  }
  for (const char* text : {"aes256gcm16-chacha20poly1305-x25519-none-esn-noesn", "aes128-sha256-noesn"}) {
    CHECK(to_string(*parse_esp_proposal(text)) == text);
  }
  CHECK(to_string(Proposal{1, ProtocolId::ike, {}, {{encr, 3}, {integ, 2}, {ke, 2}}}) == "3DES-HMAC-SHA1-96-MODP1024");
}

TEST_CASE("the defaults: AEADs first, then CBC, with every algorithm that we have") {
  const auto ike = default_ike_proposals(), esp = default_esp_proposals();
  REQUIRE(ike.size() == 2);
  REQUIRE(esp.size() == 2);
  CHECK(ike[0].transforms.front() == Transform{encr, 20, 256});
  CHECK(ike[1].transforms.front() == Transform{encr, 12, 256});
  CHECK(ike[1].number == 2);
  CHECK(esp[0].transforms.front() == Transform{encr, 20, 256});
  for (const auto& proposals : {ike, esp}) {
    for (const Proposal& proposal : proposals) {
      const auto count = [&](TransformType type) {
        return std::ranges::count(proposal.transforms, type, &Transform::type);
      };
      const bool is_ike = proposal.protocol == ProtocolId::ike;
      CHECK(count(ke) == (is_ike ? 7 : 8));
      CHECK(count(prf) == (is_ike ? 3 : 0));
      CHECK(count(esn) == (is_ike ? 0 : 2));
      CHECK((count(encr) == 3) == (count(integ) == 0));
      CHECK((count(encr) == 2) == (count(integ) == 3));
      const auto first_ke = std::ranges::find(proposal.transforms, ke, &Transform::type);
      CHECK(first_ke->id == 31);
    }
  }
}

TEST_CASE("names of algorithms, also of those that we do not speak") {
  CHECK(transform_name({encr, 20, 256}) == "AES-GCM-16-256");
  CHECK(transform_name({encr, 3}) == "3DES");
  CHECK(transform_name({encr, 28}) == "CHACHA20-POLY1305");
  CHECK(transform_name({prf, 2}) == "PRF-HMAC-SHA1");
  CHECK(transform_name({integ, 1}) == "HMAC-MD5-96");
  CHECK(transform_name({integ, 2}) == "HMAC-SHA1-96");
  CHECK(transform_name({ke, 2}) == "MODP1024");
  CHECK(transform_name({ke, 31}) == "x25519");
  CHECK(transform_name({ke, 4711}) == "key exchange 4711");
  CHECK(transform_name({esn, 0}) == "no ESN");
  CHECK(transform_name({static_cast<TransformType>(6), 35}) == "type 6 number 35");
}

TEST_CASE("suites are named for status") {
  CHECK(to_string(IkeSuite{crypto::CipherSuite::aes_gcm_16_256, crypto::Prf::hmac_sha2_384,
                           crypto::KeMethod::x25519}) == "AES-GCM-16-256 PRF-HMAC-SHA2-384 x25519");
  CHECK(to_string(EspSuite{crypto::CipherSuite::aes_gcm_16_256, crypto::KeMethod::x25519, true}) ==
        "AES-GCM-16-256 x25519 ESN");
  CHECK(to_string(EspSuite{crypto::CipherSuite::chacha20_poly1305, std::nullopt, false}) == "CHACHA20-POLY1305");
}

}  // namespace
}  // namespace culvert::ike

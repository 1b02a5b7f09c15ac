#include "culvert/crypto/public_key.h"

#include <doctest/doctest.h>

#include "test_pki.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

// RFC 8410 §10.1
constexpr std::string_view ed25519_text = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

Result<PublicKey> parsed(std::string_view der) {
  return PublicKey::from_spki(hex(der));
}

/// SubjectPublicKeyInfo of an RSA key with this modulus (hex, first bit set) and exponent, by RFC 3279 §2.3.1.
Bytes rsa_spki(const std::string& modulus, const std::string& exponent) {
  const auto element = [](const std::string& tag, const std::string& content) {
    const std::size_t len = content.size() / 2;
    const Bytes short_len{static_cast<std::uint8_t>(len)};
    const Bytes long_len{0x82, static_cast<std::uint8_t>(len >> 8), static_cast<std::uint8_t>(len)};
    return tag + to_hex(len < 128 ? short_len : long_len) + content;
  };
  const std::string key = element("30", element("02", "00" + modulus) + element("02", exponent));
  return hex(element("30", "300d06092a864886f70d0101010500" + element("03", "00" + key)));
}

std::string odd_modulus(std::size_t num_bytes) {
  std::string modulus = "c1";
  for (std::size_t i = 1; i < num_bytes; ++i) modulus += "a7";
  return modulus;
}

}  // namespace

TEST_CASE("the Ed25519 key of RFC 8410 is read from base64, with and without line ends, and from PEM") {
  const PublicKey key = PublicKey::from_text(ed25519_text).value();
  CHECK(key.type() == KeyType::ed25519);
  CHECK(key.text() == ed25519_text);
  CHECK(key.description() == "Ed25519");
  std::string broken(ed25519_text);
  broken.insert(30, "\n  ");
  CHECK(PublicKey::from_text(broken).value() == key);
  CHECK(
      PublicKey::from_text("-----BEGIN PUBLIC KEY-----\n" + std::string(ed25519_text) + "\n-----END PUBLIC KEY-----\n")
          .value() == key);
  // RFC 8032's 32 bytes alone: as short as a WireGuard key.
  CHECK(PublicKey::from_text("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").value() == key);
}

// `openssl dgst` of the SubjectPublicKeyInfo: sha256 in base64, sha1; sha1 of the 32 bytes of the key.
TEST_CASE("fingerprints and key hashes are what openssl calculates") {
  const PublicKey key = PublicKey::from_text(ed25519_text).value();
  CHECK(key.fingerprint() == "SHA256:oekVYFTgT6yJmunydRMs3Ael28TqLCrTof/G4NJTaB8");
  CHECK(to_hex(key.spki_sha1()) == "3a04967761a552db7e9e18c6dba4bd4aae119908");
  CHECK(to_hex(key.key_bits_sha1()) == "a28cc1f86e5960d3e03ae75c962c97a8d448293c");
}

TEST_CASE("text that is no public key is refused") {
  for (const std::string_view text :
       {"", "x", "AAAA", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE",
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=!",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "-----BEGIN CERTIFICATE-----"}) {
    CHECK_MESSAGE(!PublicKey::from_text(text), text);
  }
  CHECK(!PublicKey::from_text(std::string(100'000, 'A')));
  const Bytes der = PublicKey::from_text(ed25519_text)->spki();
  for (std::size_t len = 0; len < der.size(); ++len) CHECK(!PublicKey::from_spki(ByteView(der).first(len)));
  Bytes longer = der;
  longer.push_back(0);
  CHECK(!PublicKey::from_spki(longer));
}

TEST_CASE("weak RSA keys are refused in words") {
  CHECK(PublicKey::from_spki(rsa_spki(odd_modulus(256), "010001")));
  CHECK(PublicKey::from_spki(rsa_spki(odd_modulus(255), "010001")).error().detail ==
        "RSA key of 2040 bits: at least 2048");
  CHECK(PublicKey::from_spki(rsa_spki(odd_modulus(1025), "010001")).error().detail ==
        "RSA key of 8200 bits: at most 8192");
  for (const char* exponent : {"01", "03", "11", "010000", "0101", "020000"}) {
    CAPTURE(exponent);
    const auto key = PublicKey::from_spki(rsa_spki(odd_modulus(256), exponent));
    REQUIRE(!key);
    CHECK(key.error().code == Errc::invalid);
    CHECK(key.error().detail.find("weak exponent") != std::string::npos);
  }
  CHECK(PublicKey::from_spki(rsa_spki(odd_modulus(256), "010000000000000001")).error().code == Errc::invalid);
  std::string even = odd_modulus(256);
  even.back() = '6';
  CHECK(PublicKey::from_spki(rsa_spki(even, "010001")).error().detail == "RSA key with an even modulus");
}

TEST_CASE("elliptic curve keys are taken on P-256, P-384 and P-521 alone, named, and as points of the curve") {
  constexpr std::string_view p256_head = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
  // The generator of P-256, SEC 2 §2.4.2.
  const std::string gx = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
  const std::string gy = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
  CHECK(parsed(std::string(p256_head) + gx + gy)->type() == KeyType::ecdsa_p256);
  CHECK(!parsed(std::string(p256_head) + gx + gx));  // not on the curve
  CHECK(
      !parsed("3019301306072a8648ce3d020106082a8648ce3d030107030200"
              "00"));  // at infinity
  // secp256k1's generator, SEC 2 §2.4.1.
  CHECK(parsed("3056301006072a8648ce3d020106052b8104000a03420004"
               "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
               "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8")
            .error()
            .code == Errc::unsupported);
  // A compressed point is the same key.
  CHECK(parsed("3039301306072a8648ce3d020106082a8648ce3d030107032200"
               "03" +
               gx)
            .value() == parsed(std::string(p256_head) + gx + gy).value());
}

TEST_CASE("a curve that is spelt out is refused, also when it is P-256") {
  const Bytes pem = published("x509/custom/ec_no_named_curve.pem");
  const auto certificates = Certificate::from_file_content(pem);
  REQUIRE(certificates);
  REQUIRE(!certificates->front().public_key());
  CHECK(certificates->front().public_key().error().code == Errc::unsupported);
}

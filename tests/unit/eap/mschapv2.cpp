#include "culvert/eap/mschapv2.h"

#include <doctest/doctest.h>

#include "vectors/hex.h"

using namespace culvert;
using culvert::test::hex;
using culvert::test::to_hex;

namespace {

eap::MsChapChallenge challenge(std::string_view digits) {
  eap::MsChapChallenge value;
  const Bytes bytes = hex(digits);
  std::copy_n(bytes.begin(), value.size(), value.begin());
  return value;
}

// RFC 2759 §9.2.
const eap::MsChapChallenge authenticator = challenge("5B5D7C7D7B3F2F3E3C2C602132262628");
const eap::MsChapChallenge peer = challenge("21402324255E262A28295F2B3A337C7E");

}  // namespace

TEST_CASE("MSCHAPv2 gives the hash, the response and the server's proof of RFC 2759 §9.2") {
  const auto hash = eap::nt_password_hash(as_bytes("clientPass"));
  REQUIRE(hash);
  CHECK(to_hex(hash->view()) == "44ebba8d5312b8d611474411f56989ae");
  const auto proof = eap::mschap_proof(hash->view(), authenticator, peer, "User");
  REQUIRE(proof);
  CHECK(to_hex(proof->nt_response) == "82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df");
  CHECK(proof->authenticator_response == "S=407A5589115FD0D6209F510FE9C04566932CDA56");
}

TEST_CASE("The MSK begins with the send key of the client of RFC 3079 §3.5.3 and ends with zeros") {
  const auto proof = eap::mschap_proof(hex("44EBBA8D5312B8D611474411F56989AE"), authenticator, peer, "User");
  REQUIRE(proof);
  // RFC 3079 §3.5.3 derives SendStartKey128 as server: that is what the MSK has behind the 16 bytes of the receive key.
  REQUIRE(proof->msk.size() == 64);
  CHECK(to_hex(proof->msk.view().subspan(16, 16)) == "8b7cdc149b993a1ba118cb153f56dccb");
  CHECK(to_hex(proof->msk.view().subspan(32)) == std::string(64, '0'));
}

TEST_CASE("A Windows domain in front of the user does not count") {
  const Bytes hash = hex("44EBBA8D5312B8D611474411F56989AE");
  CHECK(eap::mschap_proof(hash, authenticator, peer, "EXAMPLE\\User")->nt_response ==
        eap::mschap_proof(hash, authenticator, peer, "User")->nt_response);
}

TEST_CASE("A password is UTF-8 of at most 256 characters") {
  // openssl dgst -md4 -provider legacy, of this text in UTF-16LE.
  const auto hash = eap::nt_password_hash(as_bytes("p\xc3\xa4ssw\xc3\xb6rd\xe2\x82\xac\xf0\x9d\x84\x9e"));
  REQUIRE(hash);
  CHECK(to_hex(hash->view()) == "0b92ab89d8e0ec0bb35132664c2167c5");
  CHECK(eap::nt_password_hash(as_bytes(std::string(256, 'x'))));
  CHECK_FALSE(eap::nt_password_hash(as_bytes(std::string(257, 'x'))));
  CHECK_FALSE(eap::nt_password_hash(as_bytes("\xff")));
  CHECK_FALSE(eap::nt_password_hash(as_bytes("\xc0\x80")));      // overlong
  CHECK_FALSE(eap::nt_password_hash(as_bytes("\xed\xa0\x80")));  // a surrogate
  CHECK_FALSE(eap::nt_password_hash(as_bytes("cut \xe2\x82")));
  CHECK_FALSE(eap::nt_password_hash(as_bytes("\xf5\x80\x80\x80")));  // beyond Unicode
}

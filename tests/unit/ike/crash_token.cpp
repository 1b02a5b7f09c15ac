// QCD_TOKEN, RFC 6290 §5.1.
#include <doctest/doctest.h>

#include "crash_token.h"
#include "wire_bytes.h"

using namespace culvert;
using namespace culvert::ike;
using culvert::test::to_hex;

// Python: hmac.new(bytes(range(32)), b"culvert QCD" + bytes.fromhex("0123456789abcdef" "fedcba9876543210"), "sha256")
TEST_CASE("a token is the HMAC-SHA-256 of both SPIs, as Python computes it") {
  Secret secret(32);
  for (std::uint8_t i = 0; i < 32; ++i) secret.mutable_view()[i] = i;
  const CrashTokens tokens(std::make_shared<const Secret>(std::move(secret)));
  REQUIRE(tokens.makes_tokens());
  const NotifyPayload token = tokens.token(IkeSpi(0x0123456789abcdef), IkeSpi(0xfedcba9876543210));
  CHECK(token.type == NotifyType::qcd_token);
  CHECK(to_hex(token.data) == "31d044ea89bfa666780cabc8a902a71c601b68cdbf5a632245aa99adb4386da0");
  CHECK(tokens.token(IkeSpi(0xfedcba9876543210), IkeSpi(0x0123456789abcdef)).data != token.data);
}

TEST_CASE("without a secret there are no tokens") {
  CHECK_FALSE(CrashTokens(nullptr).makes_tokens());
  CHECK_FALSE(CrashTokens(std::make_shared<const Secret>()).makes_tokens());
}

// The data of REDIRECT, RFC 5685 §9.2.
#include "redirect.h"

#include <doctest/doctest.h>

#include "wire_bytes.h"

using namespace culvert;
using namespace culvert::ike;
using culvert::test::hex;

// Put together by hand from the diagram: type, length, identity, nonce.
TEST_CASE("addresses and names of gateways are written and read as RFC 5685 draws them") {
  CHECK(redirect_data("192.0.2.7", {}) == hex("0104c0000207"));
  CHECK(redirect_data("2001:db8::7", {}) == hex("021020010db8000000000000000000000007"));
  CHECK(redirect_data("gw.example", hex("aabb")) == hex("030a67772e6578616d706c65aabb"));
  const auto name = parse_redirect(hex("030a67772e6578616d706c65aabb"));
  REQUIRE(name);
  CHECK(name->gateway == "gw.example");
  CHECK(name->nonce == hex("aabb"));
  CHECK(parse_redirect(hex("0104c0000207"))->gateway == "192.0.2.7");
  CHECK(parse_redirect(hex("021020010db8000000000000000000000007"))->gateway == "2001:db8::7");
}

TEST_CASE("what is malformed names no gateway") {
  for (const char* wrong : {"", "01", "0104", "0104c00002", "0103c00002", "0204c0000207", "0404c0000207", "0300",
                            "0302610a", "03022e61", "03022d61", "0302612f", "010400000000", "0104e0000001"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_redirect(hex(wrong)));
  }
}

TEST_CASE("five redirects are followed within 300 s") {
  RedirectLoop loop;
  const TimePoint start{};
  for (int i = 0; i < 5; ++i) CHECK(loop.allows(start + std::chrono::seconds(i)));
  CHECK_FALSE(loop.allows(start + std::chrono::seconds(299)));
  CHECK(loop.allows(start + std::chrono::seconds(300)));
  CHECK_FALSE(loop.allows(start + std::chrono::seconds(300)));
}

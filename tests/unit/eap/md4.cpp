#include "md4.h"

#include <doctest/doctest.h>

#include "vectors/hex.h"

using namespace culvert;
using culvert::test::to_hex;

TEST_CASE("MD4 gives what RFC 1320 appendix A.5 says") {
  const auto digest = [](std::string_view text) { return to_hex(eap::md4(as_bytes(text))); };
  CHECK(digest("") == "31d6cfe0d16ae931b73c59d7e0c089c0");
  CHECK(digest("a") == "bde52cb31de33e46245e05fbdbd6fb24");
  CHECK(digest("abc") == "a448017aaf21d8525fc10ae87aa6729d");
  CHECK(digest("message digest") == "d9130a8164549fe818874806e1c7014b");
  CHECK(digest("abcdefghijklmnopqrstuvwxyz") == "d79e1c308aa5bbcdeea8ed63df412da9");
  CHECK(digest("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == "043f8582f241db351ce627e153e7f0e4");
  CHECK(digest("12345678901234567890123456789012345678901234567890123456789012345678901234567890") ==
        "e33b4ddc9c38f2199c3e7b164fcc0536");
}

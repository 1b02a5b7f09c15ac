#include "culvert/base/text.h"

#include <doctest/doctest.h>

using culvert::printable;

// Well-formed and ill-formed sequences: The Unicode Standard 15, table 3-7 and RFC 3629 §4.

TEST_CASE("text in any script stays as it is") {
  CHECK(printable("gw.example.net \\ 'x'") == "gw.example.net \\ 'x'");
  CHECK(printable("Zürich … ↔ 東京 😀") == "Zürich … ↔ 東京 😀");
  CHECK(printable("").empty());
}

TEST_CASE("nothing that steers a terminal gets through") {
  CHECK(printable("a\n\x1b[31mred\x7f") == "a\\x0a\\x1b[31mred\\x7f");
  CHECK(printable("\xc2\x9b"
                  "31m") == "\\xc2\\x9b31m");  // U+009B, CSI in one character
  CHECK(printable("\xe2\x80\xae"
                  "gpj") == "\\xe2\\x80\\xaegpj");  // U+202E right-to-left override
  CHECK(printable(std::string_view("\0", 1)) == "\\x00");
}

TEST_CASE("bytes that are no UTF-8 are written as numbers, and what follows them is kept") {
  CHECK(printable("\xff"
                  "a") == "\\xffa");
  CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");                    // overlong '/'
  CHECK(printable("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");           // overlong '/'
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // a surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  CHECK(printable("\xe2\x80") == "\\xe2\\x80");                    // cut off
  CHECK(printable("\xe2(\xa1") == "\\xe2(\\xa1");
}

TEST_CASE("making text printable twice changes nothing more") {
  const std::string once = printable("a\x1b\\ü\xff");
  CHECK(printable(once) == once);
}

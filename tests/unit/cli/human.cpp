#include "human.h"

#include <doctest/doctest.h>

using namespace culvert::cli;

TEST_CASE("durations show their two largest units") {
  CHECK(human_duration(0) == "0s");
  CHECK(human_duration(59) == "59s");
  CHECK(human_duration(60) == "1m 0s");
  CHECK(human_duration(725) == "12m 5s");
  CHECK(human_duration(7980) == "2h 13m");
  CHECK(human_duration(273600) == "3d 4h");
}

TEST_CASE("sizes show one decimal of a binary unit") {
  CHECK(human_size(0) == "0 B");
  CHECK(human_size(1023) == "1023 B");
  CHECK(human_size(1024) == "1.0 KiB");
  CHECK(human_size(1536) == "1.5 KiB");
  CHECK(human_size(1048575) == "1.0 MiB");  // not 1024.0 KiB
  CHECK(human_size(1288490189) == "1.2 GiB");
  CHECK(human_size(18446744073709551615u) == "16.0 EiB");
}

TEST_CASE("counts have their thousands apart") {
  CHECK(human_count(0) == "0");
  CHECK(human_count(999) == "999");
  CHECK(human_count(1000) == "1 000");
  CHECK(human_count(1234567) == "1 234 567");
}

TEST_CASE("columns are characters, not bytes") {
  CHECK(columns_of("abc") == 3);
  CHECK(columns_of("a ↔ b…") == 6);
}

TEST_CASE("without colour text is left alone") {
  CHECK(Display{}.red("down") == "down");
  CHECK(Display{.colour = true}.red("down") == "\x1b[31mdown\x1b[0m");
}

#include "findings.h"

#include "fixture.h"
#include "value_reader.h"

using namespace culvert::config;
using namespace std::chrono_literals;

TEST_CASE("the nearest word is at most a third of its letters away") {
  const std::vector<std::string_view> keys = {"address", "id", "ike", "listen", "liveness"};
  CHECK(nearest("adress", keys) == "address");
  CHECK(nearest("adddress", keys) == "address");
  CHECK(nearest("addrses", keys) == "address");  // two swapped
  CHECK(nearest("ADDRESS", keys) == "address");
  CHECK(nearest("di", keys) == "id");
  CHECK(nearest("livenes", keys) == "liveness");
  CHECK(nearest("colour", keys).empty());
  CHECK(nearest("", keys).empty());
  CHECK(nearest(std::string(100'000, 'a'), keys).empty());
}

TEST_CASE("a diagnostic is one line that no name can forge") {
  const Diagnostic found{"gw.toml", 3, 7, "peer.a\nb", "got \x1b[31m"};
  CHECK(found.to_string() == "gw.toml:3:7: peer.a\\x0ab: got \\x1b[31m");
  CHECK(Diagnostic{"gw.toml", 0, 0, "", "cannot read"}.to_string() == "gw.toml: cannot read");
}

TEST_CASE("durations and sizes are read with their units") {
  CHECK(parse_duration("500ms") == culvert::Duration(500ms));
  CHECK(parse_duration("90s") == culvert::Duration(90s));
  CHECK(parse_duration("5m") == culvert::Duration(5min));
  CHECK(parse_duration("4h") == culvert::Duration(4h));
  CHECK(parse_duration("2d") == culvert::Duration(48h));
  for (const auto* text : {"", "5", "m", "5M", "1.5h", "+5s", "5s ", " 5s", "0x5s", "5sm"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text).has_value());
  }
  CHECK(parse_size("0") == 0);
  CHECK(parse_size("1kB") == 1000);
  CHECK(parse_size("1KiB") == 1024);
  CHECK(parse_size("500MB") == 500'000'000);
  CHECK(parse_size("10GiB") == 10'737'418'240);
  CHECK(parse_size("2TiB") == 2'199'023'255'552);
  CHECK(parse_size("9223372036854775807") == 9'223'372'036'854'775'807);
  for (const auto* text :
       {"", "GiB", "1gib", "1KB", "-1", "9223372036854775808", "8388608TiB", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text).has_value());
  }
}

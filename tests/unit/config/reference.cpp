// docs/configuration.md says of every key what the program does: its tables are made from those that read the file.
#include "culvert/config/describe.h"

#include <sstream>

#include "fixture.h"
#include "keys.h"

using namespace culvert::config;

namespace {

std::string reference() {
  std::ostringstream text;
  text << std::ifstream(std::string(CULVERT_SOURCE_DIR) + "/docs/configuration.md").rdbuf();
  return text.str();
}

std::size_t num_rows(const std::string& text) {
  std::size_t num = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) num += line.starts_with("| `");
  return num;
}

}  // namespace

TEST_CASE("the reference describes every key as the program does") {
  const std::string text = reference();
  INFO("scripts/describe-keys brings docs/configuration.md up to date");
  CHECK(with_key_tables(text) == text);
  for (const KeyTable& table : describe_keys()) {
    CAPTURE(table.name);
    CHECK(text.find(table.text) != std::string::npos);
  }
}

TEST_CASE("the reference describes no key that the program does not have") {
  CHECK(num_rows(reference()) == gateway_keys().size() + peer_keys().size() + auth_keys().size() +
                                     peer_auth_keys().size() + tunnel_keys().size() + radius_keys().size() +
                                     pool_keys().size());
}

TEST_CASE("what stands between the markers of a table is replaced, and nothing else") {
  const std::string before =
      "a\n<!-- keys pool -->\n| `old` | row |\n<!-- end -->\nb\n<!-- keys nothing -->\nc\n<!-- end -->\n";
  const std::string after = with_key_tables(before);
  CHECK(after.starts_with("a\n<!-- keys pool -->\n| key |"));
  CHECK(after.find("`old`") == std::string::npos);
  CHECK(after.find("| `addresses` |") != std::string::npos);
  CHECK(after.ends_with("<!-- end -->\nb\n<!-- keys nothing -->\nc\n<!-- end -->\n"));
  CHECK(with_key_tables("<!-- keys pool -->\nwithout an end") == "<!-- keys pool -->\nwithout an end");
}

// docs/configuration.md is held to the key tables, row by row.
#include <fmt/format.h>

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

/// The text between a heading and the next.
std::string section(const std::string& text, const std::string& heading) {
  const auto start = text.find(heading + "\n");
  REQUIRE(start != std::string::npos);
  return text.substr(start, text.find("\n## ", start) - start);
}

template <class T>
void check_rows(const std::string& text, std::span<const KeySpec<T>> keys) {
  for (const auto& spec : keys) {
    const std::string row = fmt::format("| `{}` | {} | {} | {} | {} |\n", spec.name, spec.type, spec.fallback, spec.meaning,
                                        reload_text(spec.reload));
    CAPTURE(row);
    CHECK(text.find(row) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("the reference describes every key as the program does") {
  const std::string text = reference();
  check_rows(section(text, "## [gateway]"), gateway_keys());
  check_rows(section(text, "## [peer.NAME]"), peer_keys());
  check_rows(section(text, "## auth and peer_auth"), auth_keys());
  check_rows(section(text, "## auth and peer_auth"), peer_auth_keys());
  check_rows(section(text, "## [tunnel.NAME]"), tunnel_keys());
  check_rows(section(text, "## [radius.NAME]"), radius_keys());
  check_rows(section(text, "## [pool.NAME]"), pool_keys());
}

TEST_CASE("the reference describes no key that the program does not have") {
  std::size_t num_rows = 0;
  std::istringstream lines(reference());
  for (std::string line; std::getline(lines, line);) num_rows += line.starts_with("| `");
  CHECK(num_rows == gateway_keys().size() + peer_keys().size() + auth_keys().size() + peer_auth_keys().size() +
                        tunnel_keys().size() + radius_keys().size() + pool_keys().size());
}

#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

/// The rows of the key tables as docs/configuration.md has them: a Markdown table for each kind of table in the file.
struct KeyTable {
  std::string_view name;  ///< "gateway", "peer", "auth", "peer_auth", "tunnel", "pool", "radius"
  std::string text;       ///< with a heading row; ends with a line break
};
[[nodiscard]] std::vector<KeyTable> describe_keys();

/// `document` with what stands between "<!-- keys NAME -->" and "<!-- end -->" replaced by the table of that name.
/// Markers of no table are left alone.
[[nodiscard]] std::string with_key_tables(std::string_view document);

}  // namespace culvert::config

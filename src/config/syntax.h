#pragma once
#include <compare>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "culvert/config/config.h"

namespace culvert::config {

/// Line and column from 1; 0 means "nowhere". In the file itself, or another one that was merged into it (Findings).
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t file = 0;
  friend bool operator==(const Position&, const Position&) noexcept = default;
  friend auto operator<=>(const Position& a, const Position& b) noexcept {
    return std::tie(a.file, a.line, a.column) <=> std::tie(b.file, b.line, b.column);
  }
};

struct Node;
struct Entry;
using Array = std::vector<Node>;
using Table = std::vector<Entry>;  ///< in the order of the file
struct DateOrTime {};              ///< TOML has them, no key of ours takes them

/// A TOML value and where it stands.
struct Node {
  Position at;
  std::variant<DateOrTime, std::string, std::int64_t, double, bool, Array, Table> value;
};
struct Entry {
  std::string key;
  Position at;  ///< of the key
  Node node;
};

inline constexpr std::size_t max_text_len = std::size_t{16} << 20;  ///< bytes of a configuration file

/// TOML text to a tree with positions: the only place that knows toml++. Size and nesting are bounded before the parser
/// sees the text. The error is the first mistake of syntax; a parser cannot tell what follows it.
[[nodiscard]] std::expected<Table, Diagnostic> parse_syntax(std::string_view text, const std::filesystem::path& name);

class Findings;
/// Adds the tables of another file to those of `root`, as if they stood at its end; what stands in both is reported.
/// `file` is what Findings::add_file gave for it (merge.cpp).
void merge(Table& root, Table more, std::uint32_t file, Findings& findings);

/// Every key of every table, without what is no table of ours (settings.cpp).
[[nodiscard]] std::vector<SettingsTable> settings_of(const Table& root);

}  // namespace culvert::config

#include "syntax.h"

#include <fmt/format.h>

#include <algorithm>

// Header-only, without exceptions: a syntax error is a value here. Three levels of values are all that our files need.
// toml++ 3.3 asserts on text that it refuses properly a line later (a table header like "[;"), and turns its assertions
// into promises to the compiler where NDEBUG is set: neither may happen with text from outside, so both are switched
// off.
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_MAX_NESTED_VALUES 16
#include <toml++/toml.h>

namespace culvert::config {
namespace {

/// toml++ bounds nested arrays and inline tables, but each dot of a key is a nested table too, and it destroys them
/// recursively. A key cannot span lines, so with nesting at most 16 deep this bounds the recursion to about 4000
/// frames.
constexpr std::size_t max_dots_in_line = 256;

Position to_position(const toml::source_position& at) {
  return {at.line, at.column};
}

Node to_node(const toml::node& from);

Array to_array(const toml::array& from) {
  Array array;
  array.reserve(from.size());
  for (const toml::node& element : from) array.push_back(to_node(element));
  return array;
}

Table to_table(const toml::table& from) {
  Table table;
  table.reserve(from.size());
  for (const auto& [key, node] : from) {
    table.push_back({std::string(key.str()), to_position(key.source().begin), to_node(node)});
  }
  std::ranges::stable_sort(table, {}, &Entry::at);  // toml++ sorts by key
  return table;
}

Node to_node(const toml::node& from) {
  Node node;
  node.at = to_position(from.source().begin);
  if (const auto* text = from.as_string()) node.value = text->get();
  if (const auto* number = from.as_integer()) node.value = number->get();
  if (const auto* number = from.as_floating_point()) node.value = number->get();
  if (const auto* flag = from.as_boolean()) node.value = flag->get();
  if (const auto* array = from.as_array()) node.value = to_array(*array);
  if (const auto* table = from.as_table()) node.value = to_table(*table);
  return node;
}

std::expected<void, Diagnostic> check_bounds(std::string_view text, const std::filesystem::path& name) {
  Position at{1, 1};
  std::size_t num_dots = 0;
  const auto wrong = [&](std::string message) {
    return std::unexpected(Diagnostic{name.string(), at.line, at.column, "", std::move(message)});
  };
  if (text.size() > max_text_len) {
    at = {};
    return wrong(fmt::format("longer than {} bytes", max_text_len));
  }
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    // TOML 1.0 allows none of these anywhere.
    if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f) {
      return wrong(
          fmt::format("the control character 0x{:02x} may not stand in TOML: write \\u{:04x} in a string", byte, byte));
    }
    if (c == '.' && ++num_dots > max_dots_in_line) {
      return wrong(fmt::format("more than {} dots in one line: spread the list over several lines", max_dots_in_line));
    }
    ++at.column;
    if (c != '\n') continue;
    at = {at.line + 1, 1};
    num_dots = 0;
  }
  return {};
}

}  // namespace

std::expected<Table, Diagnostic> parse_syntax(std::string_view text, const std::filesystem::path& name) {
  if (auto bounded = check_bounds(text, name); !bounded) return std::unexpected(std::move(bounded.error()));
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    const toml::parse_error& error = result.error();
    const Position at = to_position(error.source().begin);
    return std::unexpected(Diagnostic{name.string(), at.line, at.column, "", std::string(error.description())});
  }
  return to_table(result.table());
}

}  // namespace culvert::config

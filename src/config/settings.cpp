// The file as it stands, key by key: what two configurations are compared by for people.
#include <fmt/format.h>

#include "syntax.h"

namespace culvert::config {
namespace {

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string text_of(const Node& node) {
  if (const auto* text = std::get_if<std::string>(&node.value)) return toml_string(*text);
  if (const auto* number = std::get_if<std::int64_t>(&node.value)) return fmt::format("{}", *number);
  if (const auto* number = std::get_if<double>(&node.value)) return fmt::format("{}", *number);
  if (const auto* flag = std::get_if<bool>(&node.value)) return *flag ? "true" : "false";
  std::string list;
  if (const auto* array = std::get_if<Array>(&node.value)) {
    for (const Node& element : *array) list += (list.empty() ? "" : ", ") + text_of(element);
    return "[" + list + "]";
  }
  if (const auto* table = std::get_if<Table>(&node.value)) {
    for (const Entry& entry : *table) list += (list.empty() ? "" : ", ") + entry.key + " = " + text_of(entry.node);
    return "{ " + list + " }";
  }
  return "?";
}

/// Tables within a table are keys of it: "auth.psk_file".
void add(const Table& table, const std::string& path, std::vector<Setting>& out) {
  for (const Entry& entry : table) {
    const std::string key = path.empty() ? entry.key : path + "." + entry.key;
    if (const auto* inner = std::get_if<Table>(&entry.node.value)) {
      add(*inner, key, out);
    } else {
      out.push_back({key, text_of(entry.node)});
    }
  }
}

}  // namespace

std::vector<SettingsTable> settings_of(const Table& root) {
  std::vector<SettingsTable> tables;
  for (const Entry& entry : root) {
    const auto* table = std::get_if<Table>(&entry.node.value);
    if (!table) continue;
    if (entry.key == "gateway") {
      add(*table, "", tables.emplace_back(SettingsTable{entry.key, "", {}}).settings);
      continue;
    }
    for (const Entry& named : *table) {
      const auto* content = std::get_if<Table>(&named.node.value);
      if (content) add(*content, "", tables.emplace_back(SettingsTable{entry.key, named.key, {}}).settings);
    }
  }
  return tables;
}

}  // namespace culvert::config

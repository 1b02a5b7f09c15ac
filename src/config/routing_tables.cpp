// Names of routing tables, as ip(8) knows them.
#include "routing_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <optional>
#include <set>

#include "rules.h"

namespace culvert::config {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t local_table = 255;  // RT_TABLE_LOCAL: the kernel's own addresses
constexpr std::size_t max_files = 256;
constexpr std::string_view spaces = " \t\r";

std::optional<std::uint32_t> number_of(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(spaces), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(spaces));
  line.remove_prefix(word.size());
  return word;
}

/// Where iproute2 looks: the administrator's file before the distribution's (since 6.5), and what stands beside it.
RoutingTables known_tables() {
  RoutingTables tables;
  const auto add = [&](const fs::path& file) {
    if (const auto text = read_text(file)) std::ranges::move(parse_routing_tables(*text), std::back_inserter(tables));
  };
  for (const fs::path folder : {"/etc/iproute2", "/usr/share/iproute2"}) {
    add(folder / "rt_tables");
    std::set<fs::path> others;
    std::error_code error;
    for (fs::directory_iterator at(folder / "rt_tables.d", error), end; !error && at != end; at.increment(error))
      if (at->path().extension() == ".conf" && others.size() < max_files) others.insert(at->path());
    std::ranges::for_each(others, add);
  }
  return tables;
}

}  // namespace

RoutingTables parse_routing_tables(std::string_view text) {
  RoutingTables tables;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = line.substr(0, line.find('#'));
    const auto number = number_of(take_word(line));
    const std::string_view name = take_word(line);
    if (number && !name.empty()) tables.emplace_back(name, *number);
  }
  return tables;
}

Field<std::uint32_t> read_routing_table(const ValueReader& reader) {
  Field<std::uint32_t> field{std::nullopt, true, reader.at()};
  std::optional<std::int64_t> number;
  if (const auto* name = std::get_if<std::string>(&reader.entry().node.value)) {
    if (*name == "off" || *name == "main") {
      field.value = *name == "off" ? 0 : main_table;
      return field;
    }
    const auto tables = known_tables();
    const auto known = std::ranges::find(tables, *name, &RoutingTables::value_type::first);
    if (known == tables.end()) {
      reader.wrong(fmt::format("{} is no routing table of /etc/iproute2/rt_tables: add it there, or write its number",
                               in_quotes(*name)));
      return field;
    }
    number = known->second;
  } else {
    number = reader.integer(1, std::numeric_limits<std::uint32_t>::max()).value;
  }
  if (!number) return field;
  if (*number == 0 || *number == local_table) {
    reader.wrong(
        "the kernel keeps the tables 0 and 255 (local) for itself: expected another, or \"off\" for no routes");
  } else {
    field.value = static_cast<std::uint32_t>(*number);
  }
  return field;
}

}  // namespace culvert::config

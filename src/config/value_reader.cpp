#include "value_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace culvert::config {
namespace {

constexpr std::size_t max_string_len = 1024;
constexpr std::size_t max_list_len = 4096;

template <class Unit>
struct UnitOf {
  std::string_view suffix;
  Unit factor;
};
constexpr std::array<UnitOf<std::uint64_t>, 5> duration_units = {{
    {"ms", 1},
    {"s", 1000},
    {"m", 60'000},
    {"h", 3'600'000},
    {"d", 86'400'000},
}};
constexpr std::array<UnitOf<std::uint64_t>, 10> size_units = {{
    {"", 1},
    {"B", 1},
    {"kB", 1000},
    {"MB", 1000'000},
    {"GB", 1000'000'000},
    {"TB", 1000'000'000'000},
    {"KiB", 1ull << 10},
    {"MiB", 1ull << 20},
    {"GiB", 1ull << 30},
    {"TiB", 1ull << 40},
}};

std::optional<std::uint64_t> parse_with_unit(std::string_view text, std::span<const UnitOf<std::uint64_t>> units,
                                             std::uint64_t max) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& unit : units) {
    if (unit.suffix != suffix) continue;
    if (number > max / unit.factor) return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

std::string_view type_name(const Node& node) {
  constexpr std::array<std::string_view, 7> names = {
      "a date or time", "a string", "an integer", "a number with a fraction", "a boolean", "an array", "a table"};
  return names[node.value.index()];
}

std::string join_prefix_hint(const IpPrefix& prefix) {
  const IpPrefix network{prefix.network(), prefix.length};
  return fmt::format("{} has host bits set; did you mean {} (the network) or {}/{} (one host)?", prefix.to_string(),
                     network.to_string(), prefix.address.to_string(), prefix.address.bits());
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  constexpr std::uint64_t max_ms = std::numeric_limits<std::int64_t>::max() / 1'000'000;
  const auto ms = parse_with_unit(text, duration_units, max_ms);
  if (!ms) return std::nullopt;
  return std::chrono::milliseconds(*ms);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse_with_unit(text, size_units, std::numeric_limits<std::int64_t>::max());
}

std::string to_text(Duration duration) {
  const auto ms = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
  for (auto unit = duration_units.rbegin(); unit != duration_units.rend(); ++unit) {
    if (ms != 0 && ms % unit->factor == 0) return fmt::format("{}{}", ms / unit->factor, unit->suffix);
  }
  return "0s";
}

void ValueReader::wrong_type(std::string_view expected) const {
  wrong(fmt::format("expected {}, got {}", expected, type_name(entry_.node)));
}

Field<std::string> ValueReader::text() const {
  auto field = started<std::string>();
  const auto* text = std::get_if<std::string>(&entry_.node.value);
  if (!text) {
    wrong_type("a string");
  } else if (text->empty()) {
    wrong("must not be empty");
  } else if (text->size() > max_string_len) {
    wrong(fmt::format("longer than {} bytes", max_string_len));
  } else if (text->find('\0') != std::string::npos) {
    wrong("holds a NUL character");
  } else {
    field.value = *text;
  }
  return field;
}

Field<std::int64_t> ValueReader::integer(std::int64_t min, std::int64_t max) const {
  auto field = started<std::int64_t>();
  const auto* number = std::get_if<std::int64_t>(&entry_.node.value);
  const std::string expected = fmt::format("an integer {} … {}", min, max);
  if (!number) {
    wrong_type(expected);
  } else if (*number < min || *number > max) {
    wrong(fmt::format("expected {}, got {}", expected, *number));
  } else {
    field.value = *number;
  }
  return field;
}

Field<std::int64_t> ValueReader::integer_or(std::string_view word, std::int64_t word_value, std::int64_t min,
                                            std::int64_t max) const {
  const auto* text = std::get_if<std::string>(&entry_.node.value);
  if (!text) return integer(min, max);
  auto field = started<std::int64_t>();
  if (*text == word) {
    field.value = word_value;
  } else {
    wrong(fmt::format("expected \"{}\" or an integer {} … {}, got {}", word, min, max, in_quotes(*text)));
  }
  return field;
}

Field<bool> ValueReader::boolean() const {
  auto field = started<bool>();
  const auto* flag = std::get_if<bool>(&entry_.node.value);
  if (flag) {
    field.value = *flag;
  } else {
    wrong_type("true or false");
  }
  return field;
}

Field<double> ValueReader::fraction(double min, double max) const {
  auto field = started<double>();
  const std::string expected = fmt::format("a number {} … {}", min, max);
  const auto* fractional = std::get_if<double>(&entry_.node.value);
  const auto* whole = std::get_if<std::int64_t>(&entry_.node.value);
  if (!fractional && !whole) {
    wrong_type(expected);
    return field;
  }
  const double number = fractional ? *fractional : static_cast<double>(*whole);
  if (number >= min && number <= max) {  // false for nan
    field.value = number;
  } else {
    wrong(fmt::format("expected {}, got {}", expected, number));
  }
  return field;
}

Field<Duration> ValueReader::duration(Duration min, Duration max, bool zero_allowed) const {
  auto field = started<Duration>();
  const std::string expected = fmt::format("a duration {} … {}{}, such as \"30s\" (units ms, s, m, h, d)", to_text(min),
                                           to_text(max), zero_allowed ? " or \"0s\" for never" : "");
  if (const auto* number = std::get_if<std::int64_t>(&entry_.node.value)) {
    wrong(fmt::format("expected {}; did you mean \"{}s\"?", expected, *number));
    return field;
  }
  const auto* text = std::get_if<std::string>(&entry_.node.value);
  if (!text) {
    wrong_type(expected);
    return field;
  }
  const auto parsed = parse_duration(*text);
  const bool fits = parsed && ((*parsed >= min && *parsed <= max) || (zero_allowed && *parsed == Duration::zero()));
  if (fits) {
    field.value = *parsed;
  } else {
    wrong(fmt::format("expected {}, got {}", expected, in_quotes(*text)));
  }
  return field;
}

Field<std::uint64_t> ValueReader::size(std::uint64_t min) const {
  auto field = started<std::uint64_t>();
  const std::string expected = fmt::format("an integer or a size such as \"10GiB\" or \"500MB\", at least {}", min);
  std::optional<std::uint64_t> parsed;
  std::string written;
  if (const auto* number = std::get_if<std::int64_t>(&entry_.node.value)) {
    if (*number >= 0) parsed = static_cast<std::uint64_t>(*number);
    written = fmt::format("{}", *number);
  } else if (const auto* text = std::get_if<std::string>(&entry_.node.value)) {
    parsed = parse_size(*text);
    written = in_quotes(*text);
  } else {
    wrong_type(expected);
    return field;
  }
  if (parsed && *parsed >= min) {
    field.value = *parsed;
  } else {
    wrong(fmt::format("expected {}, got {}", expected, written));
  }
  return field;
}

std::optional<std::size_t> ValueReader::word_index(const std::vector<std::string_view>& words) const {
  const std::string expected = one_of(words);
  const auto* text = std::get_if<std::string>(&entry_.node.value);
  if (!text) {
    wrong_type(expected);
    return std::nullopt;
  }
  const auto found = std::ranges::find(words, *text);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  const std::string_view near = nearest(*text, words);
  const std::string hint = near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
  wrong(fmt::format("expected {}, got {}{}", expected, in_quotes(*text), hint));
  return std::nullopt;
}

std::optional<std::vector<Located<std::string>>> ValueReader::strings(std::string_view expected,
                                                                      bool empty_allowed) const {
  if (const auto* text = std::get_if<std::string>(&entry_.node.value))
    return std::vector{Located<std::string>{*text, at()}};
  const auto* array = std::get_if<Array>(&entry_.node.value);
  if (!array) {
    wrong_type(expected);
    return std::nullopt;
  }
  if (array->empty() && !empty_allowed) {
    wrong(fmt::format("expected {}, at least one", expected));
    return std::nullopt;
  }
  if (array->size() > max_list_len) {
    wrong(fmt::format("more than {} entries", max_list_len));
    return std::nullopt;
  }
  std::vector<Located<std::string>> found;
  for (const Node& element : *array) {
    if (const auto* text = std::get_if<std::string>(&element.value)) {
      found.push_back({*text, element.at});
    } else {
      findings_.error(element.at, key_, fmt::format("expected {}, got {} in the array", expected, type_name(element)));
    }
  }
  return found;
}

Field<IpAddress> ValueReader::address() const {
  auto field = started<IpAddress>();
  const auto* text = std::get_if<std::string>(&entry_.node.value);
  if (!text) {
    wrong_type("an IPv4 or IPv6 address");
    return field;
  }
  field.value = IpAddress::parse(*text);
  if (!field.value) wrong(fmt::format("expected an IPv4 or IPv6 address, got {}", in_quotes(*text)));
  return field;
}

List<IpAddress> ValueReader::addresses() const {
  List<IpAddress> list{std::nullopt, true, at()};
  const std::size_t before = findings_.num_errors();
  const auto found = strings("an array of IPv4 or IPv6 addresses", false);
  if (!found) return list;
  std::vector<Located<IpAddress>> parsed;
  for (const auto& [text, where] : *found) {
    if (const auto address = IpAddress::parse(text)) {
      parsed.push_back({*address, where});
    } else {
      findings_.error(where, key_, fmt::format("expected an IPv4 or IPv6 address, got {}", in_quotes(text)));
    }
  }
  if (findings_.num_errors() == before) list.value = std::move(parsed);
  return list;
}

List<std::string> ValueReader::texts() const {
  List<std::string> list{std::nullopt, true, at()};
  list.value = strings("an array of strings", false);
  return list;
}

Field<PeerAddresses> ValueReader::peer_addresses() const {
  auto field = started<PeerAddresses>();
  const auto* text = std::get_if<std::string>(&entry_.node.value);
  if (text && *text == "any") {
    field.value = PeerAddresses{true, {}};
  } else if (auto found = strings("an array of host names and addresses, or \"any\"", false)) {
    field.value = PeerAddresses{false, std::move(*found)};
  }
  return field;
}

List<IpPrefix> ValueReader::prefixes(HostBits host_bits, bool empty_allowed) const {
  List<IpPrefix> list{std::nullopt, true, at()};
  const auto found = strings("an array of prefixes such as \"10.1.0.0/16\" or \"fd00::/64\"", empty_allowed);
  if (!found) return list;
  list.value.emplace();
  for (const auto& [text, where] : *found) {
    const auto prefix = IpPrefix::parse(text);
    if (!prefix) {
      findings_.error(
          where, key_,
          fmt::format("expected a prefix such as \"10.1.0.0/16\" or \"fd00::/64\", got {}", in_quotes(text)));
    } else if (host_bits == HostBits::refused && prefix->has_host_bits()) {
      findings_.error(where, key_, join_prefix_hint(*prefix));
    } else {
      list.value->push_back({*prefix, where});
    }
  }
  return list;
}

}  // namespace culvert::config

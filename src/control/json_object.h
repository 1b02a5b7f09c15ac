#pragma once
#include <fmt/format.h>

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/base/text.h"
#include "fields.h"

namespace culvert::control {

namespace json = boost::json;

// ---- writing
// ------------------------------------------------------------------------------------------------------------------

class ObjectWriter {
 public:
  void operator()(std::string_view name, const std::string& text) { put(name, value_of(text)); }
  void operator()(std::string_view name, bool value) { put(name, value); }
  void operator()(std::string_view name, unsigned value) { put(name, value); }
  void operator()(std::string_view name, std::uint64_t value) { put(name, value); }
  template <class T>
  void operator()(std::string_view name, const std::optional<T>& value) {
    put(name, value ? json::value(*value) : json::value(nullptr));
  }
  template <class T>
  void operator()(std::string_view name, const std::vector<T>& items) {
    put(name, array_of(items));
  }

  template <class T>
  static json::array array_of(const std::vector<T>& items) {
    json::array array;
    array.reserve(items.size());
    for (const T& item : items) array.emplace_back(value_of(item));
    return array;
  }
  template <class T>
  static json::value value_of(const T& report) {
    ObjectWriter writer;
    visit_fields(writer, report);
    return std::move(writer.object);
  }
  static json::value value_of(const std::string& text) { return json::value(json::string(printable(text))); }

  json::object object;

 private:
  void put(std::string_view name, json::value value) { object.emplace(json::string_view(name), std::move(value)); }
};

// ---- reading, tolerant
// --------------------------------------------------------------------------------------------------------

class ObjectReader {
 public:
  explicit ObjectReader(const json::object& object) : object_(object) {}

  void operator()(std::string_view name, std::string& text) const { read(find(name), text); }
  void operator()(std::string_view name, bool& value) const {
    const json::value* found = find(name);
    if (found && found->is_bool()) value = found->get_bool();
  }
  void operator()(std::string_view name, std::uint64_t& value) const { read_number(find(name), value); }
  void operator()(std::string_view name, std::uint32_t& value) const { read_number(find(name), value); }
  template <class T>
  void operator()(std::string_view name, std::optional<T>& value) const {
    const json::value* found = find(name);
    T number{};
    if (read_number(found, number)) value = number;
  }
  template <class T>
  void operator()(std::string_view name, std::vector<T>& items) const {
    const json::value* found = find(name);
    if (!found || !found->is_array()) return;
    for (const json::value& element : found->get_array()) {
      T item{};
      if (read(&element, item)) items.push_back(std::move(item));
    }
  }
  [[nodiscard]] const json::value* find(std::string_view name) const {
    return object_.if_contains(json::string_view(name));
  }

 private:
  static bool read(const json::value* from, std::string& text) {
    if (!from || !from->is_string()) return false;
    text.assign(from->get_string().data(), from->get_string().size());
    return true;
  }
  template <class T>
  static bool read(const json::value* from, T& report) {
    if (!from || !from->is_object()) return false;
    ObjectReader reader(from->get_object());
    visit_fields(reader, report);
    return true;
  }
  template <class T>
  static bool read_number(const json::value* from, T& number) {
    if (!from) return false;
    boost::system::error_code not_a_number;
    const T value = from->to_number<T>(not_a_number);
    if (!not_a_number) number = value;
    return !not_a_number;
  }

  const json::object& object_;
};

/// Depth 8 is enough for every message of the protocol; Boost.JSON parses without recursion, its limit bounds the
/// value's depth.
inline Result<json::object> parse_object(std::string_view line) {
  json::parse_options options;
  options.max_depth = 8;
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(line), error, {}, options);
  if (error) return fail(Errc::malformed, fmt::format("not JSON: {}", error.message()));
  if (!value.is_object()) return fail(Errc::malformed, "expected a JSON object");
  return std::move(value.get_object());
}

}  // namespace culvert::control

#include "culvert/control/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>

#include "culvert/base/text.h"
#include "fields.h"

namespace culvert::control {
namespace {

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
Result<json::object> parse_object(std::string_view line) {
  json::parse_options options;
  options.max_depth = 8;
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(line), error, {}, options);
  if (error) return fail(Errc::malformed, fmt::format("not JSON: {}", error.message()));
  if (!value.is_object()) return fail(Errc::malformed, "expected a JSON object");
  return std::move(value.get_object());
}

// ---- requests
// -----------------------------------------------------------------------------------------------------------------

struct CommandShape {
  std::string_view name;
  bool takes_peer;
  bool takes_what;
};
constexpr std::size_t max_path_len = 1024;
constexpr std::size_t max_gateway_len = 253;  // of a host name
constexpr std::array commands = {
    CommandShape{"status", false, false}, CommandShape{"drops", false, false}, CommandShape{"up", true, false},
    CommandShape{"down", true, false},    CommandShape{"rekey", true, true},   CommandShape{"redirect", false, true},
    CommandShape{"users", false, false},  CommandShape{"kick", false, true},
    CommandShape{"reload", false, true},  CommandShape{"diff", false, true},
};

Result<void> check_members(const json::object& object) {
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key != "command" && key != "peer" && key != "what") {
      return fail(Errc::malformed, fmt::format("unknown member \"{}\"", printable(key.substr(0, max_name_len))));
    }
    if (!member.value().is_string()) return fail(Errc::malformed, fmt::format("\"{}\" must be a string", key));
  }
  return {};
}

bool is_reload_way(const std::string& what) {
  if (what.empty() || what == "dry-run" || what == "confirmed" || what == "revert") return true;
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(what.data(), what.data() + what.size(), seconds);
  return error == std::errc() && end == what.data() + what.size() && seconds >= 1 && seconds <= 86400;
}

Result<void> check_shape(Request& request) {
  const auto shape = std::ranges::find(commands, request.command, &CommandShape::name);
  if (shape == commands.end()) {
    return fail(Errc::malformed,
                "\"command\" must be \"status\", \"users\", \"drops\", \"up\", \"down\", \"rekey\", \"redirect\", "
                "\"kick\", \"reload\" or \"diff\"");
  }
  if (shape->takes_peer != !request.peer.empty()) {
    return fail(Errc::malformed,
                fmt::format("\"{}\" {} \"peer\"", shape->name, shape->takes_peer ? "needs a" : "takes no"));
  }
  if (request.peer.size() > max_name_len) return fail(Errc::malformed, "\"peer\" is longer than a name can be");
  if (!shape->takes_what) {
    if (request.what.empty()) return {};
    return fail(Errc::malformed, fmt::format("\"{}\" takes no \"what\"", shape->name));
  }
  if (request.command == "redirect") {
    if (!request.what.empty() && request.what.size() <= max_gateway_len) return {};
    return fail(Errc::malformed, "\"redirect\" needs the gateway as \"what\", or \"none\"");
  }
  if (request.command == "kick") {
    if (!request.what.empty() && request.what.size() <= max_user_len) return {};
    return fail(Errc::malformed, "\"kick\" needs the user as \"what\"");
  }
  if (request.command == "reload") {
    if (is_reload_way(request.what)) return {};
    return fail(Errc::malformed,
                "\"what\" of a reload is left out, or \"dry-run\", \"confirmed\", \"revert\", or 1 to 86400 seconds");
  }
  if (request.command == "diff") {
    if (request.what.empty() || (request.what.front() == '/' && request.what.size() <= max_path_len)) return {};
    return fail(Errc::malformed, "\"what\" of a diff is left out, or the whole path of a file");
  }
  if (request.what.empty()) request.what = "both";
  if (request.what != "ike" && request.what != "children" && request.what != "both") {
    return fail(Errc::malformed, "\"what\" must be \"ike\", \"children\" or \"both\"");
  }
  return {};
}

}  // namespace

std::string to_json(const Request& request) {
  ObjectWriter out;
  out("command", request.command);
  if (!request.peer.empty()) out("peer", request.peer);
  if (!request.what.empty()) out("what", request.what);
  return json::serialize(out.object);
}

std::string to_json(const Response& response) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  out("ok", response.ok);
  if (!response.ok) {
    out("code", response.code);
    out("error", response.error);
    if (!response.mistakes.empty()) out("mistakes", response.mistakes);
  }
  if (response.ok && !response.message.empty()) out("message", response.message);
  if (response.status) out.object["status"] = ObjectWriter::value_of(*response.status);
  if (response.drops) out("drops", *response.drops);
  if (response.users) out("users", *response.users);
  if (response.changes) out("changes", *response.changes);
  return json::serialize(out.object);
}

std::string to_json(const StatusReport& status) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  visit_fields(out, status);
  return json::serialize(out.object);
}

std::string to_json(const std::vector<DropReport>& drops) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  out("drops", drops);
  return json::serialize(out.object);
}

std::string to_json(const std::vector<UserReport>& users) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  out("users", users);
  return json::serialize(out.object);
}

std::string to_json(const std::vector<FindingReport>& findings) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  out("findings", findings);
  return json::serialize(out.object);
}

std::string to_json(const std::vector<ChangeReport>& changes) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  out("changes", changes);
  return json::serialize(out.object);
}

Result<Request> parse_request(std::string_view line) {
  if (line.size() > max_request_len) return fail(Errc::malformed, fmt::format("longer than {} bytes", max_request_len));
  auto object = parse_object(line);
  if (!object) return std::unexpected(object.error());
  if (auto known = check_members(*object); !known) return std::unexpected(known.error());
  Request request;
  const ObjectReader reader(*object);
  reader("command", request.command);
  reader("peer", request.peer);
  reader("what", request.what);
  if (auto fits = check_shape(request); !fits) return std::unexpected(fits.error());
  return request;
}

Result<Response> parse_response(std::string_view line) {
  if (line.size() > max_response_len)
    return fail(Errc::malformed, fmt::format("longer than {} bytes", max_response_len));
  auto object = parse_object(line);
  if (!object) return std::unexpected(object.error());
  const ObjectReader reader(*object);
  std::uint64_t schema = 0;
  reader("schema", schema);
  if (schema != static_cast<std::uint64_t>(schema_version)) {
    return fail(Errc::malformed, fmt::format("the daemon speaks schema {}, this command {}", schema, schema_version));
  }
  Response response;
  reader("ok", response.ok);
  reader("code", response.code);
  reader("error", response.error);
  reader("message", response.message);
  if (const json::value* status = reader.find("status"); status && status->is_object()) {
    const ObjectReader inner(status->get_object());
    visit_fields(inner, response.status.emplace());
  }
  if (const json::value* drops = reader.find("drops"); drops && drops->is_array()) {
    reader("drops", response.drops.emplace());
  }
  if (const json::value* users = reader.find("users"); users && users->is_array()) {
    reader("users", response.users.emplace());
  }
  reader("mistakes", response.mistakes);
  if (const json::value* changes = reader.find("changes"); changes && changes->is_array()) {
    reader("changes", response.changes.emplace());
  }
  return response;
}

}  // namespace culvert::control

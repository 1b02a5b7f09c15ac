#include "culvert/control/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "culvert/base/text.h"
#include "culvert/control/ping.h"
#include "json_object.h"

namespace culvert::control {
namespace {

// ---- requests
// -----------------------------------------------------------------------------------------------------------------

struct CommandShape {
  std::string_view name;
  bool takes_peer;
  bool takes_what;
  bool peer_optional = false;
};
constexpr std::size_t max_path_len = 1024;
constexpr std::size_t max_gateway_len = 253;  // of a host name
constexpr std::array commands = {
    CommandShape{"status", false, false},
    CommandShape{"drops", false, false},
    CommandShape{"up", true, false},
    CommandShape{"down", true, false},
    CommandShape{"rekey", true, true},
    CommandShape{"redirect", false, true},
    CommandShape{"users", false, false},
    CommandShape{"kick", false, true},
    CommandShape{"reload", false, true},
    CommandShape{"diff", false, true},
    CommandShape{"monitor", true, false, true},
    CommandShape{"trace", true, false, true},
    CommandShape{"routes", false, false},
    CommandShape{"log-level", false, true},
    CommandShape{"reauth", true, false},
    CommandShape{"ping", true, true},
    CommandShape{"mtu", true, true},
    CommandShape{"capture", true, false, true},
    CommandShape{"keys", true, true, true},
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

bool is_seconds(const std::string& what, unsigned most) {
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(what.data(), what.data() + what.size(), seconds);
  return error == std::errc() && end == what.data() + what.size() && seconds >= 1 && seconds <= most;
}

bool is_reload_way(const std::string& what) {
  return what.empty() || what == "dry-run" || what == "confirmed" || what == "revert" || is_seconds(what, 86400);
}

Result<void> check_shape(Request& request) {
  const auto shape = std::ranges::find(commands, request.command, &CommandShape::name);
  if (shape == commands.end()) {
    return fail(Errc::malformed,
                "\"command\" must be \"status\", \"users\", \"drops\", \"up\", \"down\", \"rekey\", \"redirect\", "
                "\"kick\", \"reload\", \"diff\", \"monitor\", \"trace\", \"routes\", \"log-level\", \"reauth\", "
                "\"ping\", \"mtu\", \"capture\" or \"keys\"");
  }
  if (shape->takes_peer != !request.peer.empty() && !(shape->peer_optional && request.peer.empty())) {
    return fail(Errc::malformed,
                fmt::format("\"{}\" {} \"peer\"", shape->name, shape->takes_peer ? "needs a" : "takes no"));
  }
  const std::size_t longest = shape->peer_optional ? max_user_len : max_name_len;  // a client's name has its user in it
  if (request.peer.size() > longest) return fail(Errc::malformed, "\"peer\" is longer than a name can be");
  if (!shape->takes_what) {
    if (request.what.empty()) return {};
    return fail(Errc::malformed, fmt::format("\"{}\" takes no \"what\"", shape->name));
  }
  if (request.command == "redirect") {
    if (!request.what.empty() && request.what.size() <= max_gateway_len) return {};
    return fail(Errc::malformed, "\"redirect\" needs the gateway as \"what\", or \"none\"");
  }
  if (request.command == "ping") {
    if (auto read = parse_ping(request.what); !read) return std::unexpected(read.error());
    return {};
  }
  if (request.command == "mtu") {
    if (request.what == "search" || request.what == "show") return {};
    return fail(Errc::malformed, "\"what\" of a mtu is \"search\" or \"show\"");
  }
  if (request.command == "kick") {
    if (!request.what.empty() && request.what.size() <= max_user_len) return {};
    return fail(Errc::malformed, "\"kick\" needs the user as \"what\"");
  }
  if (request.command == "log-level") {
    constexpr std::array<std::string_view, 5> levels = {"", "debug", "info", "warning", "error"};
    if (std::ranges::find(levels, request.what) != levels.end()) return {};
    return fail(Errc::malformed, "\"what\" of \"log-level\" is left out, or debug, info, warning or error");
  }
  if (request.command == "reload") {
    if (is_reload_way(request.what)) return {};
    return fail(Errc::malformed,
                "\"what\" of a reload is left out, or \"dry-run\", \"confirmed\", \"revert\", or 1 to 86400 seconds");
  }
  if (request.command == "keys") {
    if (request.what == "more" || request.what == "stop" || is_seconds(request.what, max_key_export_s)) return {};
    return fail(Errc::malformed, fmt::format("\"what\" of keys is 1 to {} seconds, \"more\" or \"stop\"", max_key_export_s));
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
  if (response.trace) out("trace", *response.trace);
  if (response.routes) out("routes", *response.routes);
  if (response.log_level) out.object["log_level"] = ObjectWriter::value_of(*response.log_level);
  if (response.capture) out.object["capture"] = ObjectWriter::value_of(*response.capture);
  if (response.keys) out("keys", *response.keys);
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

std::string to_json(const LogLevelReport& level) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  visit_fields(out, level);
  return json::serialize(out.object);
}

std::string to_json(const std::vector<RouteReport>& routes) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  out("routes", routes);
  return json::serialize(out.object);
}

std::string to_json(const std::vector<TraceReport>& trace) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  out("trace", trace);
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

bool is_stream(const Request& request) noexcept {
  return request.command == "monitor" || request.command == "ping" || request.command == "mtu";
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
  if (const json::value* capture = reader.find("capture"); capture && capture->is_object()) {
    const ObjectReader inner(capture->get_object());
    visit_fields(inner, response.capture.emplace());
  }
  if (const json::value* keys = reader.find("keys"); keys && keys->is_array()) reader("keys", response.keys.emplace());
  reader("mistakes", response.mistakes);
  if (const json::value* changes = reader.find("changes"); changes && changes->is_array()) {
    reader("changes", response.changes.emplace());
  }
  if (const json::value* trace = reader.find("trace"); trace && trace->is_array()) {
    reader("trace", response.trace.emplace());
  }
  if (const json::value* routes = reader.find("routes"); routes && routes->is_array()) {
    reader("routes", response.routes.emplace());
  }
  if (const json::value* level = reader.find("log_level"); level && level->is_object()) {
    const ObjectReader inner(level->get_object());
    visit_fields(inner, response.log_level.emplace());
  }
  return response;
}

}  // namespace culvert::control

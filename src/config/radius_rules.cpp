// [radius.NAME].
#include <fmt/format.h>

#include <charconv>

#include "rules.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_servers = 16;

std::vector<Endpoint> servers_in(const List<std::string>& raw, const std::string& key, std::uint16_t port,
                                 Findings& findings) {
  std::vector<Endpoint> servers;
  if (!raw.value) return servers;
  if (raw.value->size() > max_servers) findings.error(raw.at, key, fmt::format("more than {} servers", max_servers));
  for (const auto& [text, at] : *raw.value) {
    const auto server = parse_endpoint(text, port);
    if (server) servers.push_back(*server);
    if (!server)
      findings.error(at, key,
                     fmt::format("expected an address, with or without a port, such as \"192.0.2.1\" or "
                                 "\"[2001:db8::1]:{}\"; got {}",
                                 port, in_quotes(text)));
  }
  return servers;
}

}  // namespace

std::optional<Endpoint> parse_endpoint(std::string_view text, std::uint16_t port) {
  if (const auto address = IpAddress::parse(text)) return Endpoint{*address, port};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port == 0) return std::nullopt;
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  if (!address || address->is_v4() == bracketed) return std::nullopt;
  return Endpoint{*address, port};
}

RadiusSettings check_radius(const RawRadius& raw, Credentials& credentials, Findings& findings) {
  RadiusSettings made;
  made.name = raw.name;
  made.servers = servers_in(raw.servers, raw.key("servers"), 1812, findings);
  made.accounting = servers_in(raw.accounting, raw.key("accounting"), 1813, findings);
  if (raw.secret_file.value)
    made.secret = credentials.secret_line(*raw.secret_file.value, raw.secret_file.at, raw.key("secret_file"));
  made.nas_id = raw.nas_id.value.value_or("");
  made.timeout = raw.timeout.value.value_or(made.timeout);
  made.dead_time = raw.dead_time.value.value_or(made.dead_time);
  made.interim = raw.interim.value.value_or(made.interim);
  made.tries = static_cast<int>(raw.tries.value.value_or(made.tries));
  return made;
}

}  // namespace culvert::config

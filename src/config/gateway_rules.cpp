#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "culvert/crypto/aead.h"
#include "rules.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_socket_path_len = sizeof(sockaddr_un::sun_path) - 1;

std::filesystem::path resolved(const Field<std::string>& field, const std::filesystem::path& fallback,
                               const std::filesystem::path& folder) {
  return field.value ? folder / *field.value : fallback;
}

void check_listen(const RawGateway& raw, GatewayConfig& gateway, Findings& findings) {
  if (!raw.listen.present) {
    gateway.listen = {IpAddress::any(IpFamily::v4), IpAddress::any(IpFamily::v6)};
    return;
  }
  if (!raw.listen.value) return;
  for (const auto& [address, at] : *raw.listen.value) {
    if (address.is_multicast()) {
      findings.error(at, "gateway.listen",
                     fmt::format("{} is a multicast address: expected one of our own", address.to_string()));
    } else if (std::ranges::find(gateway.listen, address) != gateway.listen.end()) {
      findings.error(at, "gateway.listen", fmt::format("{} is listed twice", address.to_string()));
    } else {
      gateway.listen.push_back(address);
    }
  }
}

void check_ports(const RawGateway& raw, GatewayConfig& gateway, Findings& findings) {
  gateway.ike_port = static_cast<std::uint16_t>(raw.port.value.value_or(gateway.ike_port));
  gateway.nat_port = static_cast<std::uint16_t>(raw.nat_port.value.value_or(gateway.nat_port));
  gateway.tcp_port = static_cast<std::uint16_t>(raw.tcp_port.value.value_or(gateway.tcp_port));
  if (gateway.ike_port != gateway.nat_port) return;
  const bool nat_is_named = raw.nat_port.present;
  findings.error(
      nat_is_named ? raw.nat_port.at : raw.port.at, nat_is_named ? "gateway.nat_port" : "gateway.port",
      fmt::format("port and nat_port are both {}: datagrams of the two are told apart by the port, choose another",
                  gateway.nat_port));
}

void check_paths(const RawGateway& raw, const std::filesystem::path& folder, GatewayConfig& gateway,
                 Findings& findings) {
  gateway.control_socket = resolved(raw.control_socket, gateway.control_socket, folder);
  gateway.state_dir = resolved(raw.state_dir, gateway.state_dir, folder);
  if (raw.control_socket.value && gateway.control_socket.string().size() > max_socket_path_len) {
    findings.error(raw.control_socket.at, "gateway.control_socket",
                   fmt::format("the path of a socket has at most {} bytes", max_socket_path_len));
  }
}

void check_metrics(const RawGateway& raw, const std::filesystem::path& folder, GatewayConfig& gateway,
                   Findings& findings) {
  constexpr std::string_view unix_prefix = "unix:";
  const auto wrong = [&](std::string message) {
    findings.error(raw.metrics.at, "gateway.metrics", std::move(message));
  };
  for (const auto& [prefix, at] : raw.metrics_from.value.value_or(std::vector<Located<IpPrefix>>{}))
    gateway.metrics_from.push_back(prefix);
  if (raw.metrics_from.present && !raw.metrics.present)
    findings.error(raw.metrics_from.at, "gateway.metrics_from", "`metrics` is missing: nothing is served");
  if (!raw.metrics.value) return;
  const std::string_view text = *raw.metrics.value;
  if (text.starts_with(unix_prefix)) {
    const std::filesystem::path path = folder / text.substr(unix_prefix.size());
    if (text.size() == unix_prefix.size()) return wrong("the path of the socket is missing behind \"unix:\"");
    if (path.string().size() > max_socket_path_len)
      return wrong(fmt::format("the path of a socket has at most {} bytes", max_socket_path_len));
    if (path == gateway.control_socket) return wrong("the control socket has this path");
    if (raw.metrics_from.present)
      findings.error(raw.metrics_from.at, "gateway.metrics_from",
                     "does not go with a unix socket: root may ask, and the group `control_group`");
    gateway.metrics = MetricsAddress{{}, path};
    return;
  }
  const auto endpoint = parse_endpoint(text, metrics_port);
  if (!endpoint)
    return wrong(fmt::format("expected an address, such as \"127.0.0.1\" or \"[::1]:{}\", or \"unix:PATH\"; got {}",
                             metrics_port, in_quotes(text)));
  if (endpoint->address.is_multicast()) return wrong("is a multicast address: expected one of our own");
  if (!endpoint->address.is_loopback() && !raw.metrics_from.present)
    return wrong(fmt::format("{} is no loopback address: say who may ask, by metrics_from = [\"PREFIX\", …]",
                             endpoint->address.to_string()));
  gateway.metrics = MetricsAddress{*endpoint, {}};
}

}  // namespace

std::string check_aead(const Field<std::string_view>& raw, std::span<const std::string_view> available,
                       Findings& findings) {
  if (!raw.value || *raw.value == "auto") return {};
  if (std::ranges::find(available, *raw.value) == available.end()) {
    findings.error(raw.at, "gateway.aead",
                   fmt::format("this CPU cannot run {}; it has {} (\"auto\" takes the first)", in_quotes(*raw.value),
                               fmt::join(available, ", ")));
  }
  return std::string(*raw.value);
}

GatewayConfig check_gateway(const RawGateway& raw, const std::filesystem::path& folder, Findings& findings) {
  GatewayConfig gateway;
  if (raw.id.value) {
    if (auto id = ike::Identity::parse(*raw.id.value)) {
      gateway.id = std::move(*id);
    } else {
      findings.error(raw.id.at, "gateway.id", id.error().detail);
    }
  }
  check_listen(raw, gateway, findings);
  check_ports(raw, gateway, findings);
  check_paths(raw, folder, gateway, findings);
  const std::int64_t workers = raw.workers.value.value_or(0);
  gateway.workers =
      workers != 0 ? static_cast<unsigned>(workers) : std::clamp(std::thread::hardware_concurrency(), 1u, 256u);
  gateway.busy_poll = std::chrono::microseconds(raw.busy_poll_us.value.value_or(0));
  gateway.aead = check_aead(raw.aead, crypto::aead_implementations(), findings);
  gateway.log_format = raw.log_format.value.value_or(gateway.log_format);
  gateway.log_level = raw.log_level.value.value_or(gateway.log_level);
  gateway.redirect = raw.redirect.value.value_or("");
  if (raw.redirect.value && !IpAddress::parse(gateway.redirect) && !is_host_name(gateway.redirect)) {
    findings.error(raw.redirect.at, "gateway.redirect",
                   fmt::format("expected a host name or an address, got {}", in_quotes(gateway.redirect)));
  }
  gateway.fwmark = static_cast<std::uint32_t>(raw.fwmark.value.value_or(0));
  gateway.crash_detection = raw.crash_detection.value.value_or(gateway.crash_detection);
  gateway.allow_key_export = raw.allow_key_export.value.value_or(gateway.allow_key_export);
  gateway.user = raw.user.value.value_or(gateway.user);
  gateway.sandbox = raw.sandbox.value.value_or(gateway.sandbox);
  check_metrics(raw, folder, gateway, findings);
  gateway.control_group = raw.control_group.value.value_or(gateway.control_group);
  return gateway;
}

}  // namespace culvert::config

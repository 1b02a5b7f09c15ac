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
  gateway.log_level = raw.log_level.value.value_or(gateway.log_level);
  gateway.redirect = raw.redirect.value.value_or("");
  if (raw.redirect.value && !IpAddress::parse(gateway.redirect) && !is_host_name(gateway.redirect)) {
    findings.error(raw.redirect.at, "gateway.redirect",
                   fmt::format("expected a host name or an address, got {}", in_quotes(gateway.redirect)));
  }
  gateway.crash_detection = raw.crash_detection.value.value_or(gateway.crash_detection);
  gateway.user = raw.user.value.value_or(gateway.user);
  gateway.sandbox = raw.sandbox.value.value_or(gateway.sandbox);
  gateway.control_group = raw.control_group.value.value_or(gateway.control_group);
  return gateway;
}

}  // namespace culvert::config

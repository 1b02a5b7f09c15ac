// A client's profile becomes the configuration of a daemon with one peer and one tunnel.
#include "culvert/config/client_profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "keys.h"
#include "rules.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_name_len = 32, max_device_len = 15;

template <class T>
Field<T> given(T value, Position at) {
  return {std::move(value), true, at};
}

/// What a profile does not say, or says in fewer words.
void complete(RawClient& raw, const std::string& name, Findings& findings) {
  const Position top{1, 1};
  raw.gateway.at = raw.peer.at = raw.tunnel.at = top;
  raw.peer.name = raw.tunnel.name = name;
  raw.tunnel.peer = given(name, top);
  raw.tunnel.carry = given(tunnel::Carry::ip, top);
  if (!raw.tunnel.device.present) raw.tunnel.device = given(("cv-" + name).substr(0, max_device_len), top);
  if (!raw.peer.virtual_address.present) raw.peer.virtual_address = given(VirtualAddress{true, true}, top);
  raw.gateway.crash_detection = given(false, top);  // nobody calls us
  const auto& address = raw.peer.address;
  if (address.value && address.value->any)
    findings.error(address.at, "server", "expected the name or address of a gateway, got \"any\"");
  if (!raw.peer.id.present && address.value && !address.value->names.empty())
    raw.peer.id = given(address.value->names.front().value, address.value->names.front().at);
  if (raw.ca.present && raw.peer.peer_auth.present)
    findings.error(raw.ca.at, "ca", "stands beside `peer_auth`, which says the same: leave one of them out");
  const bool by_psk = raw.peer.auth.value && raw.peer.auth.value->psk_file.present;
  if (raw.ca.value) {
    RawPeerAuth by_certificate;
    by_certificate.at = raw.ca.at;
    by_certificate.ca = raw.ca;
    raw.peer.peer_auth = given(std::move(by_certificate), raw.ca.at);
  } else if (!raw.ca.present && !raw.peer.peer_auth.present && !by_psk) {
    findings.error(top, "ca", "is required, and missing: what the gateway's certificate is checked by");
  }
}

ClientProfile profile_of(const RawClient& raw, std::string name, Config config) {
  ClientProfile profile;
  profile.name = std::move(name);
  profile.device = raw.tunnel.device.value.value_or("");
  profile.ports = {static_cast<std::uint16_t>(raw.peer.port.value.value_or(500)),
                   static_cast<std::uint16_t>(raw.peer.nat_port.value.value_or(4500))};
  if (!config.peers.empty()) {
    profile.servers = config.peers.front().addresses;
    profile.tcp_port = config.peers.front().tcp_port;
    profile.raw_esp = config.peers.front().encapsulation != ike::EncapsulationPreference::udp;
  }
  profile.dns = raw.dns.value.value_or(true);
  profile.kill_switch = raw.kill_switch.value.value_or(false);
  profile.config = std::move(config);
  return profile;
}

}  // namespace

bool is_client_name(std::string_view name) noexcept {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  return !name.empty() && name.size() <= max_name_len && name[0] != '-' &&
         name.find_first_not_of(allowed) == std::string_view::npos;
}

std::expected<ClientProfile, std::vector<Diagnostic>> parse_client(std::string_view text,
                                                                   const std::filesystem::path& file) {
  const auto root = parse_syntax(text, file);
  if (!root) return std::unexpected(std::vector{root.error()});
  Findings findings(file.string());
  const std::string name = file.stem().string();
  if (!is_client_name(name))
    findings.error({}, "",
                   fmt::format("the name of the file names the connection: 1 … {} letters, digits, '_' and '-' before "
                               ".toml, and no '-' in front",
                               max_name_len));
  RawClient raw;
  read_table(*root, {1, 1}, "", client_keys(), raw, findings);
  complete(raw, name, findings);
  RawFile whole;
  whole.gateway = raw.gateway;
  whole.peers.push_back(raw.peer);
  whole.tunnels.push_back(raw.tunnel);
  Config config = check_file(whole, file.parent_path(), findings);
  if (findings.has_errors()) return std::unexpected(findings.take_errors());
  config.warnings = findings.take_warnings();
  return profile_of(raw, name, std::move(config));
}

std::expected<ClientProfile, std::vector<Diagnostic>> load_client(const std::filesystem::path& file) {
  const auto text = read_text(file);
  if (!text) return std::unexpected(std::vector{text.error()});
  return parse_client(*text, file);
}

}  // namespace culvert::config

// Text → syntax tree → typed values → checked configuration.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "culvert/base/text.h"
#include "culvert/config/config.h"
#include "culvert/config/program_file.h"
#include "culvert/config/secret_file.h"
#include "culvert/eap/server.h"
#include "keys.h"
#include "profiles.h"
#include "rules.h"

namespace culvert::config {
namespace {

/// No peer: an id beyond every index.
constexpr PeerId unknown_peer{0xffff'ffff};

/// Which peer each tunnel names; unknown names are reported, and so are peers that nobody names.
std::vector<std::optional<PeerId>> match_peers(const RawFile& raw, Findings& findings) {
  std::map<std::string_view, PeerId> by_name;
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < raw.peers.size(); ++i) {
    by_name.emplace(raw.peers[i].name, PeerId{static_cast<std::uint32_t>(i)});
    names.push_back(raw.peers[i].name);
  }
  std::vector<bool> used(raw.peers.size());
  std::vector<std::optional<PeerId>> peers;
  for (const RawTunnel& tunnel : raw.tunnels) {
    peers.emplace_back();
    if (!tunnel.peer.value) continue;
    if (const auto found = by_name.find(*tunnel.peer.value); found != by_name.end()) {
      peers.back() = found->second;
      used[found->second.value()] = true;
      continue;
    }
    const std::string_view near = nearest(*tunnel.peer.value, names);
    if (!near.empty()) used[by_name[near].value()] = true;  // one mistake, one message
    const std::string hint = near.empty() ? fmt::format("; a [peer.NAME] with that name is needed")
                                          : fmt::format("; did you mean '{}'?", near);
    findings.error(tunnel.peer.at, tunnel.key("peer"),
                   fmt::format("there is no peer {}{}", in_quotes(*tunnel.peer.value), hint));
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    findings.error(
        raw.peers[i].at, dotted("peer", raw.peers[i].name),
        "no tunnel names this peer, so there is nothing to carry: add a [tunnel.NAME] with that peer, or remove it");
  }
  return peers;
}

Config check(const RawFile& raw, const std::filesystem::path& folder, Findings& findings) {
  Config config;
  Credentials credentials(folder, findings);
  const RawGateway gateway = raw.gateway.value_or(RawGateway{});
  if (raw.gateway) config.gateway = check_gateway(gateway, folder, findings);
  AuthDefaults defaults = check_defaults(gateway, config.gateway, credentials, findings);
  for (const RawRadius& radius : raw.radius) {
    config.radius.push_back(check_radius(radius, credentials, findings));
    defaults.radius.push_back(radius.name);
  }
  config.users = credentials.users(gateway.users, "gateway.users", config.users_file);
  for (const RawPeer& peer : raw.peers) {
    const PeerId id{static_cast<std::uint32_t>(config.peers.size())};
    config.peers.push_back(check_peer(peer, id, config.gateway, findings));
    fill_addressing(peer, raw, config.peers.back());
    check_authentication(peer, gateway, config.gateway, defaults, config.peers.back(), credentials, findings);
    warn_of_one_identity(peer, config.peers.back(), findings);
  }
  const bool has_passwords = std::ranges::any_of(config.peers, [](const ike::PeerConfig& peer) {
    const ike::PeerEap* eap = peer.auth.peer_eap();
    return eap && eap->server && std::ranges::count(eap->server->methods, eap::Type::mschapv2) > 0;
  });
  if (has_passwords && !gateway.users.present)
    findings.error(gateway.at, "gateway.users", "is required for eap = \"mschapv2\", and missing: the file of users");
  if (raw.gateway) check_own_identity(gateway, defaults, config.peers, config.gateway, findings);
  const auto peers = match_peers(raw, findings);
  for (std::size_t i = 0; i < raw.tunnels.size(); ++i) {
    const TunnelId id{static_cast<std::uint32_t>(i)};
    config.tunnels.push_back(check_tunnel(raw.tunnels[i], id, peers[i].value_or(unknown_peer), findings));
  }
  check_identities(raw.peers, config.peers, findings);
  check_devices(raw.tunnels, findings);
  check_nets(raw.tunnels, config.tunnels, config.peers, findings);
  make_children(raw.tunnels, config.tunnels, config.peers, findings);
  if (raw.gateway && raw.peers.empty())
    findings.warn({1, 1}, "peer", "there is no [peer.NAME]: the gateway will carry nothing");
  config.pools = check_pools(raw, findings);
  config.uses_hooks =
      std::ranges::any_of(config.tunnels, [](const TunnelSettings& one) { return one.hooks != nullptr; });
  config.uses_token = credentials.uses_token();
  config.revocation = credentials.take_revocation();
  config.certificates = credentials.take_certificates();
  config.gateway.raw_esp = std::ranges::any_of(config.peers, [](const ike::PeerConfig& peer) {
    return peer.encapsulation != ike::EncapsulationPreference::udp;
  });
  config.next_id = static_cast<std::uint32_t>(std::max(config.peers.size(), config.tunnels.size()));
  return config;
}

}  // namespace

std::expected<std::string, Diagnostic> read_text(const std::filesystem::path& file) {
  const auto trouble = [&](int error) {
    return Diagnostic{file.string(), 0, 0, "", fmt::format("cannot read: {}", std::strerror(error))};
  };
  const int fd = open_file_of_configuration(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return std::unexpected(trouble(errno));
  constexpr std::size_t piece = 64 * 1024;
  std::string text;
  std::size_t len = 0;
  int error = 0;
  while (len <= max_text_len) {
    if (len == text.size()) text.resize(std::min(len + std::max(len, piece), max_text_len + 1));
    const ssize_t got = ::read(fd, text.data() + len, text.size() - len);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    len += static_cast<std::size_t>(got);
  }
  ::close(fd);
  if (error != 0) return std::unexpected(trouble(error));
  text.resize(len);
  return text;
}

const ike::PeerConfig* Config::peer(PeerId id) const noexcept {
  if (id.value() < peers.size() && peers[id.value()].id == id) return &peers[id.value()];
  const auto found = place_of_peer_.find(id);
  return found == place_of_peer_.end() ? nullptr : &peers[found->second];
}

const ike::PeerConfig* Config::peer_named(std::string_view name) const noexcept {
  const auto found = std::ranges::find(peers, name, &ike::PeerConfig::name);
  return found == peers.end() ? nullptr : &*found;
}

const TunnelSettings* Config::tunnel_named(std::string_view name) const noexcept {
  const auto found = std::ranges::find_if(tunnels, [&](const auto& tunnel) { return tunnel.plane.name == name; });
  return found == tunnels.end() ? nullptr : &*found;
}

const TunnelSettings* Config::tunnel_of(ChildId child) const noexcept {
  const auto found = std::ranges::find_if(tunnels, [&](const auto& tunnel) { return tunnel.plane.child == child; });
  return found == tunnels.end() ? nullptr : &*found;
}

void Config::index_peers() {
  place_of_peer_.clear();
  for (std::size_t i = 0; i < peers.size(); ++i)
    if (peers[i].id.value() != i) place_of_peer_.emplace(peers[i].id, i);
}

std::string Diagnostic::to_string() const {
  std::string text = printable(file);
  if (line != 0) text += fmt::format(":{}:{}", line, column);
  if (!key.empty()) text += ": " + printable(key);
  return text + ": " + printable(message);
}

Config check_file(RawFile& raw, const std::filesystem::path& folder, Findings& findings) {
  apply_profiles(raw, findings);
  complete_tunnels(raw, findings);
  return check(raw, folder, findings);
}

namespace {

constexpr std::size_t max_merged_files = 65536;

std::expected<Config, std::vector<Diagnostic>> finish(const Table& root, const std::filesystem::path& folder,
                                                      Findings& findings) {
  RawFile raw = read_file(root, findings);
  Config config = check_file(raw, folder, findings);
  if (findings.has_errors()) return std::unexpected(findings.take_errors());
  config.warnings = findings.take_warnings();
  config.settings = settings_of(root);
  return config;
}

/// conf.d/*.toml beside `file`, in the order of their names.
std::expected<std::set<std::filesystem::path>, Diagnostic> merged_files(const std::filesystem::path& file) {
  const auto folder = file.parent_path() / "conf.d";
  const auto trouble = [&](std::string why) {
    return std::unexpected(Diagnostic{folder.string(), 0, 0, "", std::move(why)});
  };
  std::set<std::filesystem::path> files;
  std::error_code error;
  if (!std::filesystem::exists(folder, error) && !error) return files;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() != ".toml" || at->path().filename().string().starts_with('.')) continue;
    files.insert(at->path());
    if (files.size() > max_merged_files) return trouble(fmt::format("more than {} files", max_merged_files));
  }
  if (error) return trouble(fmt::format("cannot read: {}", error.message()));
  return files;
}

}  // namespace

std::expected<Config, std::vector<Diagnostic>> parse(std::string_view text, const std::filesystem::path& name) {
  const auto root = parse_syntax(text, name);
  if (!root) return std::unexpected(std::vector{root.error()});
  Findings findings(name.string());
  return finish(*root, name.parent_path(), findings);
}

namespace {

/// The file and what belongs to it as one table; `used` learns which files that are.
std::expected<Table, std::vector<Diagnostic>> read_merged(const std::filesystem::path& file, Findings& findings,
                                                          std::vector<std::filesystem::path>& used) {
  std::vector<Diagnostic> broken;
  Table root;
  const auto add = [&](const std::filesystem::path& one) {
    used.push_back(one);
    const auto text = read_text(one);
    auto table = text ? parse_syntax(*text, one) : std::unexpected(text.error());
    if (!table) return broken.push_back(std::move(table.error()));
    if (one == file) {
      root = std::move(*table);
    } else {
      merge(root, std::move(*table), findings.add_file(one.string()), findings);
    }
  };
  add(file);
  const auto others = merged_files(file);
  if (!others) broken.push_back(others.error());
  if (others) std::ranges::for_each(*others, add);
  if (!broken.empty()) return std::unexpected(std::move(broken));
  return root;
}

void add_command(const std::string& tunnel, const Entry& entry, std::vector<HookCommand>& commands) {
  if (entry.key != "up" && entry.key != "down") return;
  HookCommand command{tunnel, entry.key == "up", {}};
  if (const auto* text = std::get_if<std::string>(&entry.node.value)) command.argv.push_back(*text);
  if (const auto* array = std::get_if<Array>(&entry.node.value))
    for (const Node& element : *array)
      if (const auto* text = std::get_if<std::string>(&element.value)) command.argv.push_back(*text);
  if (!command.argv.empty()) commands.push_back(std::move(command));
}

}  // namespace

std::expected<Config, std::vector<Diagnostic>> load(const std::filesystem::path& file) {
  Findings findings(file.string());
  std::vector<std::filesystem::path> used;
  const auto root = read_merged(file, findings, used);
  if (!root) return std::unexpected(root.error());
  return finish(*root, file.parent_path(), findings);
}

std::expected<std::vector<HookCommand>, std::string> load_hooks(const std::filesystem::path& file) {
  Findings findings(file.string());
  std::vector<std::filesystem::path> used;
  const auto root = read_merged(file, findings, used);
  if (!root) return std::unexpected(root.error().front().to_string());
  std::vector<HookCommand> commands;
  for (const Entry& kind : *root) {
    const auto* tunnels = kind.key == "tunnel" ? std::get_if<Table>(&kind.node.value) : nullptr;
    if (!tunnels) continue;
    for (const Entry& tunnel : *tunnels) {
      const auto* keys = std::get_if<Table>(&tunnel.node.value);
      if (!keys) continue;
      for (const Entry& entry : *keys) add_command(tunnel.key, entry, commands);
    }
  }
  if (commands.empty()) return commands;
  for (const auto& one : used)
    if (auto fine = check_trusted_file(one); !fine)
      return std::unexpected(fmt::format(
          "`up` and `down` are run as root, so the file that names them must be root's: {}", fine.error().detail));
  for (const HookCommand& command : commands)
    if (auto fine = check_program_file(command.argv[0]); !fine)
      return std::unexpected(
          fmt::format("tunnel.{}.{}: {}", command.tunnel, command.up ? "up" : "down", fine.error().detail));
  return commands;
}

}  // namespace culvert::config

#pragma once
#include <cstdint>
#include <expected>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/log.h"
#include "culvert/config/certificates.h"
#include "culvert/config/secret_file.h"
#include "culvert/eap/users.h"
#include "culvert/ike/config.h"
#include "culvert/ike/virtual_net.h"
#include "culvert/tunnel/data_plane.h"

namespace culvert::config {

/// One mistake, printed as "FILE:LINE:COLUMN: KEY: message".
struct Diagnostic {
  std::string file;
  std::uint32_t line = 0;  ///< from 1; 0 when the file itself is the trouble
  std::uint32_t column = 0;
  std::string key;      ///< dotted, e.g. "peer.tokyo.start"
  std::string message;  ///< what was expected, and the way out
  [[nodiscard]] std::string to_string() const;
};

/// Where /metrics is served.
struct MetricsAddress {
  Endpoint endpoint;           ///< TCP
  std::filesystem::path path;  ///< of a unix socket, in place of TCP; else empty
  friend bool operator==(const MetricsAddress&, const MetricsAddress&) noexcept = default;
};
inline constexpr std::uint16_t metrics_port = 9475;

/// How lines of the log are written.
enum class LogFormat : std::uint8_t {
  automatic,  ///< to the journal when stderr leads there, else as text
  text,       ///< stderr
  json,       ///< stderr, one object a line
  journald,   ///< the journal, with fields
};

struct GatewayConfig {
  ike::Identity id;  ///< empty when each peer's `auth` gives another, and none is written
  std::vector<IpAddress> listen;
  std::uint16_t ike_port = 500;
  std::uint16_t nat_port = 4500;
  std::uint16_t tcp_port = 0;  ///< IKE and ESP in TCP are taken there (RFC 9329); 0: nowhere
  unsigned workers = 1;        ///< "auto" is resolved to the number of cores
  Duration busy_poll{};        ///< how long an idle worker keeps looking for packets before it sleeps
  std::string aead;            ///< implementation of AES-GCM by name, one that this CPU has; empty: "auto", the best
  log::Level log_level = log::Level::info;
  LogFormat log_format = LogFormat::automatic;
  std::filesystem::path control_socket = "/run/culvert/control.sock";
  std::string control_group = "culvert";             ///< may open the socket beside root, when the group exists
  std::string user = "culvert";                      ///< that the daemon becomes after its start, when it exists
  bool sandbox = true;                               ///< seccomp and Landlock
  std::filesystem::path state_dir = "/run/culvert";  ///< what to clean up after a crash stands here
  std::string redirect;                              ///< callers are sent there (RFC 5685); empty: nowhere
  bool raw_esp = false;                              ///< sockets for IP protocol 50 are open: some peer may speak it
  std::optional<MetricsAddress> metrics;             ///< nullopt: nowhere
  std::vector<IpPrefix> metrics_from;                ///< who may ask for them beside this machine
  std::uint32_t fwmark = 0;                          ///< SO_MARK of what is sent to peers; 0: none
  bool allow_key_export = false;                     ///< `culvert capture --keys`
  bool crash_detection = true;                       ///< give peers a token by which they know that we have restarted
};

inline constexpr std::uint32_t main_table = 254;  ///< RT_TABLE_MAIN

/// Programs that are run when a tunnel comes up and goes down, each with its arguments; empty: none.
struct TunnelHooks {
  std::vector<std::string> up, down;
  friend bool operator==(const TunnelHooks&, const TunnelHooks&) = default;
};

/// A [tunnel.NAME] as the machine sees it; `plane.mtu` is 0 unless the file sets it.
struct TunnelSettings {
  PeerId peer;
  tunnel::TunnelConfig plane;
  std::vector<IpPrefix> addresses;  ///< of the device
  std::vector<IpPrefix> routes;     ///< into the device; for carry = "ip" the remote selectors when the file names none
  std::uint32_t table = main_table;  ///< of `routes`
  std::uint32_t metric = 0;          ///< of `routes`; 0: the kernel's own default, which is 1024 for IPv6
  std::optional<IpAddress> probe;   ///< answers ping, behind the tunnel
  bool virtual_address = false;     ///< the peer gives us its addresses
  bool routes_as_granted = false;   ///< with virtual_address: routes follow from what the peer grants
  std::shared_ptr<const TunnelHooks> hooks;  ///< nullptr: none
  bool fail_closed = true;          ///< what the routes stand for does not leave another way when the device is gone
};

/// A [radius.NAME].
struct RadiusSettings {
  std::string name;
  std::vector<Endpoint> servers, accounting;
  std::shared_ptr<const Secret> secret;
  std::string nas_id;  ///< empty: our identity
  Duration timeout = std::chrono::seconds(2), dead_time = std::chrono::seconds(60), interim = std::chrono::minutes(10);
  int tries = 3;
};

/// A key as the file has it, written in one way: what is said of it when it changes.
struct Setting {
  std::string key;    ///< below its table: "start", "auth.psk_file"
  std::string value;  ///< TOML
};
/// A table of the file: [gateway], [peer.NAME], …
struct SettingsTable {
  std::string kind, name;  ///< "peer", "tokyo"; [gateway] has no name
  std::vector<Setting> settings;
};

struct Config {
  GatewayConfig gateway;
  /// In the order of the file. Ids are places in it, until a reload gives what was there before its old ones.
  std::vector<ike::PeerConfig> peers;
  std::vector<TunnelSettings> tunnels;
  std::vector<RadiusSettings> radius;
  std::shared_ptr<const eap::UserTable> users;  ///< as the file was when this was read; nullptr: none is named
  bool uses_hooks = false;                      ///< some tunnel has `up` or `down`
  bool uses_token = false;  ///< a private key is in a token (PKCS #11)
  std::optional<FileName> users_file;
  std::vector<ike::PoolConfig> pools;  ///< PeerConfig::pools are places in it
  std::vector<RevocationSources> revocation;
  std::vector<WatchedCertificate> certificates;  ///< each once: our own, and the CAs
  std::vector<Diagnostic> warnings;              ///< what can run but is hardly meant, in the order of the file
  std::vector<SettingsTable> settings;           ///< the file itself
  std::uint32_t next_id = 0;                     ///< peers, children and tunnels have lower numbers, and had in all configurations before

  /// nullptr: none has this id.
  [[nodiscard]] const ike::PeerConfig* peer(PeerId id) const noexcept;
  /// [peer.NAME], [tunnel.NAME], and the first tunnel of a child; nullptr: there is none. By looking at each.
  [[nodiscard]] const ike::PeerConfig* peer_named(std::string_view name) const noexcept;
  [[nodiscard]] const TunnelSettings* tunnel_named(std::string_view name) const noexcept;
  [[nodiscard]] const TunnelSettings* tunnel_of(ChildId child) const noexcept;
  /// Ids or the order of `peers` have changed.
  void index_peers();

 private:
  std::unordered_map<PeerId, std::size_t> place_of_peer_;  ///< those whose id is not their place
};

/// Reads, validates and resolves FILE (relative secret files are relative to it). Either a whole valid configuration or
/// every mistake at once, in the order of the file. Reads files and asks tokens for keys. Any thread.
[[nodiscard]] std::expected<Config, std::vector<Diagnostic>> load(const std::filesystem::path& file);
/// The same from text, for tests and fuzzing; `name` stands for the file, secrets are looked up beside it.
[[nodiscard]] std::expected<Config, std::vector<Diagnostic>> parse(std::string_view text,
                                                                   const std::filesystem::path& name);

/// A program that the file allows to be run.
struct HookCommand {
  std::string tunnel;
  bool up = false;  ///< else down
  std::vector<std::string> argv;
};
/// Of FILE and what belongs to it (conf.d) nothing but `up` and `down`, for the process that runs them (and holds no
/// secrets). The files must belong to root, or to who we are, and nobody else may change them or their folders; the
/// same goes for the programs. The error is a sentence. Reads files.
[[nodiscard]] std::expected<std::vector<HookCommand>, std::string> load_hooks(const std::filesystem::path& file);

}  // namespace culvert::config

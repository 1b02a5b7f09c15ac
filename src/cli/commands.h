#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "culvert/control/ping.h"
#include "culvert/control/protocol.h"
#include "exit_code.h"

namespace culvert::cli {

struct StatusOptions {
  bool json = false;
  bool users = false;                   ///< who is connected instead
  bool check = false;                   ///< exit status 4 when a configured tunnel is down
  std::optional<double> watch_seconds;  ///< redraw until interrupted
};

struct PingOptions {
  control::PingRequest request;
  double interval_s = 1;
  bool json = false;
};

struct DoctorOptions {
  std::filesystem::path config = "/etc/culvert/culvert.toml";
  bool json = false;
  bool fix = false;  ///< make the changes that cannot do harm
};

struct ReloadOptions {
  std::optional<unsigned> confirm;  ///< seconds within which it must be confirmed
  bool dry_run = false, confirmed = false, revert = false, json = false;
};

/// Of `culvert pki`, as they were given.
struct PkiArguments {
  std::string command;  ///< ca, gateway, user, revoke, crl
  std::filesystem::path folder = ".";
  std::string name;                ///< of the CA, the user, or what is revoked
  std::vector<std::string> names;  ///< of the gateway; what the CA may speak for
  std::string key_type;            ///< empty: p256
  unsigned days = 0;               ///< 0: by the kind
  std::string passphrase_file;
  bool force = false;
};

// Each prints to standard output, errors to standard error, and returns the exit status.

[[nodiscard]] ExitCode run_status(const std::filesystem::path& socket, const StatusOptions& options);
[[nodiscard]] ExitCode run_drops(const std::filesystem::path& socket, bool json, bool all);
/// ExitCode::failed when a problem is left.
[[nodiscard]] ExitCode run_doctor(const std::filesystem::path& socket, const DoctorOptions& options);
/// What it would print, without colour.
[[nodiscard]] std::string doctor_text(const std::filesystem::path& socket, const DoctorOptions& options);
/// Everything that somebody who is to help has to know, without secrets.
[[nodiscard]] std::string bug_report(const std::filesystem::path& socket, const std::filesystem::path& config_file);
/// To FILE (mode 0600, never overwritten) or standard output.
[[nodiscard]] ExitCode run_bugreport(const std::filesystem::path& socket, const std::filesystem::path& config_file,
                                     const std::optional<std::filesystem::path>& file);
/// up, down and rekey: prints the daemon's one line.
[[nodiscard]] ExitCode run_request(const std::filesystem::path& socket, const control::Request& request);
/// Says that there is no such peer, and which there are.
[[nodiscard]] ExitCode refused_peer(const std::filesystem::path& socket, const std::string& peer);
/// ExitCode::failed when nothing was answered.
[[nodiscard]] ExitCode run_ping(const std::filesystem::path& socket, const std::string& peer, const PingOptions& options);
/// Waits until the search has ended, 15 seconds at most.
[[nodiscard]] ExitCode run_mtu(const std::filesystem::path& socket, const std::string& peer, bool json);
/// Events as they happen, of everybody when `peer` is empty, until SIGINT or SIGTERM (ExitCode::ok), until the daemon
/// ends (ExitCode::unreachable) or nobody reads standard output any more (ExitCode::failed).
[[nodiscard]] ExitCode run_monitor(const std::filesystem::path& socket, const std::string& peer, bool json);
/// Routes, guards and rules that culvertd owns, and what has become of them.
[[nodiscard]] ExitCode run_routes(const std::filesystem::path& socket, bool json);
/// Shows how much is logged, or changes it until the next reload; `level` may be empty.
[[nodiscard]] ExitCode run_log_level(const std::filesystem::path& socket, const std::string& level, bool json);
/// What was said in the last attempts; of everybody when `peer` is empty.
[[nodiscard]] ExitCode run_trace(const std::filesystem::path& socket, const std::string& peer, bool json);
[[nodiscard]] ExitCode run_reload(const std::filesystem::path& socket, const ReloadOptions& options);
/// What a reload would change; with FILE in place of the configuration.
[[nodiscard]] ExitCode run_diff(const std::filesystem::path& socket, const std::optional<std::filesystem::path>& file,
                                bool json);
[[nodiscard]] ExitCode run_check(const std::filesystem::path& file);
/// The same of a client's profile.
[[nodiscard]] ExitCode run_check_profile(const std::filesystem::path& file);
/// To standard output without a file.
[[nodiscard]] ExitCode run_genpsk(const std::optional<std::filesystem::path>& file);

/// A private key in PEM to FILE, then its public key to standard output; without a file the private key goes there, as
/// with run_genpsk. `key_type` empty: ed25519.
[[nodiscard]] ExitCode run_genkey(const std::optional<std::filesystem::path>& file, const std::string& key_type);
/// The public key in FILE (or standard input) as it stands in `public_key`.
[[nodiscard]] ExitCode run_pubkey(const std::optional<std::filesystem::path>& file);
[[nodiscard]] ExitCode run_pki(const PkiArguments& arguments);

struct ExportArguments;  // client_export.h
[[nodiscard]] ExitCode run_client_export(const ExportArguments& arguments);

/// The whole command.
[[nodiscard]] int run(int argc, const char* const* argv);

/// Becomes the client (culvertd), in the foreground or until it is connected; comes back only when that fails.
[[nodiscard]] ExitCode run_connect(const std::string& profile, const std::filesystem::path& run_dir, bool background);
/// Becomes the process that brings the network back.
[[nodiscard]] ExitCode run_disconnect(const std::string& name, const std::filesystem::path& run_dir);
/// Where the client of this name answers.
[[nodiscard]] std::filesystem::path client_socket(const std::filesystem::path& run_dir, const std::string& name);

}  // namespace culvert::cli

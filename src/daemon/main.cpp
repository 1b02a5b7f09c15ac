#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "after_stop.h"
#include "client_mode.h"
#include "culvert/base/log.h"
#include "culvert/config/config.h"
#include "culvert/config/describe.h"
#include "culvert/config/secret_file.h"
#include "culvert/crypto/aead.h"
#include "daemon.h"
#include "file_helper.h"
#include "hook_helper.h"
#include "log_output.h"
#include "privileges.h"
#include "sandbox.h"

namespace {

struct Arguments {
  std::filesystem::path config = "/etc/culvert/culvert.toml";
  std::string check;
  std::string debug_keys;
  std::string describe_keys;
  std::string client, disconnect;
  culvert::daemon::ClientOptions client_options;
  bool after_stop = false;
};

/// Not through the log: it would leave out what exceeds ten lines a second.
void print(const std::vector<culvert::config::Diagnostic>& diagnostics, const char* suffix = "") {
  for (const auto& diagnostic : diagnostics) std::fprintf(stderr, "%s%s\n", diagnostic.to_string().c_str(), suffix);
}

/// As `culvert check` prints them.
void print_warnings(const culvert::config::Config& config) {
  print(config.warnings, " (warning)");
}

int check(const std::filesystem::path& file) {
  const auto config = culvert::config::load(file);
  if (!config) {
    print(config.error());
    return 1;
  }
  print_warnings(*config);
  std::printf("%s: ok: %zu peers, %zu tunnels\n", file.c_str(), config->peers.size(), config->tunnels.size());
  return 0;
}

int fatal(const std::string& why) {
  std::fprintf(stderr, "culvertd: %s\n", why.c_str());
  return 1;
}

int describe_keys(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return fatal("cannot read " + file);
  const std::string described = culvert::config::with_key_tables(text.view());
  return std::fwrite(described.data(), 1, described.size(), stdout) == described.size() ? 0 : 1;
}

int clean_up(const Arguments& arguments) {
  const auto config = culvert::config::load(arguments.config);
  const auto state_dir = config ? config->gateway.state_dir : culvert::config::GatewayConfig{}.state_dir;
  const auto done = culvert::daemon::clean_up_after_stop(state_dir);
  return done ? 0 : fatal(done.error().detail);
}

/// Of a gateway and of a client. An error ends the process.
std::optional<std::string> get_ready(const Arguments& arguments) {
  umask(0077);
  if (arguments.debug_keys.empty()) culvert::daemon::protect_memory();  // keys are in it
  std::signal(SIGPIPE, SIG_IGN);
  if (sodium_init() < 0) return "libsodium does not start";
  if (const auto sound = culvert::crypto::aead_self_test(); !sound)
    return "the self-test of the ciphers failed: " + sound.error().detail;
  return std::nullopt;
}

/// Whoever opens the configuration's files when we have become somebody who may not: nobody, when we are not root.
/// `options` learns in which folders they stand.
culvert::Result<std::unique_ptr<culvert::daemon::FileHelper>> open_files(const Arguments& arguments,
                                                                         culvert::daemon::DaemonOptions& options) {
  std::unique_ptr<culvert::daemon::FileHelper> helper;
  if (geteuid() == 0 && !culvert::daemon::is_sanitized) {
    auto started = culvert::daemon::FileHelper::start();
    if (!started) return started;
    helper = std::move(*started);
  }
  options.config_folders = {std::filesystem::absolute(arguments.config).lexically_normal().parent_path()};
  culvert::config::open_files_by([helper = helper.get(), &folders = options.config_folders](const char* path, int flags) {
    const int descriptor = ::open(path, flags);
    if (descriptor < 0) return errno == EACCES && helper != nullptr ? helper->open(path) : descriptor;
    culvert::daemon::add_folders_of(path, folders);
    return descriptor;
  });
  return helper;
}

int run(const Arguments& arguments) {
  if (const auto why = get_ready(arguments)) return fatal(*why);
  if (!arguments.client.empty()) return culvert::daemon::run_client(arguments.client, arguments.client_options);
  culvert::daemon::DaemonOptions options;
  const auto files = open_files(arguments, options);
  if (!files) return fatal(files.error().detail);
  options.files = files->get();
  auto hooks = culvert::daemon::HookHelper::start();
  if (!hooks) return fatal(hooks.error().detail);
  auto config = culvert::config::load(arguments.config);
  if (!config) {
    print(config.error());
    return fatal("not started: the configuration has mistakes");
  }
  print_warnings(*config);
  culvert::log::set_level(config->gateway.log_level);
  culvert::daemon::use_log_format(config->gateway.log_format);
  std::error_code no_folder;
  options.config_file = std::filesystem::absolute(arguments.config, no_folder);
  if (config->uses_hooks) {
    if (const auto allowed = (*hooks)->load(arguments.config); !allowed) return fatal(allowed.error().detail);
    options.hooks = std::move(*hooks);
  }
  hooks->reset();  // nobody stays root for nothing
  if (!arguments.debug_keys.empty()) options.debug_keys = arguments.debug_keys;
  auto daemon = culvert::daemon::Daemon::create(std::move(*config), std::move(options));
  if (!daemon) return fatal(daemon.error().detail);
  (*daemon)->run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{
      "culvertd: the culvert gateway. Runs in the foreground, logs to standard error, ends on SIGTERM or SIGINT."};
  app.add_option("--config", arguments.config, "configuration")->capture_default_str();
  app.add_option("--check", arguments.check, "only check this configuration; exit status 1 when it has mistakes")
      ->type_name("FILE");
  app.add_option("--debug-keys", arguments.debug_keys,
                 "DEBUG ONLY: append the keys of all SAs to FILE (mode 0600), as options for tshark")
      ->type_name("FILE");
  app.add_option("--describe-keys", arguments.describe_keys,
                 "only print this document with the reference of all keys in its places, see scripts/describe-keys")
      ->type_name("FILE");
  app.add_option("--client", arguments.client, "be a client, as `culvert connect` wants it")->type_name("PROFILE");
  CLI::Option* disconnect =
      app.add_option("--disconnect", arguments.disconnect, "end a client, as `culvert disconnect` wants it")
          ->expected(0, 1)
          ->type_name("[NAME]");
  app.add_option("--run-dir", arguments.client_options.run_dir, "of clients: sockets and state")->capture_default_str();
  app.add_flag("--background", arguments.client_options.background, "of --client: return when it is connected");
  app.add_flag("--after-stop", arguments.after_stop,
               "only remove what a culvertd left for one that does not follow; for ExecStopPost= of systemd");
  app.set_version_flag("--version", "culvertd " CULVERT_VERSION);
  CLI11_PARSE(app, argc, argv);
  try {
    if (disconnect->count() > 0)
      return culvert::daemon::disconnect_client(arguments.disconnect, arguments.client_options.run_dir);
    if (!arguments.describe_keys.empty()) return describe_keys(arguments.describe_keys);
    if (arguments.after_stop) return clean_up(arguments);
    return arguments.check.empty() ? run(arguments) : check(arguments.check);
  } catch (const std::exception& error) {
    return fatal(error.what());
  }
}

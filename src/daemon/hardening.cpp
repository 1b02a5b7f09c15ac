// The order in which a gateway gives up what it does not need: docs/security.md.
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>

#include "culvert/base/log.h"
#include "daemon.h"
#include "file_helper.h"
#include "privileges.h"
#include "sandbox.h"

namespace culvert::daemon {
namespace {

namespace fs = std::filesystem;

/// Made for a gateway and no place that others use: root's, at least two names deep, closed to others' writing.
bool is_ours_to_give(const fs::path& folder, const std::vector<fs::path>& configuration) {
  std::error_code error;
  const fs::path real = fs::canonical(folder, error);
  if (error || std::distance(real.begin(), real.end()) < 3) return false;
  for (const fs::path& other : configuration)
    if (fs::equivalent(real, other, error)) return false;
  struct stat facts {};
  return ::stat(real.c_str(), &facts) == 0 && facts.st_uid == 0 && (facts.st_mode & 022) == 0;
}

/// A client runs programs (for DNS, and the firewall) with every change of its network; sanitizers do what no filter
/// should allow.
bool is_exempt(const DaemonOptions& options) {
  return options.client != nullptr || is_sanitized;
}

}  // namespace

/// Before there are threads, and before anything is opened that need not be opened by root.
Result<void> Daemon::become_smaller(const DaemonOptions& options) {
  if (is_exempt(options)) return {};
  const auto& gateway = config_.gateway;
  const fs::path socket_folder = fs::absolute(gateway.control_socket).parent_path();
  std::vector<fs::path> own;
  for (const fs::path& folder : {gateway.state_dir, socket_folder})
    if (is_ours_to_give(folder, options.config_folders)) own.push_back(folder);
  // The token's library opens files and sockets of its own, which belong to whoever set the token up.
  const auto changed = become_user(config_.uses_token ? "root" : gateway.user, own);
  if (!changed) return std::unexpected(changed.error());
  if (options.files)
    if (auto confined = options.files->confine(options.config_folders); !confined) return confined;
  if (!gateway.sandbox || config_.uses_token) return {};
  const auto restricted = restrict_files(options.config_folders, {gateway.state_dir, socket_folder});
  if (!restricted) return std::unexpected(restricted.error());
  if (!*restricted) log::debug("this kernel has no Landlock: files are protected by their permissions alone");
  return {};
}

/// Once everything is open.
Result<void> Daemon::lock_in(const DaemonOptions& options) {
  if (is_exempt(options)) return {};
  if (auto given_up = give_up_privileges(); !given_up) return given_up;
  if (!config_.gateway.sandbox) return {};
  // Name services load libraries when they are first asked.
  (void)system_lookup("localhost");
  return restrict_system_calls();
}

}  // namespace culvert::daemon

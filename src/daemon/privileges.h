#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::daemon {

/// What culvertd may still do, as the kernel says (for `culvert status --json` and `culvert doctor`).
struct PrivilegeReport {
  std::uint32_t uid = 0;
  std::vector<std::string> capabilities;  ///< effective ones, "cap_net_admin"
  std::vector<std::string> protections;   ///< in force: "no_new_privs", "seccomp", "landlock", "locked_memory"
};

// In this order, each once, on the main thread. Where the process is not root or lacks a capability already, a step does
// what it can.

/// No core files, no tracing by others; memory is never swapped out, where the limit or root allows.
void protect_memory();
/// What the allocator keeps and nothing uses goes back to the system; the lock is lifted for that moment, since the
/// kernel takes no locked pages back (madvise(2)). Milliseconds. Any time, control thread.
void give_back_free_memory();
/// Becomes the user `name` with the capabilities that opening devices and sockets takes, when it is there and we are
/// root. `own` are the folders that are the daemon's: they, and the files in them, become the user's. Before there are
/// threads. false: we stay who we are.
[[nodiscard]] Result<bool> become_user(const std::string& name, const std::vector<std::filesystem::path>& own);
/// All that a running gateway needs stays: CAP_NET_ADMIN, for routes and devices. No program that we may execute gives
/// more. After everything is open; of threads that are there already this changes nothing (see give_up_capabilities).
[[nodiscard]] Result<void> give_up_privileges();

[[nodiscard]] PrivilegeReport privileges();

}  // namespace culvert::daemon

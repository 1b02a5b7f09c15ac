#include "privileges.h"

#include <cap-ng.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <malloc.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "culvert/base/log.h"
#include "sandbox.h"

namespace culvert::daemon {
namespace {

#ifndef MCL_ONFAULT
constexpr int MCL_ONFAULT = 4;
#endif

constexpr unsigned to_open[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_BPF};
constexpr unsigned to_run[] = {CAP_NET_ADMIN};

bool memory_is_locked = false;

/// Exactly these of what we have; the bounding set goes where we may change it.
Result<void> keep(std::span<const unsigned> wanted, const passwd* user) {
  if (capng_get_caps_process() != 0) return fail(Errc::io, "capabilities cannot be read", errno);
  std::vector<unsigned> kept;
  for (const unsigned capability : wanted)
    if (capng_have_capability(CAPNG_PERMITTED, capability) != 0) kept.push_back(capability);
  const bool may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
  capng_clear(may_bound ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
  constexpr auto both = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
  for (const unsigned capability : kept) capng_update(CAPNG_ADD, both, capability);
  int done = 0;
  if (user != nullptr) {
    const auto flags = static_cast<capng_flags_t>(CAPNG_INIT_SUPP_GRP | (may_bound ? CAPNG_CLEAR_BOUNDING : 0));
    done = capng_change_id(static_cast<int>(user->pw_uid), static_cast<int>(user->pw_gid), flags);
  } else {
    done = capng_apply(may_bound ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
  }
  if (done != 0) return fail(Errc::io, fmt::format("capabilities cannot be given up ({})", done), errno);
  return {};
}

/// Nothing below is followed or entered: what a folder of ours holds are files.
Result<void> hand_to(const passwd& user, const std::filesystem::path& folder) {
  const auto give = [&](const std::filesystem::path& what) -> Result<void> {
    if (lchown(what.c_str(), user.pw_uid, user.pw_gid) == 0) return {};
    return fail(Errc::io,
                fmt::format("{} cannot be given to user {}: {}", what.string(), user.pw_name, std::strerror(errno)),
                errno);
  };
  std::error_code error;
  if (!std::filesystem::exists(folder, error)) return {};
  if (auto given = give(folder); !given) return given;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_directory(error) && !entry.is_symlink(error)) continue;
    struct stat facts {};
    if (lstat(entry.path().c_str(), &facts) != 0 || facts.st_nlink != 1) continue;
    if (auto given = give(entry.path()); !given) return given;
  }
  return {};
}

constexpr int lock_as_used = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;

}  // namespace

void give_back_free_memory() {
  if (memory_is_locked) munlockall();
  malloc_trim(0);
  if (memory_is_locked) memory_is_locked = mlockall(lock_as_used) == 0;
}

void protect_memory() {
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  rlimit limit{};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  // Pages are locked as they are used; what is set aside for packets and not used stays away. With a limit a later
  // mapping would fail, so then nothing is locked.
  const bool boundless = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
  memory_is_locked = boundless && mlockall(lock_as_used) == 0;
  if (!memory_is_locked) log::debug("memory may be swapped out, with keys in it: RLIMIT_MEMLOCK is not unlimited");
}

Result<bool> become_user(const std::string& name, const std::vector<std::filesystem::path>& own) {
  if (geteuid() != 0 || name == "root") {
    if (auto kept = keep(to_open, nullptr); !kept) return std::unexpected(kept.error());
    return false;
  }
  const passwd* user = getpwnam(name.c_str());
  if (user == nullptr) {
    log::info("there is no user {}: culvertd stays root, with capabilities of the network alone", name);
    if (auto kept = keep(to_open, nullptr); !kept) return std::unexpected(kept.error());
    return false;
  }
  const passwd copy = *user;
  for (const auto& folder : own)
    if (auto given = hand_to(copy, folder); !given) return std::unexpected(given.error());
  if (auto kept = keep(to_open, &copy); !kept) return std::unexpected(kept.error());
  prctl(PR_SET_DUMPABLE, 0);  // a new identity makes it anew
  return true;
}

Result<void> give_up_privileges() {
  if (auto kept = keep(to_run, nullptr); !kept) return kept;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(Errc::io, "no_new_privs", errno);
  return {};
}

PrivilegeReport privileges() {
  PrivilegeReport report;
  report.uid = geteuid();
  if (capng_get_caps_process() == 0)
    for (unsigned i = 0; i <= CAP_LAST_CAP; ++i)
      if (capng_have_capability(CAPNG_EFFECTIVE, i) != 0)
        report.capabilities.push_back(fmt::format("cap_{}", capng_capability_to_name(i)));
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) report.protections.emplace_back("no_new_privs");
  if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2) report.protections.emplace_back("seccomp");
  if (landlock_in_force() > 0) report.protections.emplace_back("landlock");
  if (memory_is_locked) report.protections.emplace_back("locked_memory");
  return report;
}

}  // namespace culvert::daemon

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sandbox.h"

namespace culvert::daemon {
namespace {

// What Debian 12's headers (6.1: version 2) do not name.
constexpr std::uint64_t access_truncate = 1U << 14;  // version 3

constexpr std::uint64_t read_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t write_files = read_files | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                      LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | access_truncate;
constexpr std::uint64_t of_a_file =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | access_truncate;

/// Folders rather than files: a file that is replaced by another, as resolv.conf is, is not the one that was meant. Who
/// may read what is in them the file's own permissions say.
constexpr const char* needed_to_read[] = {"/etc", "/usr", "/lib", "/lib64", "/proc", "/sys/devices/system/cpu",
                                          "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
                                          "/run/connman", "/dev/urandom", "/dev/random"};
constexpr const char* needed_to_write[] = {"/dev/net/tun", "/dev/null"};

int in_force = 0;

std::uint64_t handled_by(int version) {
  std::uint64_t all = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;  // version 1: all bits up to this
  if (version >= 2) all |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) all |= access_truncate;
  return all;
}

class Ruleset {
 public:
  explicit Ruleset(int version) : handled_(handled_by(version)) {
    landlock_ruleset_attr attributes{};
    attributes.handled_access_fs = handled_;
    fd_ = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0));
  }
  Ruleset(const Ruleset&) = delete;
  Ruleset& operator=(const Ruleset&) = delete;
  ~Ruleset() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] Result<void> allow(const std::filesystem::path& path, std::uint64_t access) const {
    const auto failed = [&](int error) {
      return fail(Errc::io, fmt::format("Landlock: {}: {}", path.string(), std::strerror(error)), error);
    };
    const int at = ::open(path.c_str(), O_PATH | O_CLOEXEC);
    if (at < 0) return {};  // not there
    struct stat facts {};
    landlock_path_beneath_attr rule{};
    rule.parent_fd = at;
    const bool is_folder = ::fstat(at, &facts) == 0 && S_ISDIR(facts.st_mode);
    rule.allowed_access = access & handled_ & (is_folder ? ~std::uint64_t{0} : of_a_file);
    const long added = ::syscall(SYS_landlock_add_rule, fd_, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    const int error = errno;
    ::close(at);
    if (added != 0) return failed(error);
    return {};
  }
  [[nodiscard]] bool enforce() const {
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::syscall(SYS_landlock_restrict_self, fd_, 0) == 0;
  }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  std::uint64_t handled_;
  int fd_ = -1;
};

}  // namespace

Result<bool> restrict_files(const std::vector<std::filesystem::path>& readable,
                            const std::vector<std::filesystem::path>& writable, Needs needs) {
  const auto version =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
  if (version <= 0) return false;  // ENOSYS, EOPNOTSUPP: not in this kernel, or not asked for when it was booted
  const Ruleset rules(version);
  if (!rules) return fail(Errc::io, fmt::format("Landlock: {}", std::strerror(errno)), errno);
  std::vector<std::filesystem::path> to_read = readable, to_write = writable;
  if (needs == Needs::what_a_gateway_needs) {
    to_read.insert(to_read.end(), std::begin(needed_to_read), std::end(needed_to_read));
    to_write.insert(to_write.end(), std::begin(needed_to_write), std::end(needed_to_write));
  }
  for (const auto& path : to_read)
    if (auto allowed = rules.allow(path, read_files); !allowed) return std::unexpected(allowed.error());
  for (const auto& path : to_write)
    if (auto allowed = rules.allow(path, write_files); !allowed) return std::unexpected(allowed.error());
  if (!rules.enforce()) return fail(Errc::io, fmt::format("Landlock: {}", std::strerror(errno)), errno);
  in_force = version;
  return true;
}

int landlock_in_force() noexcept {
  return in_force;
}

}  // namespace culvert::daemon

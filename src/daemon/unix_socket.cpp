#include "unix_socket.h"

#include <fmt/format.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "state_dir.h"

namespace culvert::daemon {
namespace {

std::unexpected<Error> system_error(const std::string& name, int error) {
  return fail(Errc::io, fmt::format("{}: {}", name, std::strerror(error)), error);
}

bool fill_address(const std::filesystem::path& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  return true;
}

/// Removes what a crashed daemon left; leaves alone whatever is in use or is no socket.
Result<void> clear_stale(const std::filesystem::path& path, const std::string& name, const sockaddr_un& address) {
  struct stat existing {};
  if (lstat(path.c_str(), &existing) != 0) {
    if (errno == ENOENT) return {};
    return system_error(name, errno);
  }
  if (!S_ISSOCK(existing.st_mode))
    return fail(Errc::invalid, name + ": something else has this name, and it is no socket");
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return system_error(name, errno);
  const bool refused =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno == ECONNREFUSED;
  close(probe);
  if (!refused) return fail(Errc::invalid, name + ": another culvertd listens on it");
  if (unlink(path.c_str()) != 0) return system_error(name, errno);
  return {};
}

/// The error is that of the step that failed.
int bind_and_listen(int fd, const sockaddr_un& address, const std::optional<gid_t>& group, int backlog) {
  // Nobody may connect between bind and chmod.
  const mode_t old_umask = umask(0177);
  const int bound = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_error = errno;
  umask(old_umask);
  if (bound != 0) return bind_error;
  const bool ready = (!group || (chown(address.sun_path, static_cast<uid_t>(-1), *group) == 0 &&
                                 chmod(address.sun_path, 0660) == 0)) &&
                     listen(fd, backlog) == 0;
  if (ready) return 0;
  const int error = errno;
  unlink(address.sun_path);
  return error;
}

}  // namespace

std::optional<gid_t> find_group(const std::string& name) {
  std::vector<char> buffer(16384);
  group entry{};
  group* found = nullptr;
  if (name.empty() || getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return std::nullopt;
  return entry.gr_gid;
}

Result<int> listen_unix(const std::filesystem::path& path, std::string_view what, const std::optional<gid_t>& group,
                        int backlog) {
  const std::string name = fmt::format("{} {}", what, path.string());
  sockaddr_un address;
  if (!fill_address(path, address)) return fail(Errc::invalid, name + ": the path is longer than 107 bytes");
  if (path.has_parent_path())
    if (auto made = make_directories(path.parent_path()); !made) return std::unexpected(made.error());
  if (auto cleared = clear_stale(path, name, address); !cleared) return std::unexpected(cleared.error());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return system_error(name, errno);
  if (const int error = bind_and_listen(fd, address, group, backlog); error != 0) {
    close(fd);
    return system_error(name, error);
  }
  return fd;
}

}  // namespace culvert::daemon

#include "state_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "small_file.h"

namespace culvert::daemon {
namespace {

constexpr const char* lock_name = "culvertd.lock";
constexpr const char* record_name = "machine";

/// Interface indexes mean something only within one boot and one network namespace.
std::string here() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  struct stat netns {};
  if (stat("/proc/self/ns/net", &netns) != 0) netns.st_ino = 0;
  return fmt::format("{} {}", boot.empty() ? "?" : boot, netns.st_ino);
}

std::string lock_holder(int fd) {
  char text[32] = "";
  const ssize_t len = pread(fd, text, sizeof text - 1, 0);
  std::string pid(text, len > 0 ? static_cast<std::size_t>(len) : 0);
  while (!pid.empty() && (pid.back() == '\n' || pid.back() == ' ')) pid.pop_back();
  return pid.empty() ? "unknown" : pid;
}

/// A lock on a file that is still the one the name stands for: its last holder may have removed it while we waited.
Result<int> take_lock(const std::filesystem::path& path, const std::filesystem::path& directory) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return fail(Errc::io, fmt::format("{}: {}", path.string(), std::strerror(errno)), errno);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      const std::string pid = lock_holder(fd);
      close(fd);
      if (error != EWOULDBLOCK)
        return fail(Errc::io, fmt::format("{}: {}", path.string(), std::strerror(error)), error);
      return fail(Errc::invalid,
                  fmt::format("another culvertd (pid {}) runs with state_dir {}: stop it, or give this one another "
                              "state_dir",
                              pid, directory.string()));
    }
    struct stat ours {
    }, named{};
    if (fstat(fd, &ours) == 0 && stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
        ours.st_dev == named.st_dev)
      return fd;
    close(fd);
  }
  return fail(Errc::io, fmt::format("{}: somebody keeps removing the lock", path.string()));
}

}  // namespace

Result<void> make_directories(const std::filesystem::path& directory) {
  std::error_code error;
  const mode_t old_umask = umask(0022);
  std::filesystem::create_directories(directory, error);
  umask(old_umask);
  if (error) return fail(Errc::io, fmt::format("directory {}: {}", directory.string(), error.message()), error.value());
  return {};
}

Result<StateDir> StateDir::open(const std::filesystem::path& directory) {
  if (auto made = make_directories(directory); !made) return std::unexpected(made.error());
  const auto lock_path = directory / lock_name;
  auto locked = take_lock(lock_path, directory);
  if (!locked) return std::unexpected(locked.error());
  const int fd = *locked;
  StateDir state(directory, fd);
  if (ftruncate(fd, 0) != 0)
    return fail(Errc::io, fmt::format("{}: {}", lock_path.string(), std::strerror(errno)), errno);
  if (auto written = write_all(fd, fmt::format("{}\n", getpid())); !written)
    return fail(Errc::io, fmt::format("{}: {}", lock_path.string(), written.error().detail),
                written.error().system_error);
  state.leftovers_ = state.read_record();
  return state;
}

StateDir::StateDir(StateDir&& other) noexcept
    : directory_(std::move(other.directory_)),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      leftovers_(std::move(other.leftovers_)) {}

StateDir::~StateDir() {
  if (lock_fd_ < 0) return;
  std::error_code ignored;
  std::filesystem::remove(directory_ / lock_name, ignored);  // before the lock goes: take_lock notices
  close(lock_fd_);
}

Result<void> StateDir::record(const MachineRecord& machine) const {
  std::string text = here() + "\n";
  for (const auto& device : machine.devices) text += fmt::format("device {} {}\n", device.name, device.ifindex);
  for (const auto& guard : machine.guards) text += fmt::format("guard {} {}\n", guard.to.to_string(), guard.table);
  const auto path = directory_ / record_name;
  const auto fresh = directory_ / (std::string(record_name) + ".new");
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(Errc::io, fmt::format("{}: {}", fresh.string(), std::strerror(errno)), errno);
  const auto written = write_all(fd, text);
  close(fd);
  if (!written)
    return fail(Errc::io, fmt::format("{}: {}", fresh.string(), written.error().detail), written.error().system_error);
  if (rename(fresh.c_str(), path.c_str()) != 0)
    return fail(Errc::io, fmt::format("{}: {}", path.string(), std::strerror(errno)), errno);
  return {};
}

void StateDir::forget() const noexcept {
  std::error_code ignored;
  std::filesystem::remove(directory_ / record_name, ignored);
}

MachineRecord StateDir::read_record() const {
  constexpr std::size_t max_lines = 1 << 20;  // a file that is not ours ends somewhere, too
  std::ifstream file(directory_ / record_name);
  std::string line;
  if (!std::getline(file, line) || line != here()) return {};
  MachineRecord machine;
  for (std::size_t num = 0; num < max_lines && std::getline(file, line); ++num) {
    std::istringstream fields(line);
    std::string kind, name;
    int ifindex = 0;
    if (!(fields >> kind >> name)) continue;
    if (kind == "device" && fields >> ifindex && ifindex > 0) machine.devices.push_back({name, ifindex});
    const auto guard = kind == "guard" ? IpPrefix::parse(name) : std::nullopt;
    if (!guard) continue;
    if (std::uint32_t table = 0; fields >> table) {
      machine.guards.push_back({*guard, table});
    } else {
      machine.former_guards.push_back(*guard);
    }
  }
  return machine;
}

}  // namespace culvert::daemon

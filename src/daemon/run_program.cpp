#include "run_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

#include "culvert/base/log.h"
#include "small_file.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_output_len = 1000;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

class SpawnOptions {
 public:
  SpawnOptions() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnOptions() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

/// Files in memory at both ends: no pipe that could fill up.
Result<pid_t> start(const std::vector<std::string>& argv, int in, int out) {
  SpawnOptions options;
  posix_spawn_file_actions_adddup2(&options.files, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&options.files, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&options.files, out, STDERR_FILENO);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int number : {SIGPIPE, SIGTERM, SIGINT, SIGHUP}) sigaddset(&defaults, number);
  posix_spawnattr_setsigmask(&options.attributes, &none);
  posix_spawnattr_setsigdefault(&options.attributes, &defaults);
  // A group of its own: Ctrl-C in the terminal is for us, not for a firewall that is being loaded.
  posix_spawnattr_setpgroup(&options.attributes, 0);
  posix_spawnattr_setflags(&options.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  std::string path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale = "LC_ALL=C";
  char* environment[] = {path.data(), locale.data(), nullptr};
  pid_t pid = -1;
  const int error =
      posix_spawn(&pid, argv[0].c_str(), &options.files, &options.attributes, arguments.data(), environment);
  if (error != 0)
    return fail(error == ENOENT ? Errc::not_found : Errc::io, fmt::format("{}: {}", argv[0], std::strerror(error)),
                error);
  return pid;
}

/// The wait status; nullopt: it took too long, and was killed.
std::optional<int> wait_for(pid_t pid, Duration limit) {
  const Descriptor watch(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const TimePoint end = Clock::now() + limit;
  bool in_time = watch.fd() < 0;
  while (!in_time) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd waiting{watch.fd(), POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) break;
    in_time = true;
  }
  if (!in_time) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time) return std::nullopt;
  return status;
}

}  // namespace

std::string find_program(std::string_view name) {
  for (const char* folder : {"/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
    std::string path = fmt::format("{}/{}", folder, name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

Result<void> run_program(const std::vector<std::string>& argv, std::string_view input, Duration limit) {
  if (argv.empty() || argv[0].empty()) return fail(Errc::not_found, "the program is not installed");
  const Descriptor in(memfd_create("input", MFD_CLOEXEC)), out(memfd_create("output", MFD_CLOEXEC));
  if (in.fd() < 0 || out.fd() < 0 || !write_all(in.fd(), input) || ::lseek(in.fd(), 0, SEEK_SET) != 0)
    return fail(Errc::io, fmt::format("a file in memory: {}", std::strerror(errno)), errno);
  const auto pid = start(argv, in.fd(), out.fd());
  if (!pid) return std::unexpected(pid.error());
  const auto status = wait_for(*pid, limit);
  if (!status) return fail(Errc::io, fmt::format("{} took too long", argv[0]));
  if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return {};
  std::string text(max_output_len, '\0');
  const ssize_t len = ::pread(out.fd(), text.data(), text.size(), 0);
  text.resize(len > 0 ? static_cast<std::size_t>(len) : 0);
  const int code = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
  return fail(Errc::io, fmt::format("{}: exit status {}: {}", argv[0], code, log::sanitize(text)), code);
}

}  // namespace culvert::daemon

// The secrets of a StateDir: what a gateway must know again after a crash.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "culvert/crypto/random.h"
#include "state_dir.h"

namespace culvert::daemon {
namespace {

/// Closes on all ways out.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

std::unexpected<Error> failure(const std::filesystem::path& path) {
  return fail(Errc::io, fmt::format("{}: {}", path.string(), std::strerror(errno)), errno);
}

}  // namespace

Secret StateDir::kept_secret(const std::string& name, std::size_t most) const {
  const auto path = directory_ / name;
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (file.fd() < 0 || fstat(file.fd(), &status) != 0) return {};
  const bool ours = S_ISREG(status.st_mode) && (status.st_mode & 077) == 0 && status.st_uid == geteuid();
  if (!ours || status.st_size <= 0 || static_cast<std::size_t>(status.st_size) > most) return {};
  Secret content(static_cast<std::size_t>(status.st_size));
  std::size_t len = 0;
  while (len < content.size()) {
    const ssize_t num = read(file.fd(), content.mutable_view().data() + len, content.size() - len);
    if (num < 0 && errno == EINTR) continue;
    if (num <= 0) return {};
    len += static_cast<std::size_t>(num);
  }
  return content;
}

Result<void> StateDir::keep_secret(const std::string& name, ByteView content) const {
  const auto path = directory_ / name;
  const auto fresh = directory_ / (name + ".new");
  unlink(fresh.c_str());  // O_EXCL: what stands there was not made by us, or not finished
  const File file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.fd() < 0 || fchmod(file.fd(), 0600) != 0) return failure(fresh);
  while (!content.empty()) {
    const ssize_t num = write(file.fd(), content.data(), content.size());
    if (num < 0 && errno == EINTR) continue;
    if (num <= 0) return failure(fresh);
    content = content.subspan(static_cast<std::size_t>(num));
  }
  if (fsync(file.fd()) != 0) return failure(fresh);
  if (rename(fresh.c_str(), path.c_str()) != 0) return failure(path);
  return {};
}

Result<Secret> StateDir::secret(const std::string& name, std::size_t len) const {
  Secret kept = kept_secret(name, len);
  if (kept.size() == len) return kept;
  Secret made(len);
  crypto::system_random().fill(made.mutable_view());
  if (auto done = keep_secret(name, made.view()); !done) return std::unexpected(done.error());
  return made;
}

}  // namespace culvert::daemon

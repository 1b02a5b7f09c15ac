#include "small_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace culvert::daemon {
namespace {

constexpr std::size_t max_len = 1 << 16;

std::unexpected<Error> trouble(const std::filesystem::path& file, int error) {
  return fail(error == ENOENT ? Errc::not_found : Errc::io, fmt::format("{}: {}", file.string(), std::strerror(error)),
              error);
}

Result<void> write_into(const std::filesystem::path& file, int flags, std::string_view text, ::mode_t mode) {
  const int fd = ::open(file.c_str(), flags | O_WRONLY | O_CLOEXEC, mode);
  if (fd < 0) return trouble(file, errno);
  int error = ::fchmod(fd, mode) == 0 ? 0 : errno;
  if (error == 0)
    if (const auto written = write_all(fd, text); !written) error = written.error().system_error;
  ::close(fd);
  if (error != 0) return trouble(file, error);
  return {};
}

}  // namespace

Result<std::string> read_small_file(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return trouble(file, errno);
  std::string text(max_len, '\0');
  std::size_t len = 0;
  int error = 0;
  while (len < text.size()) {
    const ssize_t got = ::read(fd, text.data() + len, text.size() - len);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    len += static_cast<std::size_t>(got);
  }
  ::close(fd);
  if (error != 0) return trouble(file, error);
  text.resize(len);
  return text;
}

Result<void> write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail(Errc::io, std::strerror(errno), errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> replace_file(const std::filesystem::path& file, std::string_view text, ::mode_t mode) {
  const std::filesystem::path fresh = file.string() + ".culvert-new";
  std::error_code ignored;
  std::filesystem::remove(fresh, ignored);
  if (auto written = write_into(fresh, O_CREAT | O_EXCL | O_NOFOLLOW, text, mode); !written) return written;
  if (::rename(fresh.c_str(), file.c_str()) == 0) return {};
  const int error = errno;
  std::filesystem::remove(fresh, ignored);
  if (error == EBUSY) return write_into(file, O_TRUNC, text, mode);  // a mount point
  return trouble(file, error);
}

}  // namespace culvert::daemon

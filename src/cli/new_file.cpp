#include "new_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace culvert::cli {
namespace {

Result<void> write_all(int fd, ByteView bytes, ::mode_t mode) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(Errc::io, std::strerror(errno), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  if (::fchmod(fd, mode) != 0 || ::fsync(fd) != 0) return fail(Errc::io, std::strerror(errno), errno);
  return {};
}

/// 0 or -1 with errno, as rename(2); EEXIST when `to` is there and must stay.
int put_in_place(const char* from, const char* to, bool replace) {
  if (replace) return ::rename(from, to);
  const int done = ::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
  if (done == 0 || (errno != EINVAL && errno != ENOSYS)) return done;
  if (::link(from, to) != 0) return -1;  // file systems that do not know the flag
  return ::unlink(from);
}

}  // namespace

Result<void> write_new_file(const std::filesystem::path& file, ByteView content, ::mode_t mode, bool replace) {
  std::string draft = file.string() + ".XXXXXX";
  const int fd = ::mkostemp(draft.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) return fail(Errc::io, fmt::format("cannot create {}: {}", file.string(), std::strerror(errno)), errno);
  auto done = write_all(fd, content, mode);
  if (::close(fd) != 0 && done) done = fail(Errc::io, std::strerror(errno), errno);
  if (done && put_in_place(draft.c_str(), file.c_str(), replace) != 0)
    done = fail(Errc::io, std::strerror(errno), errno);
  if (done) return {};
  ::unlink(draft.c_str());
  if (done.error().system_error == EEXIST) {
    return fail(Errc::invalid,
                fmt::format("{} exists already and is not overwritten: choose another name", file.string()), EEXIST);
  }
  return fail(Errc::io, fmt::format("cannot write {}: {}", file.string(), done.error().detail),
              done.error().system_error);
}

}  // namespace culvert::cli

#include "genpsk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace culvert::cli {
namespace {

constexpr std::size_t psk_len = 32;

Result<void> write_all(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(Errc::io, std::strerror(errno), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return fail(Errc::io, std::strerror(errno), errno);
  return {};
}

}  // namespace

Result<Secret> make_psk_line() {
  if (sodium_init() < 0) return fail(Errc::internal, "libsodium does not start");
  constexpr int variant = sodium_base64_VARIANT_ORIGINAL;
  constexpr std::size_t text_len = sodium_base64_ENCODED_LEN(psk_len, variant) - 1;  // it counts the NUL
  Secret key(psk_len);
  randombytes_buf(key.mutable_view().data(), key.size());
  Secret line(2 + text_len + 1);
  const MutableByteView out = line.mutable_view();
  out[0] = '0';
  out[1] = 's';
  sodium_bin2base64(reinterpret_cast<char*>(out.data()) + 2, text_len + 1, key.view().data(), key.size(), variant);
  out.back() = '\n';  // in place of the NUL
  return line;
}

Result<void> write_psk_file(const std::filesystem::path& file, ByteView line) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == EEXIST) {
    return fail(Errc::invalid,
                fmt::format("{} exists already, and a key is never overwritten: choose another name", file.string()),
                EEXIST);
  }
  if (fd < 0) return fail(Errc::io, fmt::format("cannot create {}: {}", file.string(), std::strerror(errno)), errno);
  auto written = write_all(fd, line);
  if (::close(fd) != 0 && written) written = fail(Errc::io, std::strerror(errno), errno);
  if (written) return {};
  ::unlink(file.c_str());
  return fail(Errc::io, fmt::format("cannot write {}: {}", file.string(), written.error().detail),
              written.error().system_error);
}

}  // namespace culvert::cli

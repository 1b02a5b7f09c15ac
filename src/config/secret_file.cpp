#include "secret_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "findings.h"

namespace culvert::config {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

std::string name_of(const std::filesystem::path& file) {
  return in_quotes(file.string());
}

Result<void> check_file(int fd, const std::filesystem::path& file) {
  struct stat facts{};
  if (::fstat(fd, &facts) != 0)
    return fail(Errc::io, fmt::format("cannot examine {}: {}", name_of(file), std::strerror(errno)), errno);
  if (!S_ISREG(facts.st_mode)) return fail(Errc::invalid, fmt::format("{} is not a regular file", name_of(file)));
  if ((facts.st_mode & 077) != 0) {
    return fail(Errc::invalid, fmt::format("{} has mode {:04o}, so group or others may touch the secret: chmod 600 {}",
                                           name_of(file), facts.st_mode & 07777, name_of(file)));
  }
  const uid_t we = ::geteuid();
  if (facts.st_uid != we && facts.st_uid != 0) {
    return fail(
        Errc::invalid,
        fmt::format("{} belongs to uid {}, neither to root nor to the user who reads it (uid {}): chown root {}",
                    name_of(file), facts.st_uid, we, name_of(file)));
  }
  if (facts.st_size > static_cast<off_t>(max_psk_file_len)) {
    return fail(Errc::invalid,
                fmt::format("{} is longer than {} bytes: no pre-shared key", name_of(file), max_psk_file_len));
  }
  return {};
}

/// At most max_psk_file_len bytes, whatever the file does meanwhile.
Result<Secret> read_content(int fd, const std::filesystem::path& file) {
  Secret buffer(max_psk_file_len);
  std::size_t len = 0;
  while (len < buffer.size()) {
    const ssize_t got = ::read(fd, buffer.mutable_view().data() + len, buffer.size() - len);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Errc::io, fmt::format("cannot read {}: {}", name_of(file), std::strerror(errno)), errno);
    if (got == 0) break;
    len += static_cast<std::size_t>(got);
  }
  return Secret::copy_of(buffer.view().first(len));
}

ByteView without_newline(ByteView content) {
  if (!content.empty() && content.back() == '\n') content = content.first(content.size() - 1);
  if (!content.empty() && content.back() == '\r') content = content.first(content.size() - 1);
  return content;
}

Result<Secret> decode_hex(ByteView digits) {
  Secret decoded(digits.size() / 2);
  std::size_t len = 0;
  const char* end = nullptr;
  const auto* text = reinterpret_cast<const char*>(digits.data());
  const bool whole = digits.size() % 2 == 0 && sodium_hex2bin(decoded.mutable_view().data(), decoded.size(), text,
                                                              digits.size(), nullptr, &len, &end) == 0;
  if (!whole || len != decoded.size()) return fail(Errc::invalid, "after 0x an even number of hex digits is expected");
  return decoded;
}

Result<Secret> decode_base64(ByteView digits) {
  Secret decoded(digits.size() / 4 * 3 + 3);
  std::size_t len = 0;
  const char* end = nullptr;
  const auto* text = reinterpret_cast<const char*>(digits.data());
  const int variant = !digits.empty() && digits.back() == '=' ? sodium_base64_VARIANT_ORIGINAL
                                                              : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
  const int outcome = sodium_base642bin(decoded.mutable_view().data(), decoded.size(), text, digits.size(), nullptr,
                                        &len, &end, variant);
  if (outcome != 0 || end != text + digits.size()) return fail(Errc::invalid, "after 0s base64 is expected");
  return Secret::copy_of(decoded.view().first(len));
}

Result<Secret> decode(ByteView line) {
  const std::string_view text = as_text(line);
  if (text == "0x" || text == "0s") return fail(Errc::invalid, "there is no key behind its prefix");
  if (text.starts_with("0x")) return decode_hex(line.subspan(2));
  if (text.starts_with("0s")) return decode_base64(line.subspan(2));
  for (const std::uint8_t byte : line) {
    if (byte < 0x20 && byte != '\t') return fail(Errc::invalid, "one line with the key is expected, and nothing else");
  }
  return Secret::copy_of(line);
}

}  // namespace

Result<Secret> read_psk(const std::filesystem::path& file) {
  // O_NONBLOCK: a FIFO must not hold us.
  const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0 && errno == ENOENT) {
    return fail(Errc::not_found,
                fmt::format("{} does not exist: make one with culvert genpsk {}", name_of(file), name_of(file)),
                ENOENT);
  }
  if (fd.get() < 0)
    return fail(Errc::io, fmt::format("cannot open {}: {}", name_of(file), std::strerror(errno)), errno);
  if (auto fine = check_file(fd.get(), file); !fine) return std::unexpected(fine.error());
  auto content = read_content(fd.get(), file);
  if (!content) return std::unexpected(content.error());
  const ByteView line = without_newline(content->view());
  if (line.empty())
    return fail(Errc::invalid, fmt::format("{} is empty: make a key with culvert genpsk", name_of(file)));
  auto psk = decode(line);
  if (!psk) return fail(Errc::invalid, fmt::format("{}: {}", name_of(file), psk.error().detail));
  if (psk->size() < min_psk_len) {
    return fail(Errc::invalid,
                fmt::format("the key in {} has {} bytes, at least {} are needed: make one with culvert genpsk",
                            name_of(file), psk->size(), min_psk_len));
  }
  return psk;
}

}  // namespace culvert::config

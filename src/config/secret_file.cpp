#include "culvert/config/secret_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "findings.h"

namespace culvert::config {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

std::string name_of(const FileName& file) {
  return in_quotes(file.path.string());
}

Result<struct stat> examine(int fd, const FileName& file) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0)
    return fail(Errc::io, fmt::format("cannot examine {}: {}", name_of(file), std::strerror(errno)), errno);
  if (!S_ISREG(facts.st_mode)) return fail(Errc::invalid, fmt::format("{} is not a regular file", name_of(file)));
  return facts;
}

Result<void> check_secret_file(int fd, const FileName& file, std::size_t max_len, std::string_view what) {
  const auto facts = examine(fd, file);
  if (!facts) return std::unexpected(facts.error());
  // systemd grants the service's user by an ACL, whose mask shows as the group's bits; its folder keeps others out.
  const ::mode_t forbidden = file.credential ? 037 : 077;
  if ((facts->st_mode & forbidden) != 0) {
    return fail(Errc::invalid, fmt::format("{} has mode {:04o}, so group or others may touch the secret: chmod 600 {}",
                                           name_of(file), facts->st_mode & 07777, name_of(file)));
  }
  const uid_t we = ::geteuid();
  if (facts->st_uid != we && facts->st_uid != 0) {
    return fail(
        Errc::invalid,
        fmt::format("{} belongs to uid {}, neither to root nor to the user who reads it (uid {}): chown root {}",
                    name_of(file), facts->st_uid, we, name_of(file)));
  }
  if (facts->st_size > static_cast<off_t>(max_len))
    return fail(Errc::invalid, fmt::format("{} is longer than {} bytes: no {}", name_of(file), max_len, what));
  return {};
}

/// Fills `buffer` as far as the file goes, whatever it does meanwhile; the number of bytes.
Result<std::size_t> read_into(int fd, const FileName& file, MutableByteView buffer) {
  std::size_t len = 0;
  while (len < buffer.size()) {
    const ssize_t got = ::read(fd, buffer.data() + len, buffer.size() - len);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Errc::io, fmt::format("cannot read {}: {}", name_of(file), std::strerror(errno)), errno);
    if (got == 0) break;
    len += static_cast<std::size_t>(got);
  }
  return len;
}

Result<FileDescriptor> open_file(const FileName& file, std::string_view way_out) {
  // O_NONBLOCK: a FIFO must not hold us.
  FileDescriptor fd(
      open_file_of_configuration(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() >= 0) return fd;
  if (errno == ENOENT) return fail(Errc::not_found, fmt::format("{} does not exist{}", name_of(file), way_out), ENOENT);
  return fail(Errc::io, fmt::format("cannot open {}: {}", name_of(file), std::strerror(errno)), errno);
}

/// `way_out` follows "FILE does not exist".
Result<Secret> read_secret(const FileName& file, std::size_t max_len, std::string_view what, std::string_view way_out) {
  const auto fd = open_file(file, way_out);
  if (!fd) return std::unexpected(fd.error());
  if (auto fine = check_secret_file(fd->get(), file, max_len, what); !fine) return std::unexpected(fine.error());
  Secret buffer(max_len);
  const auto len = read_into(fd->get(), file, buffer.mutable_view());
  if (!len) return std::unexpected(len.error());
  return Secret::copy_of(buffer.view().first(*len));
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

std::function<int(const char* path, int flags)>& opener_in_use() {
  static std::function<int(const char* path, int flags)> opener;
  return opener;
}

}  // namespace

void open_files_by(std::function<int(const char* path, int flags)> opener) {
  opener_in_use() = std::move(opener);
}

int open_file_of_configuration(const char* path, int flags) {
  const auto& opener = opener_in_use();
  return opener ? opener(path, flags) : ::open(path, flags);
}

Result<FileName> find_file(const std::filesystem::path& folder, std::string_view name) {
  constexpr std::string_view scheme = "credential:";
  if (!name.starts_with(scheme)) return FileName(folder / name);
  const std::string_view credential = name.substr(scheme.size());
  const char* directory = ::secure_getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') {
    return fail(Errc::invalid,
                fmt::format("there are no systemd credentials here ($CREDENTIALS_DIRECTORY is not set): the unit needs "
                            "LoadCredential={}:FILE",
                            credential));
  }
  if (credential.empty() || credential.find('/') != std::string_view::npos || credential.starts_with('.'))
    return fail(Errc::invalid, "behind credential: the name of a systemd credential is expected, without a '/'");
  FileName file(std::filesystem::path(directory) / credential);
  file.credential = true;
  return file;
}

Result<Secret> read_psk(const FileName& file) {
  auto content = read_secret(file, max_psk_file_len, "pre-shared key",
                             fmt::format(": make one with culvert genpsk {}", name_of(file)));
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

Result<Secret> read_private_key(const FileName& file) {
  auto content = read_secret(
      file, max_key_file_len, "private key",
      fmt::format(": culvert pki makes one with its certificate, culvert genkey {} one without", name_of(file)));
  if (content && content->empty()) return fail(Errc::invalid, fmt::format("{} is empty", name_of(file)));
  return content;
}

Result<Secret> read_passphrase(const FileName& file) {
  auto content = read_secret(file, max_psk_file_len, "passphrase", "");
  if (!content) return content;
  const ByteView line = without_newline(content->view());
  if (line.empty()) return fail(Errc::invalid, fmt::format("{} is empty", name_of(file)));
  for (const std::uint8_t byte : line) {
    if (byte == '\n' || byte == 0)
      return fail(Errc::invalid, fmt::format("{}: one line is expected, and nothing else", name_of(file)));
  }
  return Secret::copy_of(line);
}

Result<Secret> read_users(const FileName& file) {
  constexpr std::size_t max_len = 1u << 20;  // what the parser takes
  const auto fd = open_file(file, "");
  if (!fd) return std::unexpected(fd.error());
  if (auto fine = check_secret_file(fd->get(), file, max_len, "file of users"); !fine) return std::unexpected(fine.error());
  const auto facts = examine(fd->get(), file);
  if (!facts) return std::unexpected(facts.error());
  Secret content(static_cast<std::size_t>(facts->st_size));
  const auto len = read_into(fd->get(), file, content.mutable_view());
  if (!len) return std::unexpected(len.error());
  return Secret::copy_of(content.view().first(*len));
}

Result<Bytes> read_public_file(const FileName& file) {
  const auto fd = open_file(file, "");
  if (!fd) return std::unexpected(fd.error());
  const auto facts = examine(fd->get(), file);
  if (!facts) return std::unexpected(facts.error());
  if ((facts->st_mode & 002) != 0) {
    return fail(Errc::invalid,
                fmt::format("{} may be written by everybody, who would decide whom we trust: chmod o-w {}",
                            name_of(file), name_of(file)));
  }
  if (facts->st_size > static_cast<off_t>(max_public_file_len))
    return fail(Errc::invalid, fmt::format("{} is longer than {} bytes", name_of(file), max_public_file_len));
  Bytes content(static_cast<std::size_t>(facts->st_size));
  const auto len = read_into(fd->get(), file, content);
  if (!len) return std::unexpected(len.error());
  content.resize(*len);
  return content;
}

}  // namespace culvert::config

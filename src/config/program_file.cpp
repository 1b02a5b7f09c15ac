#include "culvert/config/program_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <utility>

#include "findings.h"

namespace culvert::config {
namespace {

namespace fs = std::filesystem;

constexpr int max_links = 40;  // as the kernel has it (MAXSYMLINKS)

Result<void> check_owner(const fs::path& path, const struct stat& facts) {
  const std::string name = in_quotes(path.string());
  if (facts.st_uid != 0 && facts.st_uid != ::geteuid())
    return fail(Errc::invalid, fmt::format("{} belongs to uid {}, who could change what is run as root: chown root {}",
                                           name, facts.st_uid, name));
  const bool sticky_folder = S_ISDIR(facts.st_mode) && (facts.st_mode & S_ISVTX) != 0;
  if (!S_ISLNK(facts.st_mode) && (facts.st_mode & 022) != 0 && !sticky_folder)
    return fail(Errc::invalid, fmt::format("{} has mode {:04o}, so group or others could change what is run as root: "
                                           "chmod go-w {}",
                                           name, facts.st_mode & 07777, name));
  return {};
}

/// What cannot be looked at passes when we are not root.
bool may_pass(int error) {
  return error == EACCES && ::geteuid() != 0;
}

/// Walks the path as the kernel does, link by link. What it leads to in the end; Errc::no_match: who is root shall say.
Result<struct stat> examine(const fs::path& file) {
  std::error_code error;
  const fs::path whole = fs::absolute(file, error);
  if (error) return fail(Errc::io, error.message());
  std::deque<fs::path> pieces(whole.begin(), whole.end());
  fs::path at;
  struct stat facts {};
  for (int links = 0; !pieces.empty();) {
    const fs::path piece = std::exchange(pieces.front(), {});
    pieces.pop_front();
    if (piece.empty() || piece == ".") continue;
    const fs::path next = piece == ".." ? at.parent_path() : piece.is_absolute() ? piece : at / piece;
    if (::lstat(next.c_str(), &facts) != 0) {
      if (may_pass(errno)) return fail(Errc::no_match, "");
      return fail(errno == ENOENT ? Errc::not_found : Errc::io,
                  fmt::format("{}: {}", in_quotes(next.string()), std::strerror(errno)), errno);
    }
    if (auto fine = check_owner(next, facts); !fine) return std::unexpected(fine.error());
    if (!S_ISLNK(facts.st_mode)) {
      at = next;
      continue;
    }
    const fs::path target = fs::read_symlink(next, error);
    if (error || ++links > max_links)
      return fail(Errc::io, fmt::format("{}: a link that leads nowhere", in_quotes(next.string())));
    pieces.insert(pieces.begin(), target.begin(), target.end());
  }
  return facts;
}

}  // namespace

Result<void> check_trusted_file(const fs::path& file) {
  const auto facts = examine(file);
  if (facts || facts.error().code == Errc::no_match) return {};
  return std::unexpected(facts.error());
}

Result<void> check_program_file(const std::string& program) {
  if (!program.starts_with('/'))
    return fail(Errc::invalid, fmt::format("{} is no whole path: expected the program first, such as "
                                           "\"/usr/local/sbin/tunnel-up\", and each argument as a string of its own",
                                           in_quotes(program)));
  const auto facts = examine(program);
  if (!facts && facts.error().code == Errc::no_match) return {};
  if (!facts) return std::unexpected(facts.error());
  if (!S_ISREG(facts->st_mode)) return fail(Errc::invalid, fmt::format("{} is not a regular file", in_quotes(program)));
  if ((facts->st_mode & 0111) == 0)
    return fail(Errc::invalid,
                fmt::format("{} is not executable: chmod +x {}", in_quotes(program), in_quotes(program)));
  return {};
}

}  // namespace culvert::config

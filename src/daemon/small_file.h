#pragma once
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "culvert/base/result.h"

namespace culvert::daemon {

/// The first 64 KiB of a file. Errc::not_found, Errc::io.
[[nodiscard]] Result<std::string> read_small_file(const std::filesystem::path& file);
/// All of it, however often write(2) is interrupted. Errc::io, with errno; some of it may be written then.
[[nodiscard]] Result<void> write_all(int fd, std::string_view text);
/// Puts a file with `text` in the place of `file` (of a link itself, not of what it leads to): whole or not at all.
/// What is a mount point is written into. With exactly this mode, whatever the umask.
[[nodiscard]] Result<void> replace_file(const std::filesystem::path& file, std::string_view text, ::mode_t mode);

}  // namespace culvert::daemon

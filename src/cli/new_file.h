#pragma once
#include <sys/types.h>

#include <filesystem>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"

namespace culvert::cli {

inline constexpr ::mode_t secret_mode = 0600;
inline constexpr ::mode_t public_mode = 0644;

/// Puts `content` where nothing stands yet, whole or not at all, with exactly this mode whatever the umask. `replace`
/// puts it in the place of what stands there (of a link itself, not of what it leads to). Errc::invalid when something
/// is there and must stay, Errc::io otherwise; on error what was there before is untouched.
[[nodiscard]] Result<void> write_new_file(const std::filesystem::path& file, ByteView content, ::mode_t mode,
                                          bool replace = false);

}  // namespace culvert::cli

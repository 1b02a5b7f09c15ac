#pragma once
#include <filesystem>
#include <string>

#include "culvert/base/result.h"

namespace culvert::config {

/// Whether nobody but root, and who we are, can change this file or put another in its place: owner and mode of the
/// file and of all folders above it, by every link on the way. A folder that others may write to is fine when it is
/// sticky, as /tmp is. What we may not look at ourselves (EACCES, when we are not root) passes: who is root looks
/// again. The error is a sentence with the way out. Any thread.
[[nodiscard]] Result<void> check_trusted_file(const std::filesystem::path& file);
/// …and whether it is an absolute path to a program.
[[nodiscard]] Result<void> check_program_file(const std::string& program);

}  // namespace culvert::config

#pragma once
#include <filesystem>

#include "culvert/base/result.h"
#include "culvert/base/secret.h"

namespace culvert::cli {

/// 256 random bits as one line for a psk_file: "0s", base64, newline.
[[nodiscard]] Result<Secret> make_psk_line();
/// Creates FILE with mode 0600 and the line in it. Errc::invalid when the name exists: a key is never overwritten. On
/// error no file is left behind.
[[nodiscard]] Result<void> write_psk_file(const std::filesystem::path& file, ByteView line);

}  // namespace culvert::cli

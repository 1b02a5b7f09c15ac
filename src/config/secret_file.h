#pragma once
#include <filesystem>
#include <string>

#include "culvert/base/result.h"
#include "culvert/base/secret.h"

namespace culvert::config {

inline constexpr std::size_t max_psk_file_len = 64 * 1024;  ///< bytes
inline constexpr std::size_t min_psk_len = 8;               ///< bytes, refused below
inline constexpr std::size_t advised_psk_len = 16;          ///< bytes, a warning below

/// The pre-shared key in FILE: one line of text taken as it is, or "0x" and hex, or "0s" and base64. Errc::not_found,
/// Errc::io, or Errc::invalid for a file that is no regular one, that group or others may touch, that someone else
/// owns, or whose content is no key; the detail says which and the way out. Every buffer that held the key is wiped.
[[nodiscard]] Result<Secret> read_psk(const std::filesystem::path& file);

}  // namespace culvert::config

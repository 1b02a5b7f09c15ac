#pragma once
#include <string>
#include <string_view>

#include "culvert/base/result.h"

namespace culvert::cli {

/// `data` as a QR code (ISO/IEC 18004, error correction L) of half blocks, two rows of modules a line, with its quiet
/// zone: bright modules are drawn, for dark terminals; with `color` in black and white whatever the terminal has.
/// Errc::exhausted: more than the largest code holds (2,953 bytes).
[[nodiscard]] Result<std::string> qr_code(std::string_view data, bool color);

}  // namespace culvert::cli

#pragma once
#include <string_view>

#include "exit_code.h"

namespace culvert::cli {

/// A line on standard error, "culvert: …".
void complain(std::string_view text);
/// False when standard output is gone (a closed pipe, a full disk): an answer nobody got is no success.
[[nodiscard]] bool print(std::string_view text);
[[nodiscard]] ExitCode printed(std::string_view text);

}  // namespace culvert::cli

#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/base/time.h"

namespace culvert::daemon {

/// Where a program of the system stands: in the folders where distributions put them, whatever PATH says. Empty: it is
/// not installed.
[[nodiscard]] std::string find_program(std::string_view name);

/// Runs a program to its end, without a shell: `argv[0]` is its path. `input` is its standard input. What it prints is
/// for the error alone, the first 1000 bytes of it. Waits for it: at most `limit`, then it is killed. Errc::not_found:
/// no such program; Errc::io: it failed, with its exit status in system_error.
[[nodiscard]] Result<void> run_program(const std::vector<std::string>& argv, std::string_view input = {},
                                       Duration limit = std::chrono::seconds(5));

}  // namespace culvert::daemon

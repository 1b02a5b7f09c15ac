#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "culvert/control/protocol.h"
#include "exit_code.h"

namespace culvert::cli {

struct StatusOptions {
  bool json = false;
  bool check = false;                   ///< exit status 4 when a configured tunnel is down
  std::optional<double> watch_seconds;  ///< redraw until interrupted
};

// Each prints to standard output, errors to standard error, and returns the exit status.

[[nodiscard]] ExitCode run_status(const std::filesystem::path& socket, const StatusOptions& options);
[[nodiscard]] ExitCode run_drops(const std::filesystem::path& socket, bool json, bool all);
/// up, down and rekey: prints the daemon's one line.
[[nodiscard]] ExitCode run_request(const std::filesystem::path& socket, const control::Request& request);
[[nodiscard]] ExitCode run_check(const std::filesystem::path& file);
/// To standard output without a file.
[[nodiscard]] ExitCode run_genpsk(const std::optional<std::filesystem::path>& file);

/// The whole command.
[[nodiscard]] int run(int argc, const char* const* argv);

}  // namespace culvert::cli

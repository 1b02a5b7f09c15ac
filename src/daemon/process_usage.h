#pragma once
#include <cstdint>
#include <optional>

namespace culvert::daemon {

/// What this process takes of the machine. What the kernel does not say (no /proc) is nullopt.
struct ProcessUsage {
  double cpu_s = 0;                                      ///< user and system
  std::optional<std::uint64_t> resident, address_space;  ///< bytes
  std::optional<std::uint64_t> open_fds;
  std::uint64_t max_fds = 0;
};

[[nodiscard]] ProcessUsage process_usage();

}  // namespace culvert::daemon

#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::daemon {

/// What a process opens beside what it is told to.
enum class Needs : std::uint8_t {
  what_a_gateway_needs,  ///< what names are looked up by, libraries, the devices of a gateway
  nothing_else,
};

/// Of the file system the process and the threads that it makes from here on see only this much: what `readable` and
/// `writable` name (files, or folders with all in them; what does not exist is left out), and what
/// it `needs`. Landlock, where the kernel has it: returns false where not.
[[nodiscard]] Result<bool> restrict_files(const std::vector<std::filesystem::path>& readable,
                                          const std::vector<std::filesystem::path>& writable,
                                          Needs needs = Needs::what_a_gateway_needs);
/// The version of Landlock's interface by which restrict_files has restricted this process; 0: it has not.
[[nodiscard]] int landlock_in_force() noexcept;

/// All threads of the process may call only what a running gateway calls; anything else fails with EPERM. It executes
/// no program, traces nobody, loads no module, mounts nothing, and makes no memory executable.
[[nodiscard]] Result<void> restrict_system_calls();

/// Built with sanitizers, whose own run-time library needs what a gateway does not.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif

}  // namespace culvert::daemon

#pragma once
#include "hook_helper.h"

namespace culvert::daemon {

/// The first byte of what goes to the helper and comes from it; fields behind it end with NUL.
namespace hook_message {
inline constexpr char done = 'D', printed = 'P';
inline constexpr std::size_t max_len = 65536;
}  // namespace hook_message

/// The life of the helper's process, until the daemon closes the sockets. `control` takes paths of configurations, and
/// answers with why not, or nothing; `jobs` takes HookJobs.
[[noreturn]] void serve_hooks(int control, int jobs, const HookHelper::Limits& limits);

}  // namespace culvert::daemon

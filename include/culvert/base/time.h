#pragma once
#include <chrono>

namespace culvert {

/// Monotonic. Only the daemon and the workers read the clock; protocol code is told what time it is.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

}  // namespace culvert

#pragma once
#include <chrono>

#include "culvert/control/trace.h"
#include "culvert/ike/trace.h"

namespace culvert::daemon {

/// As the control socket tells it; `time` by the wall clock.
[[nodiscard]] control::TraceReport make_trace(const ike::TraceEntry& entry, std::chrono::system_clock::time_point time);

}  // namespace culvert::daemon

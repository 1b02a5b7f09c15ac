#pragma once
#include <algorithm>

#include "culvert/base/time.h"

namespace culvert::ike {

/// How fast we begin to call peers when there are many to call, as after a restart: some at once, then a steady few.
/// The gateways at the other ends, name servers and our own processor are not run over (no thundering herd), and who
/// does not answer keeps nobody else waiting. Only those we call are counted: who calls us has admission.h.
class InitiationPace {
 public:
  static constexpr int burst = 64;
  static constexpr Duration interval = std::chrono::milliseconds(2);

  /// When the next one may begin: `now`, or the first moment after it that nobody else has.
  [[nodiscard]] TimePoint reserve(TimePoint now) {
    next_ = std::max(next_, now - (burst - 1) * interval);
    const TimePoint at = std::max(next_, now);
    next_ += interval;
    return at;
  }

 private:
  TimePoint next_{};
};

}  // namespace culvert::ike

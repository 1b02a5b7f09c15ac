#pragma once
#include "culvert/base/time.h"

namespace culvert::tunnel {

/// How busy a worker is, over windows of 10 ms. One worker.
class WorkerLoad {
 public:
  /// It slept, or looked in vain, from one point to the other. True once for each window of which it had less than two
  /// fifths for that.
  [[nodiscard]] bool slept(TimePoint from, TimePoint until) noexcept {
    if (begin_ == TimePoint{}) begin_ = from;
    idle_ += until - from;
    const Duration passed = until - begin_;
    if (passed < window) return false;
    const bool busy = idle_ * 5 < passed * 2;
    begin_ = until;
    idle_ = Duration::zero();
    return busy;
  }

 private:
  static constexpr Duration window = std::chrono::milliseconds(10);

  TimePoint begin_{};
  Duration idle_ = Duration::zero();
};

}  // namespace culvert::tunnel

#pragma once
#include "culvert/base/time.h"

namespace culvert::tunnel {

/// How busy a worker is, over windows of 10 ms, a round being what it does between two sleeps. One worker.
class WorkerLoad {
 public:
  /// It slept, or looked in vain, from one point to the other. True once for each window of which it had less than two
  /// fifths for that.
  [[nodiscard]] bool slept(TimePoint from, TimePoint until) noexcept {
    ++num_rounds_;
    if (begin_ == TimePoint{}) begin_ = from;
    idle_ += until - from;
    const Duration passed = until - begin_;
    if (passed < window) return false;
    const bool busy = idle_ * 5 < passed * 2;
    was_calm_ = idle_ * 20 >= passed * 19;
    num_rounds_ = 0;
    begin_ = until;
    idle_ = Duration::zero();
    return busy;
  }

  /// It had next to nothing to do in the last window, nor has it in this one up to now: what comes comes alone.
  [[nodiscard]] bool is_calm() const noexcept { return was_calm_ && num_rounds_ < few_rounds; }

 private:
  static constexpr Duration window = std::chrono::milliseconds(10);

  static constexpr unsigned few_rounds = 4;

  TimePoint begin_{};
  Duration idle_ = Duration::zero();
  unsigned num_rounds_ = 0;  ///< of the window at hand
  bool was_calm_ = false;
};

}  // namespace culvert::tunnel

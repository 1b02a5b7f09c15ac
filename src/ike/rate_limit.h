#pragma once
#include <algorithm>

#include "culvert/base/time.h"

namespace culvert::ike {

/// At most `burst` at once, and one more each `pause`. Owned by whoever limits; one thread.
class RateLimit {
 public:
  RateLimit(Duration pause, int burst) : pause_(pause), burst_(burst) {}
  [[nodiscard]] bool take(TimePoint now) {
    credit_ = std::max(credit_, now - burst_ * pause_);
    if (credit_ + pause_ > now) return false;
    credit_ += pause_;
    return true;
  }

 private:
  Duration pause_;
  int burst_;
  TimePoint credit_{};  ///< when it was (or will be) empty
};

}  // namespace culvert::ike

#pragma once
#include <array>
#include <chrono>
#include <cstddef>

#include "culvert/base/ip.h"
#include "culvert/base/time.h"

namespace culvert::tunnel {

/// Lets one UnknownSpiEvent a second through for each remote endpoint, in fixed memory: remotes that meet in one slot
/// of the table share its second, so that forged sources get num_slots a second through and no more. One worker's own.
class UnknownSpiLimit {
 public:
  static constexpr std::size_t num_slots = 256;

  [[nodiscard]] bool allow(const Endpoint& remote, TimePoint now) noexcept {
    TimePoint& next = next_[std::hash<Endpoint>{}(remote) % num_slots];
    if (now < next) return false;
    next = now + std::chrono::seconds(1);
    return true;
  }

 private:
  std::array<TimePoint, num_slots> next_{};
};

}  // namespace culvert::tunnel

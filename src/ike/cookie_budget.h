#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/time.h"

namespace culvert::ike {

/// Which of the requests that come without a cookie get one, when there are more than can be answered without others
/// feeling it. Some do at once; who comes again does first: whoever forges addresses sends each request once, an honest
/// initiator repeats it (RFC 7296 §2.1). What was seen is remembered as 16 bits of a hash, for 5 to 10 s, in a fixed
/// piece of memory that is there while it is needed. Control thread.
class CookieBudget {
 public:
  // In each second, and so many seconds' worth of them at once: thousands of honest peers may come in the same moment. An
  // answer costs as much as ten requests that get none.
  static constexpr std::uint64_t of_first = 1000;  ///< of those seen for the first time
  static constexpr std::uint64_t of_again = 5000;  ///< of those that come again
  static constexpr std::uint64_t of_known = 5000;  ///< of those from addresses that configured peers have, before that
  static constexpr Duration burst_of_first = std::chrono::seconds(5);
  static constexpr Duration burst_of_others = std::chrono::seconds(1);
  static constexpr std::size_t num_entries = std::size_t{1} << 19;  ///< of each of the two generations; 1 MiB

  /// `seed`: unknown to those who ask.
  [[nodiscard]] bool take(TimePoint now, const IpAddress& address, IkeSpi spi_i, std::uint64_t seed, bool known);
  /// Nothing is remembered any more.
  void forget();

 private:
  class Bucket {
   public:
    Bucket(std::uint64_t each_second, Duration burst) noexcept
        : each_(Duration(std::chrono::seconds(1)) / each_second), burst_(burst) {}
    [[nodiscard]] bool take(TimePoint now) noexcept;

   private:
    Duration each_, burst_;
    TimePoint empty_at_{};
  };
  [[nodiscard]] bool is_repeated(TimePoint now, std::uint64_t hash);

  Bucket first_{of_first, burst_of_first}, again_{of_again, burst_of_others}, known_{of_known, burst_of_others};
  std::array<std::vector<std::uint16_t>, 2> seen_;  ///< this generation, and the one before
  TimePoint generation_began_{};
};

}  // namespace culvert::ike

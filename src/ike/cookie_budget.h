#pragma once
#include <array>
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
  static constexpr std::uint64_t each_second = 5000;  ///< of those seen first, and again of those that come again
  static constexpr std::size_t num_entries = std::size_t{1} << 19;  ///< of each of the two generations; 1 MiB

  /// `seed`: unknown to those who ask.
  [[nodiscard]] bool take(TimePoint now, const IpAddress& address, IkeSpi spi_i, std::uint64_t seed);
  /// Nothing is remembered any more.
  void forget();

 private:
  class Bucket {
   public:
    [[nodiscard]] bool take(TimePoint now) noexcept;

   private:
    TimePoint empty_at_{};
  };
  [[nodiscard]] bool is_repeated(TimePoint now, std::uint64_t hash);

  Bucket first_, again_;
  std::array<std::vector<std::uint16_t>, 2> seen_;  ///< this generation, and the one before
  TimePoint generation_began_{};
};

}  // namespace culvert::ike

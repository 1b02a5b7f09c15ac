#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/time.h"
#include "place_index.h"

namespace culvert::ike {

/// Slows those who try passwords of one user (RFC 3748 §7.4 leaves them to us): so many tries at once, then one now and
/// then, whoever makes them; but not from where this user has logged in before, so that nobody can lock him out. Those
/// who try many users from one address are Admission's. Bounded; names need not exist. Owned by Core, control thread.
class GuessLimit {
 public:
  static constexpr std::size_t max_users = 4096;
  static constexpr int burst = 10;
  static constexpr Duration pause = std::chrono::seconds(30);  ///< for one more

  /// One try. False: not now.
  [[nodiscard]] bool take(TimePoint now, std::string_view user, const IpAddress& from);
  /// That was the password: the try does not count, and this address is one of the user's.
  void on_success(TimePoint now, std::string_view user, const IpAddress& from);
  [[nodiscard]] std::size_t size() const noexcept { return budgets_.size(); }

 private:
  struct Budget {
    std::uint64_t user = 0;  ///< of a hash of the name
    TimePoint credit{};      ///< when it was (or will be) empty
    std::optional<IpAddress> home;
  };
  Budget& budget_of(TimePoint now, std::string_view user);
  void forget_oldest();
  void add_to_index(std::size_t place);

  std::vector<Budget> budgets_;
  PlaceIndex by_user_;
};

}  // namespace culvert::ike

#include "guess_limit.h"

#include <algorithm>

namespace culvert::ike {

bool GuessLimit::take(TimePoint now, std::string_view user, const IpAddress& from) {
  Budget& budget = budget_of(now, user);
  if (budget.home == from) return true;
  budget.credit = std::max(budget.credit, now - burst * pause);
  if (budget.credit + pause > now) return false;
  budget.credit += pause;
  return true;
}

void GuessLimit::on_success(TimePoint now, std::string_view user, const IpAddress& from) {
  Budget& budget = budget_of(now, user);
  budget.credit -= pause;
  budget.home = from;
}

GuessLimit::Budget& GuessLimit::budget_of(TimePoint now, std::string_view user) {
  const auto found = users_.find(user);
  if (found != users_.end()) return found->second;
  if (users_.size() >= max_users) {
    // Who has been left alone for longest; each that is pushed out by another name has cost a try at an address's
    // expense.
    const auto oldest = std::ranges::min_element(users_, {}, [](const auto& entry) { return entry.second.credit; });
    users_.erase(oldest);
  }
  return users_.emplace(std::string(user), Budget{now - burst * pause, std::nullopt}).first->second;
}

}  // namespace culvert::ike

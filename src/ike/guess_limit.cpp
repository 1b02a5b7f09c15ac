#include "guess_limit.h"

#include <algorithm>
#include <utility>
#include <vector>

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
  if (users_.size() >= max_users) forget_oldest();
  return users_.emplace(user, Budget{now - burst * pause, std::nullopt}).first->second;
}

/// Some of those who have been left alone for longest, so that the search for them is made now and then only; each that
/// is pushed out by another name has cost a try at an address's expense.
void GuessLimit::forget_oldest() {
  std::vector<std::pair<TimePoint, decltype(users_)::iterator>> by_age;
  for (auto user = users_.begin(); user != users_.end(); ++user) by_age.emplace_back(user->second.credit, user);
  const auto end = by_age.begin() + max_users / 16;
  std::ranges::nth_element(by_age, end, {}, [](const auto& one) { return one.first; });
  for (auto one = by_age.begin(); one != end; ++one) users_.erase(one->second);
}

}  // namespace culvert::ike

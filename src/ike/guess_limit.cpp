#include "guess_limit.h"

#include <algorithm>

#include "culvert/base/bytes.h"
#include "culvert/crypto/prf.h"

namespace culvert::ike {
namespace {

/// A name may be long, and 4,096 of them are kept: 64 bits of its hash are enough to tell them apart.
std::uint64_t hash_of_name(std::string_view user) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(user.data());
  return load_be<std::uint64_t>(crypto::sha256({ByteView(bytes, user.size())}).data());
}

}  // namespace

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
  const std::uint64_t name = hash_of_name(user);
  const std::uint32_t place = by_user_.find(name, [&](std::uint32_t at) { return budgets_[at].user == name; });
  if (place != PlaceIndex::none) return budgets_[place];
  if (budgets_.size() >= max_users) forget_oldest();
  if (budgets_.size() == budgets_.capacity()) budgets_.reserve(budgets_.size() + budgets_.size() / 4 + 16);
  budgets_.push_back({name, now - burst * pause, std::nullopt});
  add_to_index(budgets_.size() - 1);
  return budgets_.back();
}

void GuessLimit::add_to_index(std::size_t place) {
  by_user_.add(static_cast<std::uint32_t>(place), [this](std::uint32_t at) { return budgets_[at].user; });
}

/// Some of those who have been left alone for longest, so that the search for them is made now and then only; each that
/// is pushed out by another name has cost a try at an address's expense.
void GuessLimit::forget_oldest() {
  const auto end = budgets_.begin() + max_users / 16;
  std::ranges::nth_element(budgets_, end, {}, &Budget::credit);
  budgets_.erase(budgets_.begin(), end);
  by_user_ = {};
  for (std::size_t place = 0; place < budgets_.size(); ++place) add_to_index(place);
}

}  // namespace culvert::ike

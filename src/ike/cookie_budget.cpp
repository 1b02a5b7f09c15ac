#include "cookie_budget.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace culvert::ike {
namespace {

using namespace std::chrono_literals;

constexpr Duration generation = 5s;

/// The finalizer of MurmurHash3: each bit of the input moves half of the output's.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCDULL;
  value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53ULL;
  return value ^ (value >> 33);
}

}  // namespace

bool CookieBudget::take(TimePoint now, const IpAddress& address, IkeSpi spi_i, std::uint64_t seed, bool known) {
  if (known && known_.take(now)) return true;
  std::uint64_t hash = mix(seed ^ spi_i.value());
  for (std::size_t i = 0; i < address.size(); i += 4) hash = mix(hash ^ load_be<std::uint32_t>(&address.bytes()[i]));
  return is_repeated(now, hash) ? again_.take(now) || first_.take(now) : first_.take(now);
}

bool CookieBudget::is_repeated(TimePoint now, std::uint64_t hash) {
  if (now - generation_began_ >= generation) {
    std::swap(seen_[0], seen_[1]);
    if (now - generation_began_ >= 2 * generation) seen_[1].clear();  // a quiet time lies between
    seen_[0].assign(num_entries, 0);
    generation_began_ = now;
  }
  const std::size_t place = hash % num_entries;
  const auto mark = static_cast<std::uint16_t>((hash >> 48) | 1);
  const bool repeated = seen_[0][place] == mark || (!seen_[1].empty() && seen_[1][place] == mark);
  seen_[0][place] = mark;
  return repeated;
}

void CookieBudget::forget() {
  seen_ = {};
  generation_began_ = {};
}

bool CookieBudget::Bucket::take(TimePoint now) noexcept {
  empty_at_ = std::max(empty_at_, now);
  if (empty_at_ - now + each_ > burst_) return false;
  empty_at_ += each_;
  return true;
}

}  // namespace culvert::ike

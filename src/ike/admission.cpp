#include "admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace culvert::ike {
namespace {

using namespace std::chrono_literals;

constexpr Duration calm_time = 10s;  // without a busy second: the flood has ended

// Failed authentications are leaky buckets. Of an address: 10 at once, then one each 6 s, so that one wrong key behind
// a NAT, tried again and again with growing pauses, does not lock its neighbours out.
constexpr int address_burst = 10, prefix_burst = 50;
constexpr Duration address_pause = 6s, prefix_pause = 1s;

IpPrefix cut(const IpAddress& address, std::uint8_t length) {
  return {IpPrefix{address, length}.network(), length};
}
IpPrefix address_of(const IpAddress& address) {
  return cut(address, address.is_v4() ? 32 : 64);
}
IpPrefix prefix_of(const IpAddress& address) {
  return cut(address, address.is_v4() ? 24 : 48);
}

}  // namespace

void Admission::count_requests(TimePoint now, std::size_t num) {
  if (now - second_began_ >= 1s) {
    second_began_ = now;
    requests_ = 0;
  }
  requests_ += num;
  if (flooded_) flood_requests_ += num;
  const std::size_t busy = flooded_ ? limits_.busy_rate / 2 : limits_.busy_rate;
  if (requests_ < busy && !(limits_.cookie_threshold > 0 && num_half_open_ >= limits_.cookie_threshold)) return;
  last_busy_ = now;
  if (std::exchange(flooded_, true)) return;
  flood_began_ = now;
  flood_requests_ = requests_;
}

bool Admission::wants_cookies() const noexcept {
  return flooded_ || num_half_open_ >= limits_.cookie_threshold;
}

Admission::Verdict Admission::judge(TimePoint now, const Asking& asking) const {
  if (is_barred(now, address_of(asking.address), address_burst, address_pause) ||
      is_barred(now, prefix_of(asking.address), prefix_burst, prefix_pause)) {
    return Verdict::barred;
  }
  if (!asking.proved && wants_cookies()) return Verdict::challenge;
  // A quarter is for those whose address a configured peer has: strangers cannot take all of it.
  const std::size_t most = asking.known ? limits_.max_half_open : limits_.max_half_open - limits_.max_half_open / 4;
  if (num_half_open_ >= most) return Verdict::full;
  if (!is_crowded(asking)) return Verdict::admit;
  // Without a cookie the sender is not who he says he is: nobody is locked out by what others send in his name.
  return asking.proved ? Verdict::crowded : Verdict::challenge;
}

std::size_t Admission::count_of(const IpPrefix& prefix, bool proved) const {
  const auto found = half_open_.find(prefix);
  if (found == half_open_.end()) return 0;
  return proved ? found->second.proved : found->second.unproved;
}

bool Admission::is_crowded(const Asking& asking) const {
  const std::size_t of_address = std::max<std::size_t>(8, limits_.max_half_open / 10);
  const std::size_t of_prefix = std::max<std::size_t>(16, limits_.max_half_open / 4);
  return count_of(address_of(asking.address), asking.proved) >= of_address ||
         count_of(prefix_of(asking.address), asking.proved) >= of_prefix;
}

Admission::Slot Admission::enter(const Asking& asking) {
  ++num_half_open_;
  for (const IpPrefix& prefix : {address_of(asking.address), prefix_of(asking.address)}) {
    Count& count = half_open_[prefix];
    ++(asking.proved ? count.proved : count.unproved);
  }
  return {*this, asking};
}

void Admission::leave(const Asking& asking) noexcept {
  --num_half_open_;
  for (const IpPrefix& prefix : {address_of(asking.address), prefix_of(asking.address)}) {
    const auto found = half_open_.find(prefix);
    --(asking.proved ? found->second.proved : found->second.unproved);
    if (found->second.proved + found->second.unproved == 0) half_open_.erase(found);
  }
}

// ---- failed authentications
// -------------------------------------------------------------------------------------------------------

bool Admission::is_barred(TimePoint now, const IpPrefix& prefix, int burst, Duration each) const {
  const auto found = failing_.find(prefix);
  return found != failing_.end() && found->second - now > burst * each - each;
}

void Admission::on_failed_authentication(TimePoint now, const IpAddress& address) {
  note_failure(now, address_of(address), address_pause);
  note_failure(now, prefix_of(address), prefix_pause);
}

void Admission::note_failure(TimePoint now, const IpPrefix& prefix, Duration each) {
  if (failing_.size() >= max_failing && !failing_.contains(prefix)) {
    std::erase_if(failing_, [&](const auto& entry) { return entry.second <= now; });
    if (failing_.size() >= max_failing) {  // the one with the least to answer for
      failing_.erase(std::ranges::min_element(failing_, {}, [](const auto& entry) { return entry.second; }));
    }
  }
  TimePoint& empty_at = failing_[prefix];
  empty_at = std::max(empty_at, now) + each;
}

// ---- flood
// ------------------------------------------------------------------------------------------------------------------------

std::optional<TimePoint> Admission::deadline() const noexcept {
  if (!flooded_) return std::nullopt;
  return announced_ ? last_busy_ + calm_time : flood_began_;
}

std::optional<std::string> Admission::news(TimePoint now) {
  if (!flooded_) return std::nullopt;
  if (now - last_busy_ >= calm_time) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(last_busy_ - flood_began_).count();
    flooded_ = announced_ = false;
    return fmt::format("the flood of IKE_SA_INIT is over: {} in {} s; COOKIE is no longer demanded", flood_requests_,
                       std::max<std::int64_t>(1, seconds));
  }
  if (std::exchange(announced_, true)) return std::nullopt;
  return fmt::format("a flood of IKE_SA_INIT: {} in this second, {} half-open IKE SAs; COOKIE is demanded of everybody",
                     requests_, num_half_open_);
}

}  // namespace culvert::ike

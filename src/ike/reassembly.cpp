#include "reassembly.h"

#include <utility>

namespace culvert::ike {

bool Reassembly::is_of(TimePoint now, MessageId id) const noexcept {
  return !parts_.empty() && id == id_ && now < until_;
}

Reassembly::Verdict Reassembly::judge(TimePoint now, MessageId id, FragmentPosition position) const {
  if (position.total > max_fragments) return Verdict::beyond_limit;
  if (!is_of(now, id) || position.total > parts_.size()) return Verdict::wanted;
  if (position.total < parts_.size()) return Verdict::outdated;
  return parts_[position.number - 1U] ? Verdict::duplicate : Verdict::wanted;
}

// RFC 7383 §2.6: the set is kept until all are there; a larger total throws away what is there.
Reassembly::Added Reassembly::add(TimePoint now, Fragment fragment, std::size_t max_bytes) {
  const bool same_message = is_of(now, fragment.id);
  const bool restarts = same_message && fragment.position.total > parts_.size();
  if (!same_message || restarts) {
    clear();
    id_ = fragment.id;
    until_ = now + max_age;
    parts_.resize(fragment.position.total);
  }
  if (fragment.position.number == 1) {
    first_ = fragment.first;
    digest_ = std::move(fragment.digest);
  }
  num_bytes_ += fragment.content.size();
  if (num_bytes_ > max_bytes) {
    clear();
    return Added::too_long;
  }
  parts_[fragment.position.number - 1U] = std::move(fragment.content);
  if (++num_parts_ == parts_.size()) return Added::complete;
  return restarts ? Added::restarted : Added::waiting;
}

Reassembly::Whole Reassembly::take() {
  Whole whole{first_, {}, std::move(digest_)};
  whole.content.reserve(num_bytes_);
  for (const auto& part : parts_) append(whole.content, *part);
  clear();
  return whole;
}

void Reassembly::clear() {
  *this = Reassembly();
}

std::optional<TimePoint> Reassembly::deadline() const noexcept {
  if (parts_.empty()) return std::nullopt;
  return until_;
}

void Reassembly::expire(TimePoint now) {
  if (!parts_.empty() && until_ <= now) clear();
}

}  // namespace culvert::ike

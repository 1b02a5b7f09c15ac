#include "reassembly.h"

#include <utility>

namespace culvert::ike {

bool Reassembly::is_of(TimePoint now, MessageId id) const noexcept {
  return set_ && id == set_->id && now < set_->until;
}

Reassembly::Verdict Reassembly::judge(TimePoint now, MessageId id, FragmentPosition position) const {
  if (position.total > max_fragments) return Verdict::beyond_limit;
  if (!is_of(now, id) || position.total > set_->parts.size()) return Verdict::wanted;
  if (position.total < set_->parts.size()) return Verdict::outdated;
  return set_->parts[position.number - 1U] ? Verdict::duplicate : Verdict::wanted;
}

// RFC 7383 §2.6: the set is kept until all are there; a larger total throws away what is there.
Reassembly::Added Reassembly::add(TimePoint now, Fragment fragment, std::size_t max_bytes) {
  const bool same_message = is_of(now, fragment.id);
  const bool restarts = same_message && fragment.position.total > set_->parts.size();
  if (!same_message || restarts) {
    set_ = std::make_unique<Set>(fragment.id, now + max_age);
    set_->parts.resize(fragment.position.total);
  }
  if (fragment.position.number == 1) {
    set_->first = fragment.first;
    set_->digest = std::move(fragment.digest);
  }
  set_->num_bytes += fragment.content.size();
  if (set_->num_bytes > max_bytes) {
    clear();
    return Added::too_long;
  }
  set_->parts[fragment.position.number - 1U] = std::move(fragment.content);
  if (++set_->num_parts == set_->parts.size()) return Added::complete;
  return restarts ? Added::restarted : Added::waiting;
}

Reassembly::Whole Reassembly::take() {
  Whole whole{set_->first, {}, std::move(set_->digest)};
  whole.content.reserve(set_->num_bytes);
  for (const auto& part : set_->parts) append(whole.content, *part);
  clear();
  return whole;
}

std::optional<TimePoint> Reassembly::deadline() const noexcept {
  if (!set_) return std::nullopt;
  return set_->until;
}

void Reassembly::expire(TimePoint now) {
  if (set_ && set_->until <= now) clear();
}

}  // namespace culvert::ike

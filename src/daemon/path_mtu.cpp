#include "path_mtu.h"

#include <algorithm>
#include <array>
#include <utility>

namespace culvert::daemon {
namespace {

constexpr std::uint16_t step = 4;                           // bytes: ESP pads to that
constexpr std::uint16_t block = 16;                         // a cipher's: a probe may be so much smaller than asked for
constexpr Duration raise_every = std::chrono::minutes(10);  // RFC 8899 §5.1.1: PMTU_RAISE_TIMER, 600 s
constexpr Duration raise_soon = std::chrono::minutes(1);    // after a search: it may have been loss
constexpr Duration dark_pause = std::chrono::minutes(1);
constexpr Duration probe_patience = std::chrono::seconds(30);  // for a result; the peer may have gone
constexpr Duration suspicion_pause = std::chrono::seconds(1);

/// What passes on most paths, and then on nearly all: tunnels and PPPoE leave 1400; 1280 is IPv6's least (RFC 8200 §5),
/// 576 IPv4's (RFC 791 §3.2).
constexpr std::array<std::uint16_t, 3> bases = {1400, 1280, 576};

}  // namespace

PathMtu::PathMtu(std::uint16_t largest, IpFamily family) noexcept
    : largest_(largest), smallest_(family == IpFamily::v4 ? 576 : 1280), size_(largest), wanted_(largest) {}

void PathMtu::ask(std::uint16_t size) noexcept {
  asked_.reset();
  wanted_ = size;
}

std::optional<std::uint16_t> PathMtu::next(TimePoint now) {
  if (state_ == State::off) return std::nullopt;
  if (asked_ && now - asked_at_ >= probe_patience)
    ask(*asked_);  // its answer never came: the IKE SA was another by then
  if (!asked_ && !wanted_ && now >= again_at_) {
    raising_ = state_ == State::confirmed && size_ < largest_;
    ask(raising_ ? largest_ : size_);
  }
  if (!wanted_) return std::nullopt;
  asked_ = std::exchange(wanted_, std::nullopt);
  asked_at_ = now;
  return asked_;
}

void PathMtu::on_result(TimePoint now, std::uint16_t size, bool passed) {
  if (!asked_ || size > *asked_ || size + block < *asked_) return;
  const std::uint16_t asked = *std::exchange(asked_, std::nullopt);
  if (!passed) {
    fails_ = asked;
    return on_failed(now);
  }
  passes_ = asked;
  if (raising_ || state_ != State::searching) {  // the largest, or what had been confirmed
    raising_ = false;
    size_ = asked;
    return settle(now, raise_every);
  }
  if (size_ >= fails_) size_ = asked;  // at once; the rest of the search is only for more
  search(now);
}

/// The step down: below what has just failed, the first size that passes nearly everywhere.
void PathMtu::on_failed(TimePoint now) {
  if (std::exchange(raising_, false)) return settle(now, raise_every);  // as before
  if (state_ == State::searching && passes_ != 0) return search(now);
  state_ = State::searching;
  passes_ = 0;
  for (const std::uint16_t base : bases)
    if (base < fails_ && base >= smallest_) return ask(base);
  state_ = State::dark;
  fails_ = 0;
  again_at_ = now + dark_pause;
}

void PathMtu::search(TimePoint now) {
  if (fails_ - passes_ <= step) {
    size_ = passes_;
    return settle(now, raise_soon);
  }
  const int middle = (passes_ + fails_) / 2 / step * step;
  ask(static_cast<std::uint16_t>(std::max(middle, passes_ + step)));
}

void PathMtu::settle(TimePoint now, Duration until_next) {
  state_ = State::confirmed;
  passes_ = fails_ = 0;
  again_at_ = now + until_next;
}

void PathMtu::on_suspicion(TimePoint now) {
  if (state_ == State::off || asked_ || wanted_ || now - suspected_at_ < suspicion_pause) return;
  suspected_at_ = now;
  raising_ = false;
  ask(size_);
}

void PathMtu::switch_off() noexcept {
  state_ = State::off;
  asked_.reset();
  wanted_.reset();
}

}  // namespace culvert::daemon

#include "passage.h"

#include <algorithm>
#include <bit>
#include <chrono>

namespace culvert::daemon {
namespace {

/// Rates follow what passes with this delay: long enough to be read, short enough to be of now.
constexpr double smoothing = 2.0;  // seconds
/// A little less than a tick, so that the tick after it finds it lost.
constexpr Duration least_patience = std::chrono::milliseconds(900);
constexpr Duration half_tick =
    std::chrono::milliseconds(500);  // an answer comes a little after the tick of its question
constexpr Duration most_patience = std::chrono::seconds(5);
constexpr Duration blocked_pause = std::chrono::seconds(5);  // between probes once it is known that none passes
constexpr Duration ask_again_after = std::chrono::seconds(1);
/// Traffic both ways is proof enough; then probes only measure.
constexpr int busy_factor = 3;
constexpr std::uint8_t few_sendings = 5;  // ticks with packets of ours: what a kernel sends by itself is fewer

std::uint32_t seconds_of(TimePoint when) noexcept {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count() +
                                    1);
}

float smoothed(float rate, std::uint64_t count, double elapsed_s) noexcept {
  const double share = elapsed_s / (elapsed_s + smoothing);
  const double next = rate + (static_cast<double>(count) / elapsed_s - rate) * share;
  return next < 0.01 ? 0.0F : static_cast<float>(next);
}

}  // namespace

void Passage::on_traffic(TimePoint now, Duration elapsed, const ChildTraffic& passed) noexcept {
  const double seconds = std::max(std::chrono::duration<double>(elapsed).count(), 0.001);
  rates_.in_bytes = smoothed(rates_.in_bytes, passed.inbound_bytes, seconds);
  rates_.in_packets = smoothed(rates_.in_packets, passed.inbound_packets, seconds);
  rates_.out_bytes = smoothed(rates_.out_bytes, passed.outbound_bytes, seconds);
  rates_.out_packets = smoothed(rates_.out_packets, passed.outbound_packets, seconds);
  const std::uint32_t at = seconds_of(now);
  if (passed.inbound_packets != 0) {
    heard_s_ = at;
    silent_s_ = 0;
    sendings_ = 0;
    heard_meanwhile_ = missed_ != 0;
  }
  if (passed.outbound_packets == 0) {
    if (silent_s_ != 0 && at - sent_s_ > 10) silent_s_ = 0;  // nobody sends now
    return;
  }
  sent_s_ = at;
  if (passed.inbound_packets != 0) return;
  if (silent_s_ == 0) {
    silent_s_ = at;
    sendings_ = 0;
  }
  if (sendings_ < few_sendings) ++sendings_;
}

std::optional<std::uint16_t> Passage::next(TimePoint now, Duration interval) noexcept {
  if (now < due_at_) return std::nullopt;
  if (asked_) {
    asked_ = false;
    if (missed_ == 0) heard_meanwhile_ = false;
    if (missed_ < 255) ++missed_;
    note_result(true);
    if (missed_ > missed_limit_heard) {
      due_at_ = now + std::min(interval, blocked_pause);
      return std::nullopt;
    }
  }
  asked_ = true;
  due_at_ = now + patience();
  return ++number_;
}

void Passage::on_answer(TimePoint now, std::uint16_t number, Duration rtt, Duration interval) noexcept {
  using std::chrono::microseconds;
  if (!asked_ || number != number_) {  // too late for the count, but it has passed
    missed_ = 0;
    return;
  }
  asked_ = false;
  missed_ = 0;
  note_result(false);
  const auto us = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(std::chrono::duration_cast<microseconds>(rtt).count(), 1, 60'000'000));
  if (!answered_) {
    rtt_us_ = us;
    jitter_us_ = 0;
  } else {
    const std::uint32_t apart = us > rtt_us_ ? us - rtt_us_ : rtt_us_ - us;
    jitter_us_ = (jitter_us_ * 3 + apart) / 4;
    rtt_us_ = static_cast<std::uint32_t>((std::uint64_t{rtt_us_} * 7 + us) / 8);
  }
  answered_ = true;
  const std::uint32_t at = seconds_of(now);
  const auto is_recent = [&](std::uint32_t when) { return when != 0 && at - when <= 2; };
  const bool busy = is_recent(heard_s_) && is_recent(sent_s_);
  due_at_ = now + (busy ? interval * busy_factor : interval) - half_tick;
}

void Passage::ask_at(TimePoint when) noexcept {
  if (!asked_) due_at_ = when;
}

void Passage::on_suspicion(TimePoint now) noexcept {
  if (!asked_ && due_at_ > now) due_at_ = std::min(due_at_, now + (missed_ != 0 ? ask_again_after : Duration{}));
}

void Passage::forget_answers() noexcept {
  asked_ = answered_ = false;
  missed_ = num_results_ = 0;
  lost_ = 0;
  rtt_us_ = jitter_us_ = 0;
}

Passage::Verdict Passage::verdict(TimePoint now, Duration interval, bool counts) const noexcept {
  if (counts && missed_ >= (heard_meanwhile_ ? missed_limit_heard : missed_limit)) return Verdict::blocked;
  if (answered_ && missed_ < missed_limit) return Verdict::passes;
  const auto recent_s = static_cast<std::uint32_t>(
      2 * std::chrono::duration_cast<std::chrono::seconds>(std::max<Duration>(interval, unanswered_limit)).count());
  if (heard_s_ != 0 && seconds_of(now) - heard_s_ <= recent_s && silent_s_ == 0) return Verdict::passes;
  const auto unanswered = unanswered_for(now);
  if (unanswered && *unanswered >= unanswered_limit && sendings_ >= few_sendings) return Verdict::unanswered;
  return Verdict::idle;
}

std::optional<Duration> Passage::rtt() const noexcept {
  if (!answered_) return std::nullopt;
  return std::chrono::microseconds(rtt_us_);
}

unsigned Passage::num_lost() const noexcept {
  const std::uint64_t known = num_results_ >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << num_results_) - 1;
  return static_cast<unsigned>(std::popcount(lost_ & known));
}

std::optional<Duration> Passage::unanswered_for(TimePoint now) const noexcept {
  if (silent_s_ == 0) return std::nullopt;
  return std::chrono::seconds(seconds_of(now) - silent_s_);
}

void Passage::note_result(bool lost) noexcept {
  lost_ = lost_ << 1 | (lost ? 1U : 0U);
  if (num_results_ < 64) ++num_results_;
}

Duration Passage::patience() const noexcept {
  return std::clamp<Duration>(std::chrono::microseconds(rtt_us_ + 4 * std::uint64_t{jitter_us_}) * 2, least_patience,
                              most_patience);
}

}  // namespace culvert::daemon

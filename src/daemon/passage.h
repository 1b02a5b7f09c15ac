#pragma once
#include <chrono>
#include <cstdint>
#include <optional>

#include "culvert/base/time.h"
#include "culvert/child_sa.h"

namespace culvert::daemon {

/// Whether its users' packets get through one child SA, as far as can be told: by probes that go the same way, and by
/// what passes anyway. A value that is told the time; it outlives rekeys. One probe at a time.
class Passage {
 public:
  enum class Verdict : std::uint8_t {
    idle,        ///< nothing passes and nothing was asked: no reason to complain
    passes,      ///< the last probe was answered, or the peer's packets come in
    unanswered,  ///< our users send, and nothing comes back; nobody can be asked
    blocked,     ///< probes are not answered
  };
  /// Over the last seconds.
  struct Rates {
    float in_bytes = 0, in_packets = 0, out_bytes = 0, out_packets = 0;  ///< a second
  };

  /// What has passed in the `elapsed` time before `now`; about once a second.
  void on_traffic(TimePoint now, Duration elapsed, const ChildTraffic& passed) noexcept;
  /// The probe that is due, by its number, if one is; it then counts as under way. One that has waited for an answer
  /// too long is lost. `interval`: between probes when nothing is wrong.
  [[nodiscard]] std::optional<std::uint16_t> next(TimePoint now, Duration interval) noexcept;
  void on_answer(TimePoint now, std::uint16_t number, Duration rtt, Duration interval) noexcept;
  /// The next one is due at `when` and not before; for one that is under way nothing changes.
  void ask_at(TimePoint when) noexcept;
  /// Something looks wrong: the next one is due now, but for a second after the last.
  void on_suspicion(TimePoint now) noexcept;
  /// There is nobody to ask any more, or another one: what is known from answers is forgotten, rates are not.
  void forget_answers() noexcept;

  /// `counts`: whoever is asked is known to answer, so that silence means something.
  [[nodiscard]] Verdict verdict(TimePoint now, Duration interval, bool counts) const noexcept;
  [[nodiscard]] const Rates& rates() const noexcept { return rates_; }
  [[nodiscard]] bool answered() const noexcept { return answered_; }  ///< ever
  [[nodiscard]] std::optional<Duration> rtt() const noexcept;         ///< smoothed, RFC 6298 §2
  [[nodiscard]] Duration jitter() const noexcept { return std::chrono::microseconds(jitter_us_); }
  /// Of the last probes, 64 at most.
  [[nodiscard]] unsigned num_results() const noexcept { return num_results_; }
  [[nodiscard]] unsigned num_lost() const noexcept;
  [[nodiscard]] unsigned num_missed() const noexcept { return missed_; }  ///< in a row, up to now; at most 255
  /// Since our users have been sending without an answer; nullopt: they are not.
  [[nodiscard]] std::optional<Duration> unanswered_for(TimePoint now) const noexcept;
  /// A quick look: no probe has been missed, and no user waits for an answer.
  [[nodiscard]] bool nothing_wrong() const noexcept { return missed_ == 0 && silent_s_ == 0; }
  /// Whether anything of the peer's users has come in since the first probe that was missed.
  [[nodiscard]] bool heard_meanwhile() const noexcept { return heard_meanwhile_; }

  static constexpr unsigned missed_limit = 3;        ///< probes without an answer that make a tunnel blocked
  static constexpr unsigned missed_limit_heard = 6;  ///< …while packets come in: loss alone must not
  static constexpr Duration unanswered_limit = std::chrono::seconds(10);

 private:
  void note_result(bool lost) noexcept;
  [[nodiscard]] Duration patience() const noexcept;

  Rates rates_;
  std::uint64_t lost_ = 0;  ///< bit 0: the last probe
  TimePoint due_at_{};      ///< asked_: when it is lost; else when to ask
  std::uint32_t rtt_us_ = 0, jitter_us_ = 0;
  std::uint32_t heard_s_ = 0, sent_s_ = 0, silent_s_ = 0;  ///< whole seconds of the clock; 0: never
  std::uint16_t number_ = 0;
  std::uint8_t num_results_ = 0, missed_ = 0, sendings_ = 0;
  bool asked_ : 1 = false, answered_ : 1 = false, heard_meanwhile_ : 1 = false;
};
static_assert(sizeof(Passage) <= 64);

}  // namespace culvert::daemon

#pragma once
#include <chrono>
#include <cstdint>
#include <optional>

#include "culvert/base/ip.h"
#include "culvert/base/time.h"

namespace culvert::daemon {

/// The MTU of the path to one peer, found without trusting anybody on it: RFC 8899, with probes that the peer's IKE
/// answers (src/ike/path_probe.cpp). It begins with what our own link takes, asks whether that arrives, and only when
/// it does not goes down to what is known to pass nearly everywhere, and searches upward from there. A value that is
/// told the time; one probe at a time.
class PathMtu {
 public:
  enum class State : std::uint8_t {
    unconfirmed,  ///< nothing has been answered yet
    searching,
    confirmed,
    dark,  ///< not even small packets are answered: that is not about sizes
    off,   ///< the peer cannot be asked
  };

  /// `largest`: bytes of IP that our own link takes.
  PathMtu(std::uint16_t largest, IpFamily family) noexcept;

  /// Bytes of IP that are safe to send: what was confirmed last, else what our link takes.
  [[nodiscard]] std::uint16_t size() const noexcept { return size_; }
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] std::uint16_t largest() const noexcept { return largest_; }
  /// The probe that is due, which then counts as under way.
  [[nodiscard]] std::optional<std::uint16_t> next(TimePoint now);
  /// The one under way.
  [[nodiscard]] std::optional<std::uint16_t> asked() const noexcept { return asked_; }
  /// What came of the one under way; of another size (but for a block of a cipher) it is ignored.
  void on_result(TimePoint now, std::uint16_t size, bool passed);
  /// Something looks as if large packets vanished: asks again whether they arrive. At most once a second.
  void on_suspicion(TimePoint now);
  /// The peer cannot be asked.
  void switch_off() noexcept;

 private:
  void ask(std::uint16_t size) noexcept;
  void on_failed(TimePoint now);
  void search(TimePoint now);
  void settle(TimePoint now, Duration until_next);

  std::uint16_t largest_, smallest_, size_;
  std::uint16_t passes_ = 0, fails_ = 0;  ///< bounds of the search; 0: none
  State state_ = State::unconfirmed;
  std::optional<std::uint16_t> wanted_, asked_;
  TimePoint asked_at_{}, again_at_{}, suspected_at_{};
  bool raising_ = false;  ///< the probe is larger than what is confirmed
};

}  // namespace culvert::daemon

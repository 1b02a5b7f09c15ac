#pragma once
#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/result.h"
#include "culvert/base/time.h"

namespace culvert::daemon {

/// Keys of SAs that an operator gets (`culvert capture --keys`): one operator at a time, for a bounded time, and no
/// longer than somebody fetches them. Its beginning and its end are in the log as warnings. Control thread.
class KeyExport {
 public:
  struct Order {
    std::string by;              ///< who gets them, in words; only who says the same may fetch them
    std::string of;              ///< whose, in words
    std::optional<PeerId> peer;  ///< nullopt: everybody's
    std::chrono::seconds time{};
  };
  static constexpr std::size_t max_waiting = 8192;                ///< keys that nobody has fetched yet
  static constexpr Duration patience = std::chrono::seconds(10);  ///< without a fetch

  KeyExport() = default;
  KeyExport(const KeyExport&) = delete;
  KeyExport& operator=(const KeyExport&) = delete;
  ~KeyExport() { wipe(); }

  /// Errc::exhausted: somebody else gets keys now.
  [[nodiscard]] Result<void> begin(TimePoint now, Order order);
  [[nodiscard]] bool active() const noexcept { return order_.has_value(); }
  /// Are keys of this (configured) peer asked for?
  [[nodiscard]] bool wants(PeerId peer) const noexcept { return order_ && (!order_->peer || *order_->peer == peer); }
  /// The peer that was named.
  [[nodiscard]] std::optional<PeerId> peer() const noexcept { return order_ ? order_->peer : std::nullopt; }
  /// A line for tshark. Of too many the oldest are forgotten, and that is logged.
  void add(std::string line);
  /// What has been added since the last time. Errc::not_found: `by` gets no keys, or no more.
  [[nodiscard]] Result<std::vector<std::string>> take(TimePoint now, const std::string& by);
  void end(const std::string& why);
  /// Ends it when its time is up, or when nobody fetches keys any more.
  void on_tick(TimePoint now);
  /// For status; empty when nobody gets keys.
  [[nodiscard]] std::string describe(TimePoint now) const;

 private:
  void wipe() noexcept;

  std::optional<Order> order_;
  TimePoint until_{}, fetched_{};
  std::deque<std::string> waiting_;
  std::size_t num_given_ = 0, num_lost_ = 0;
};

}  // namespace culvert::daemon

#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "culvert/base/bytes.h"
#include "culvert/base/time.h"

namespace culvert::tunnel {

/// Inner packets that wait for an SA: a FIFO bounded in packets and bytes, copied into a ring that is there as long as
/// packets are: of thousands of tunnels few have any.
/// Any thread; the lock is held for one copy. Not on the fast path: a tunnel with an SA never asks it for more than
/// `empty()`.
class WaitQueue {
 public:
  /// `max_bytes` counts payload; a packet larger than it never fits.
  explicit WaitQueue(std::size_t max_packets, std::size_t max_bytes = std::size_t{128} * 1024);

  /// false: full (DropReason::wait_queue_full). The newest is refused, those that wait keep their place.
  [[nodiscard]] bool push(ByteView packet, TimePoint now) noexcept;
  /// Copies the oldest into `into` and returns its length; 0: nothing waits. A packet that is longer than `into` is
  /// discarded and counted by `num_discarded`.
  [[nodiscard]] std::size_t pop(MutableByteView into) noexcept;
  /// Discards what came before `deadline`; how many (DropReason::wait_expired).
  [[nodiscard]] std::size_t expire(TimePoint deadline) noexcept;
  /// Discards all; how many.
  [[nodiscard]] std::size_t flush() noexcept;

  [[nodiscard]] bool empty() const noexcept { return count_.load(std::memory_order_acquire) == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return count_.load(std::memory_order_acquire); }
  [[nodiscard]] std::size_t num_discarded() const noexcept { return discarded_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    TimePoint since;
    std::size_t len = 0;
  };
  [[nodiscard]] bool make_room() noexcept;
  void give_back_room() noexcept;
  void copy_in(ByteView packet) noexcept;
  void copy_out(MutableByteView into) noexcept;
  void remove_oldest() noexcept;

  std::mutex lock_;
  const std::size_t max_packets_;
  const std::size_t max_bytes_;
  std::unique_ptr<Entry[]> entries_;
  std::unique_ptr<std::uint8_t[]> ring_;
  std::size_t first_entry_ = 0;
  std::size_t first_byte_ = 0;
  std::size_t used_bytes_ = 0;
  std::atomic<std::size_t> count_{0};
  std::atomic<std::size_t> discarded_{0};
};

}  // namespace culvert::tunnel

#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "culvert/base/bytes.h"
#include "culvert/base/time.h"
#include "socket_batch.h"

namespace culvert::tunnel {

/// ESP whose SA may come in a moment: a peer that has answered sends by its new SA at once, and its packets overtake
/// the answer, or are here before the answer is understood (RFC 7296 §2.8: be prepared to receive). Whatever names an
/// SPI that nobody has is held, a bounded few for a bounded time, whoever sent it: nothing of it is believed. Memory is
/// set aside once. One worker's own, but for empty().
class EarlyPackets {
 public:
  static constexpr std::size_t max_packets = 64;
  static constexpr std::size_t max_len = 2048;  ///< bytes of each
  static constexpr Duration patience = std::chrono::milliseconds(100);
  static constexpr std::size_t memory = max_packets * max_len;

  struct Entry {
    Endpoint remote;
    Endpoint local;  ///< where it came in; port 0: raw ESP
    std::uint8_t tos = 0;
    std::uint8_t place = 0;
    std::uint16_t len = 0;
    TimePoint since;
  };

  /// Throws std::bad_alloc: only while starting up.
  EarlyPackets() : bytes_(new std::uint8_t[memory]) {}

  /// false: too many, or too long; it is not taken.
  [[nodiscard]] bool hold(const ReceiveSlot& slot, std::uint16_t local_port, ByteView esp, TimePoint now) noexcept;
  /// Calls f(entry, bytes) for each, the oldest first; those for which it says true are gone.
  template <class F>
  void release_if(F&& f) {
    std::size_t left = 0;
    const std::size_t num = num_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < num; ++i) {
      const Entry entry = entries_[i];
      if (f(entry, ByteView(&bytes_[entry.place * max_len], entry.len))) {
        taken_ &= ~(std::uint64_t{1} << entry.place);
      } else {
        entries_[left++] = entry;
      }
    }
    num_.store(left, std::memory_order_release);
  }
  [[nodiscard]] bool empty() const noexcept { return num_.load(std::memory_order_acquire) == 0; }  ///< any thread

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::array<Entry, max_packets> entries_;  ///< in the order in which they came
  std::uint64_t taken_ = 0;                 ///< bit i: place i of bytes_
  std::atomic<std::size_t> num_{0};
};

}  // namespace culvert::tunnel

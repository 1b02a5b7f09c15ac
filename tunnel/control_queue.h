#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "culvert/base/result.h"
#include "culvert/tunnel/data_plane.h"

namespace culvert::tunnel {

/// From the workers to the control thread: bounded in events and in bytes, one eventfd. Many producers, one consumer, no lock: a full
/// queue refuses, so that a flood of IKE costs the sender its datagrams and nobody else anything.
/// (The ring is the bounded queue of Dmitry Vyukov, 1024cores.net: a slot's turn says whose it is.)
class ControlQueue {
 public:
  static constexpr std::size_t capacity = 1024;             ///< events
  static constexpr std::size_t max_bytes = 4 * 1024 * 1024;  ///< of datagrams that wait

  /// Errc::io when there is no eventfd.
  [[nodiscard]] static Result<std::unique_ptr<ControlQueue>> create();
  ~ControlQueue();
  ControlQueue(const ControlQueue&) = delete;
  ControlQueue& operator=(const ControlQueue&) = delete;

  /// False when the queue is full: the event is gone, the caller counts it. Any thread; does not wake the consumer.
  [[nodiscard]] bool push(Event event);
  /// A non-ESP datagram; copies `bytes` only when there is room for them.
  [[nodiscard]] bool push_datagram(const Endpoint& local, const Endpoint& remote, ByteView bytes);
  /// Makes event_fd() readable. Any thread; one system call at most until the consumer looks.
  void wake() noexcept;

  // The consumer.
  [[nodiscard]] int event_fd() const noexcept { return event_fd_; }
  /// Call before the pops: what is pushed from here on wakes again.
  void clear_wake() noexcept;
  [[nodiscard]] std::optional<Event> pop();

 private:
  struct Slot {
    std::atomic<std::size_t> turn;
    Event event;
  };

  explicit ControlQueue(int event_fd);

  std::unique_ptr<Slot[]> slots_;
  alignas(64) std::atomic<std::size_t> tail_{0};
  alignas(64) std::size_t head_ = 0;
  alignas(64) std::atomic<std::size_t> bytes_{0};
  std::atomic<bool> awake_{false};
  int event_fd_;
};

}  // namespace culvert::tunnel

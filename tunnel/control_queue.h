#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "culvert/base/result.h"
#include "culvert/tunnel/data_plane.h"
#include "event_ring.h"
#include "file_descriptor.h"

namespace culvert::tunnel {

/// From the workers to the control thread: datagrams and notices (all other events) in a bounded ring each, one eventfd
/// for both. Many producers, one consumer, no lock: a full ring refuses, so that a flood of IKE costs the sender its
/// datagrams and nobody else anything, and leaves room for the notices.
class ControlQueue {
 public:
  static constexpr std::size_t capacity = 1024;              ///< of each ring, events
  static constexpr std::size_t max_bytes = 4 * 1024 * 1024;  ///< of datagrams that wait

  /// Errc::io when there is no eventfd.
  [[nodiscard]] static Result<std::unique_ptr<ControlQueue>> create();

  /// False when the ring is full: the event is not taken. Any thread; neither of the two wakes the consumer.
  [[nodiscard]] bool push_notice(Event event) noexcept;
  /// A non-ESP datagram; copies `bytes` only when there is room for them.
  [[nodiscard]] bool push_datagram(const Endpoint& local, const Endpoint& remote, ByteView bytes);
  /// Makes event_fd() readable. Any thread; one system call at most until the consumer looks.
  void wake() noexcept;

  // The consumer.
  [[nodiscard]] int event_fd() const noexcept { return event_fd_.get(); }
  /// Call before the pops: what is pushed from here on wakes again.
  void clear_wake() noexcept;
  [[nodiscard]] std::optional<Event> pop() noexcept;  ///< notices come first

 private:
  explicit ControlQueue(FileDescriptor event_fd);

  EventRing<Event> notices_;
  EventRing<ControlDatagram> datagrams_;
  alignas(64) std::atomic<std::size_t> bytes_{0};
  std::atomic<bool> awake_{false};
  FileDescriptor event_fd_;
};

}  // namespace culvert::tunnel

#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "culvert/base/time.h"
#include "steering_linux.h"
#include "tun_linux.h"
#include "tunnel.h"
#include "wait_queue.h"

namespace culvert::tunnel {

/// What one worker does with one port, and what it moved. It alone writes, any thread reads.
class alignas(64) PortCounters {
 public:
  void add_inbound(std::uint64_t packets, std::uint64_t bytes) noexcept {
    add(inbound_packets_, packets);
    add(inbound_bytes_, bytes);
  }
  void add_outbound(std::uint64_t packets, std::uint64_t bytes) noexcept {
    add(outbound_packets_, packets);
    add(outbound_bytes_, bytes);
  }
  /// Around the reading of a batch from the worker's queue and the sending of it.
  void begin_turn() noexcept { in_turn_.store(true, std::memory_order_seq_cst); }
  void end_turn() noexcept { in_turn_.store(false, std::memory_order_release); }
  [[nodiscard]] bool in_turn() const noexcept { return in_turn_.load(std::memory_order_seq_cst); }
  /// Whether what this worker has sent since the last time it asked was no small part of what it moved. Itself only.
  [[nodiscard]] bool sends_much() noexcept {
    const auto now = [](const Counter& counter) { return counter.load(std::memory_order_relaxed); };
    const std::uint64_t in = now(inbound_bytes_) - std::exchange(inbound_bytes_then_, now(inbound_bytes_));
    const std::uint64_t out = now(outbound_bytes_) - std::exchange(outbound_bytes_then_, now(outbound_bytes_));
    return out > in / little;
  }
  void add_to(TunnelCounters& sum) const noexcept {
    sum.inbound_packets += inbound_packets_.load(std::memory_order_relaxed);
    sum.inbound_bytes += inbound_bytes_.load(std::memory_order_relaxed);
    sum.outbound_packets += outbound_packets_.load(std::memory_order_relaxed);
    sum.outbound_bytes += outbound_bytes_.load(std::memory_order_relaxed);
  }

 private:
  using Counter = std::atomic<std::uint64_t>;
  static void add(Counter& counter, std::uint64_t more) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  static constexpr std::uint64_t little = 16;  ///< a part: the acknowledgments of a TCP stream are a hundredth

  Counter inbound_packets_{0}, inbound_bytes_{0}, outbound_packets_{0}, outbound_bytes_{0};
  std::atomic<bool> in_turn_{false};
  std::uint64_t inbound_bytes_then_ = 0, outbound_bytes_then_ = 0;
};

/// A tunnel with its device: what the workers share about it. Made by the control thread; lives while a snapshot names
/// it, and the device with it.
class Port final : public Tunnel {
 public:
  /// One queue for each worker.
  Port(TunnelConfig from, std::vector<TunQueue> queues, std::size_t wait_packets)
      : Tunnel(std::move(from)), waiting(wait_packets), queues_(std::move(queues)), counters_(queues_.size()) {
    if (queues_.size() > 1) steering.emplace(queues_[0].fd(), static_cast<unsigned>(queues_.size()));
  }

  /// Control thread. Errc::io.
  [[nodiscard]] Result<void> renew_device() const {
    auto renewed = TunQueue::renew_device(config.device, queues_);
    if (renewed && steering) [[maybe_unused]]
      const bool ours = steering->attach(queues_[0].fd());
    return renewed;
  }
  [[nodiscard]] std::span<const TunQueue> queues() const noexcept { return queues_; }
  [[nodiscard]] const TunQueue& queue(unsigned worker) const noexcept { return queues_[worker]; }
  [[nodiscard]] PortCounters& counters(unsigned worker) noexcept { return counters_[worker]; }
  [[nodiscard]] TunnelCounters counters() const noexcept {
    TunnelCounters sum;
    for (const auto& counters : counters_) counters.add_to(sum);
    return sum;
  }

  /// Once a second, for one of the callers: whether so few packets passed since the last time that one worker is enough
  /// for all. Any worker.
  [[nodiscard]] bool is_calm(TimePoint now) noexcept {
    const auto ticks = now.time_since_epoch().count();
    auto due = next_look_.load(std::memory_order_relaxed);
    if (ticks < due) return false;
    const auto next = ticks + Duration(std::chrono::seconds(1)).count();
    if (!next_look_.compare_exchange_strong(due, next, std::memory_order_acq_rel)) return false;
    const TunnelCounters sum = counters();
    const std::uint64_t packets = sum.inbound_packets + sum.outbound_packets;
    return packets - std::exchange(packets_then_, packets) < calm_packets;
  }

  /// Whether all that other workers than this one had to send has left. A queue is looked at before its worker: one
  /// that has just emptied it is in its turn.
  [[nodiscard]] bool others_are_done(unsigned worker) const noexcept {
    for (unsigned i = 0; i < queues_.size(); ++i) {
      if (i != worker && (!queues_[i].is_empty() || counters_[i].in_turn())) return false;
    }
    return true;
  }

  WaitQueue waiting;          ///< inner packets without an SA (trap)
  std::atomic_flag draining;  ///< held by the worker that sends what waited, so that it leaves in order
  std::optional<FlowSteering> steering;
  /// Set while the worker at home empties its queue before the others may read theirs, so that flows stay in order when
  /// they are spread.
  std::atomic<bool> moving_out{false};
  /// Set from when flows are sent home until what others had of them has left: the worker at home waits for it.
  std::atomic<bool> moving_home{false};

 private:
  static constexpr std::uint64_t calm_packets = 20'000;  ///< a second: a few percent of a core

  std::atomic<Duration::rep> next_look_{0};
  std::uint64_t packets_then_ = 0;  ///< at the last look
  std::vector<TunQueue> queues_;
  std::vector<PortCounters> counters_;
};

}  // namespace culvert::tunnel

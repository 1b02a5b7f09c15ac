#pragma once
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "culvert/base/time.h"
#include "tun_linux.h"
#include "tunnel.h"
#include "wait_queue.h"

namespace culvert::tunnel {

/// What one worker moved through one port. It alone writes, any thread reads.
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
  Counter inbound_packets_{0}, inbound_bytes_{0}, outbound_packets_{0}, outbound_bytes_{0};
};

/// A tunnel with its device: what the workers share about it. Made by the control thread; lives while a snapshot names
/// it, and the device with it.
class Port final : public Tunnel {
 public:
  /// One queue for each worker.
  Port(TunnelConfig from, std::vector<TunQueue> queues, std::size_t wait_packets)
      : Tunnel(std::move(from)), waiting(wait_packets), queues_(std::move(queues)), counters_(queues_.size()) {}

  [[nodiscard]] const TunQueue& queue(unsigned worker) const noexcept { return queues_[worker]; }
  [[nodiscard]] PortCounters& counters(unsigned worker) noexcept { return counters_[worker]; }
  [[nodiscard]] TunnelCounters counters() const noexcept {
    TunnelCounters sum;
    for (const auto& counters : counters_) counters.add_to(sum);
    return sum;
  }

  WaitQueue waiting;          ///< inner packets without an SA (trap)
  std::atomic_flag draining;  ///< held by the worker that sends what waited, so that it leaves in order

 private:
  std::vector<TunQueue> queues_;
  std::vector<PortCounters> counters_;
};

}  // namespace culvert::tunnel

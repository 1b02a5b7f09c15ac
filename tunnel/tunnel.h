#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "culvert/tunnel/data_plane.h"

namespace culvert::tunnel {

/// A [tunnel.NAME] as the packet path sees it: its configuration, never changed but for what DataPlane::adjust
/// does, and what the workers share about it.
struct Tunnel {
  explicit Tunnel(TunnelConfig from) : config(std::move(from)), mtu(config.mtu) { adjust(config); }

  const TunnelConfig config;       ///< as it was made: of what stands below as atomics, that counts
  std::atomic<std::uint16_t> mtu;  ///< of the device; set_mtu changes it, 0: unknown
  std::atomic<std::uint16_t> max_mss{0};
  std::atomic<bool> clamp_mss{true}, copy_dscp{true}, trap{false};

  /// Any worker may be reading them: each packet sees the old or the new one.
  void adjust(const TunnelConfig& to) noexcept {
    max_mss.store(to.max_mss, std::memory_order_relaxed);
    clamp_mss.store(to.clamp_mss, std::memory_order_relaxed);
    copy_dscp.store(to.copy_dscp, std::memory_order_relaxed);
    trap.store(to.trap, std::memory_order_relaxed);
  }

  /// RFC 2890 §2.2: the number of the next packet; the first one is 0.
  [[nodiscard]] std::uint32_t next_gre_sequence() noexcept { return gre_next_.fetch_add(1, std::memory_order_relaxed); }
  /// Is a received number newer than the last delivered one? If so it becomes the last. Any worker.
  [[nodiscard]] bool accept_gre_sequence(std::uint32_t sequence) noexcept;
  /// The peer may have restarted (a new SA was installed): the next number is taken as it comes.
  void forget_gre_sequence() noexcept { gre_last_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint32_t> gre_next_{0};
  std::atomic<std::uint64_t> gre_last_{0};  ///< last delivered number | bit 32 once there was one
};

/// Where the inbound SAs of one child deliver to: an immutable snapshot. Does not own the tunnels.
class ChildTunnels {
 public:
  ChildTunnels() = default;
  explicit ChildTunnels(std::span<Tunnel* const> tunnels);

  [[nodiscard]] Carry carry() const noexcept { return carry_; }
  /// carry = "ip": the one tunnel of the child; nullptr when there is none.
  [[nodiscard]] Tunnel* ip() const noexcept { return ip_; }
  /// carry = "gre": the tunnel with exactly this key. No key is not key 0.
  [[nodiscard]] Tunnel* gre(std::optional<std::uint32_t> key) const noexcept;

 private:
  Carry carry_ = Carry::gre;
  Tunnel* ip_ = nullptr;
  Tunnel* gre_without_key_ = nullptr;
  std::vector<std::pair<std::uint32_t, Tunnel*>> gre_by_key_;  ///< sorted by key
};

}  // namespace culvert::tunnel

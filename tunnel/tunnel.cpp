#include "tunnel.h"

#include <algorithm>

namespace culvert::tunnel {

// RFC 2890 §2.2: a number is old when it lies in the last delivered one and the 2^31-1 before it. A gap is not waited
// for: the section leaves buffering to us.
bool Tunnel::accept_gre_sequence(std::uint32_t sequence) noexcept {
  constexpr std::uint64_t seen = std::uint64_t{1} << 32;
  std::uint64_t last = gre_last_.load(std::memory_order_relaxed);
  do {
    const std::uint32_t behind = static_cast<std::uint32_t>(last) - sequence;
    if ((last & seen) != 0 && behind <= 0x7FFFFFFF) return false;
  } while (!gre_last_.compare_exchange_weak(last, seen | sequence, std::memory_order_relaxed));
  return true;
}

ChildTunnels::ChildTunnels(std::span<Tunnel* const> tunnels) {
  for (Tunnel* tunnel : tunnels) {
    if (tunnel->config.carry == Carry::ip) {
      carry_ = Carry::ip;
      ip_ = tunnel;
    } else if (tunnel->config.gre_key) {
      gre_by_key_.emplace_back(*tunnel->config.gre_key, tunnel);
    } else {
      gre_without_key_ = tunnel;
    }
  }
  std::ranges::sort(gre_by_key_);
}

Tunnel* ChildTunnels::gre(std::optional<std::uint32_t> key) const noexcept {
  if (!key) return gre_without_key_;
  const auto found = std::ranges::lower_bound(gre_by_key_, *key, {}, [](const auto& entry) { return entry.first; });
  return found != gre_by_key_.end() && found->first == *key ? found->second : nullptr;
}

}  // namespace culvert::tunnel

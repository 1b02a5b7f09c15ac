#pragma once
#include <compare>
#include <cstdint>
#include <functional>

namespace culvert {

/// An integer that does not mix with other integers.
template <class Tag, class Rep>
class StrongId {
 public:
  using rep = Rep;
  constexpr StrongId() noexcept = default;
  constexpr explicit StrongId(Rep value) noexcept : value_(value) {}
  [[nodiscard]] constexpr Rep value() const noexcept { return value_; }
  friend constexpr auto operator<=>(StrongId, StrongId) noexcept = default;

 private:
  Rep value_{};
};

using Spi = StrongId<struct SpiTag, std::uint32_t>;              ///< ESP SPI, RFC 4303 §2.1; 0–255 are reserved
using IkeSpi = StrongId<struct IkeSpiTag, std::uint64_t>;        ///< IKE SA SPI, RFC 7296 §3.1
using MessageId = StrongId<struct MessageIdTag, std::uint32_t>;  ///< RFC 7296 §2.2
using PeerId = StrongId<struct PeerIdTag, std::uint32_t>;        ///< index of a [peer.NAME] of the configuration
using ChildId = StrongId<struct ChildIdTag, std::uint32_t>;      ///< a configured child SA: what one peer's selectors share
using TunnelId = StrongId<struct TunnelIdTag, std::uint32_t>;    ///< a [tunnel.NAME]: one device

}  // namespace culvert

template <class Tag, class Rep>
struct std::hash<culvert::StrongId<Tag, Rep>> {
  std::size_t operator()(culvert::StrongId<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value()); }
};

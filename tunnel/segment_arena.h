#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "packet.h"

namespace culvert::tunnel {

/// Where the packets are built that come into being here: segments of super-packets and fragments. Memory of one
/// worker, handed out front to back and taken back all at once, so that a batch stays in a piece of memory that fits a
/// cache.
class SegmentArena {
 public:
  /// Room for a batch of segments of common length; also for one of the longest.
  static constexpr std::size_t capacity = std::size_t{256} * 1024;

  /// Throws std::bad_alloc: only while starting up.
  SegmentArena() : memory_(std::make_unique_for_overwrite<std::uint8_t[]>(capacity)) {}

  [[nodiscard]] bool has_room(std::size_t packet_len) const noexcept {
    return used_ + slot_len(packet_len) <= capacity;
  }
  /// Room for a packet of `packet_len` ≤ 65,535 bytes with headroom and tailroom; has_room() said so.
  [[nodiscard]] Packet take(std::size_t packet_len) noexcept {
    const MutableByteView slot{memory_.get() + used_, slot_len(packet_len)};
    used_ += slot.size();
    return Packet::in_buffer(slot, packet_headroom, packet_len);
  }
  /// All packets that were taken are gone.
  void clear() noexcept { used_ = 0; }

 private:
  static constexpr std::size_t slot_len(std::size_t packet_len) noexcept {
    return (packet_headroom + packet_len + packet_tailroom + 63) / 64 * 64;
  }

  std::unique_ptr<std::uint8_t[]> memory_;
  std::size_t used_ = 0;
};

}  // namespace culvert::tunnel

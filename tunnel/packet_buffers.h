#pragma once
#include <cstddef>
#include <cstdint>

#include "culvert/base/bytes.h"
#include "packet.h"

namespace culvert::tunnel {

/// The buffers of one worker, allocated once: as many as a batch holds, each for the longest packet with headroom
/// before and tailroom behind it. The memory is zero and untouched until it is used.
class PacketBuffers {
 public:
  static constexpr std::size_t num = PacketBatch::capacity;
  static constexpr std::size_t max_packet_len =
      65536;  ///< one more than an IP packet can have, so that none is cut unseen
  static constexpr std::size_t slot_len = packet_headroom + max_packet_len + packet_tailroom;

  /// Throws std::bad_alloc: only while starting up.
  PacketBuffers();
  ~PacketBuffers();
  PacketBuffers(const PacketBuffers&) = delete;
  PacketBuffers& operator=(const PacketBuffers&) = delete;

  /// The whole of buffer i.
  [[nodiscard]] MutableByteView whole(std::size_t i) const noexcept { return {memory_ + i * slot_len, slot_len}; }
  /// The part of it where a packet comes in.
  [[nodiscard]] MutableByteView room(std::size_t i) const noexcept {
    return whole(i).subspan(packet_headroom, max_packet_len);
  }
  /// A packet of `len` bytes that lies at the start of room(i).
  [[nodiscard]] Packet packet(std::size_t i, std::size_t len) const noexcept {
    return Packet::in_buffer(whole(i), packet_headroom, len);
  }

 private:
  std::uint8_t* memory_;
};

}  // namespace culvert::tunnel

#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "culvert/base/bytes.h"
#include "culvert/base/drop_reason.h"

namespace culvert::tunnel {

class InboundSa;
class OutboundSa;
class ChildTunnels;
struct Tunnel;

/// What every stage may count on when a packet enters the chain: room before the inner packet for GRE, its delivery
/// header, ESP and IV (40 + 16 + 8 + 16 bytes and some for the I/O side), and behind it for padding and ICV (15 + 2 +
/// 32).
inline constexpr std::size_t packet_headroom = 128;
inline constexpr std::size_t packet_tailroom = 64;

/// A view into a fixed buffer that the worker owns, with what the stages know about the packet. Copying copies the
/// view. One worker at a time.
struct Packet {
  std::uint8_t* data = nullptr;  ///< first byte of what is the packet at this stage
  std::uint32_t len = 0;         ///< bytes at data
  std::uint8_t outer_tos = 0;  ///< TOS / traffic class of the outer IP header: inbound as received, outbound as wanted
  std::uint8_t next_header = 0;  ///< outbound: for the ESP trailer; inbound: out of it
  DropReason reason{};           ///< meaningful once dropped
  std::uint8_t* buffer_begin = nullptr;
  std::uint8_t* buffer_end = nullptr;
  OutboundSa* outbound_sa = nullptr;    ///< set before push_batch and encrypt_batch
  InboundSa* inbound_sa = nullptr;      ///< set before decrypt_batch
  Tunnel* tunnel = nullptr;             ///< outbound: whose device it came from; inbound: set by pop_batch
  const ChildTunnels* child = nullptr;  ///< inbound: where its SA delivers to; set before pop_batch
  /// Outbound: the last body_len bytes of the packet still stand here, in the super-packet that it was cut from, and
  /// not at its end; encrypt_batch reads them from there. nullptr: all is in place.
  const std::uint8_t* body = nullptr;
  std::uint32_t body_len = 0;
  bool elsewhere = false;  ///< inbound: it did not come from where its SA sends to
  bool newest = false;     ///< inbound: set by decrypt_batch: its number is above all that were seen before it
  std::uint8_t slot = 0;   ///< inbound: of the worker, with the addresses

  /// The buffer as a whole, with a packet of `length` bytes that begins `headroom` bytes into it; it must fit.
  [[nodiscard]] static Packet in_buffer(MutableByteView buffer, std::size_t headroom, std::size_t length) noexcept {
    Packet packet;
    packet.buffer_begin = buffer.data();
    packet.buffer_end = buffer.data() + buffer.size();
    packet.data = buffer.data() + headroom;
    packet.len = static_cast<std::uint32_t>(length);
    return packet;
  }

  [[nodiscard]] ByteView view() const noexcept { return {data, len}; }
  [[nodiscard]] MutableByteView mutable_view() const noexcept { return {data, len}; }
  [[nodiscard]] std::size_t headroom() const noexcept { return static_cast<std::size_t>(data - buffer_begin); }
  [[nodiscard]] std::size_t tailroom() const noexcept { return static_cast<std::size_t>(buffer_end - data) - len; }

  /// Grows at the front and returns the new first byte; nullptr (and no change) when the headroom does not suffice.
  [[nodiscard]] std::uint8_t* push_front(std::size_t bytes) noexcept {
    if (headroom() < bytes) return nullptr;
    data -= bytes;
    len += static_cast<std::uint32_t>(bytes);
    return data;
  }
  /// Grows at the back and returns the first new byte; nullptr (and no change) when the tailroom does not suffice.
  [[nodiscard]] std::uint8_t* push_back(std::size_t bytes) noexcept {
    if (tailroom() < bytes) return nullptr;
    std::uint8_t* end = data + len;
    len += static_cast<std::uint32_t>(bytes);
    return end;
  }
  /// Shrinks at the front; `bytes` ≤ len.
  void pop_front(std::size_t bytes) noexcept {
    data += bytes;
    len -= static_cast<std::uint32_t>(bytes);
  }
  /// Shrinks at the back to `length` ≤ len. Not while the body is elsewhere.
  void truncate(std::size_t length) noexcept { len = static_cast<std::uint32_t>(length); }
  /// Copies the body to its place.
  void fetch_body() noexcept {
    if (body == nullptr) return;
    std::memcpy(data + len - body_len, body, body_len);
    body = nullptr;
    body_len = 0;
  }
};
static_assert(sizeof(Packet) <= 80);

/// Up to 64 packets that go through the stages together. A dropped packet stays in its place, counted, and every later
/// stage skips it. Does not own buffers. One worker at a time.
class PacketBatch {
 public:
  static constexpr std::size_t capacity = 64;

  /// `drops`: the counters of the worker.
  explicit PacketBatch(DropCounters& drops) noexcept : drops_(drops) {}
  PacketBatch(const PacketBatch&) = delete;
  PacketBatch& operator=(const PacketBatch&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity; }
  void clear() noexcept {
    size_ = 0;
    alive_ = 0;
    consumed_ = 0;
  }

  /// The place of the packet in the batch; the batch must not be full.
  std::size_t add(const Packet& packet) noexcept {
    packets_[size_] = packet;
    alive_ |= std::uint64_t{1} << size_;
    return size_++;
  }
  [[nodiscard]] Packet& operator[](std::size_t i) noexcept { return packets_[i]; }
  [[nodiscard]] const Packet& operator[](std::size_t i) const noexcept { return packets_[i]; }

  /// Counts the packet under its reason; no later stage sees it. Dropping twice counts once.
  void drop(std::size_t i, DropReason reason) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << i;
    if ((alive_ & bit) == 0) return;
    alive_ &= ~bit;
    packets_[i].reason = reason;
    drops_.add(reason);
  }
  /// It is for the gateway itself: no later stage sees it, and it is no packet that was dropped.
  void consume(std::size_t i) noexcept {
    alive_ &= ~(std::uint64_t{1} << i);
    consumed_ |= std::uint64_t{1} << i;
  }
  [[nodiscard]] std::uint64_t consumed_mask() const noexcept { return consumed_; }
  [[nodiscard]] bool alive(std::size_t i) const noexcept { return (alive_ >> i & 1) != 0; }
  [[nodiscard]] std::uint64_t alive_mask() const noexcept { return alive_; }  ///< bit i: packet i is alive
  [[nodiscard]] std::size_t num_alive() const noexcept { return static_cast<std::size_t>(std::popcount(alive_)); }

  /// Calls f(index, packet) for each packet that is alive, in order. f may drop it.
  template <class F>
  void for_each_alive(F&& f) noexcept {
    for (std::uint64_t left = alive_; left != 0; left &= left - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(left));
      f(i, packets_[i]);
    }
  }
  /// Calls f(value, mask) once for each distinct value of `packet.*member` among the packets that are alive: the mask
  /// has their bits.
  template <class T, class F>
  void for_each_group(T Packet::*member, F&& f) noexcept {
    for (std::uint64_t left = alive_; left != 0;) {
      const T& value = packets_[static_cast<std::size_t>(std::countr_zero(left))].*member;
      std::uint64_t mask = 0;
      for (std::uint64_t rest = left; rest != 0; rest &= rest - 1) {
        if (packets_[static_cast<std::size_t>(std::countr_zero(rest))].*member == value) mask |= rest & (0 - rest);
      }
      left &= ~mask;
      f(value, mask);
    }
  }

 private:
  DropCounters& drops_;
  std::size_t size_ = 0;
  std::uint64_t alive_ = 0;
  std::uint64_t consumed_ = 0;
  std::array<Packet, capacity> packets_{};
};

/// Calls f(index) for each bit of the mask, lowest first.
template <class F>
inline void for_each_bit(std::uint64_t mask, F&& f) noexcept {
  for (; mask != 0; mask &= mask - 1) f(static_cast<std::size_t>(std::countr_zero(mask)));
}

}  // namespace culvert::tunnel

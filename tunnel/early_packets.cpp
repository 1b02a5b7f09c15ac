#include "early_packets.h"

#include <bit>
#include <cstring>

namespace culvert::tunnel {

bool EarlyPackets::hold(const ReceiveSlot& slot, std::uint16_t local_port, ByteView esp, TimePoint now) noexcept {
  static_assert(max_packets == 64, "a bit each");
  const std::size_t num = num_.load(std::memory_order_relaxed);
  if (num == max_packets || esp.size() > max_len) return false;
  const auto place = static_cast<std::size_t>(std::countr_one(taken_));
  taken_ |= std::uint64_t{1} << place;
  std::memcpy(&bytes_[place * max_len], esp.data(), esp.size());
  entries_[num] = {.remote = slot.remote,
                   .local = {slot.local, local_port},
                   .tos = slot.tos,
                   .place = static_cast<std::uint8_t>(place),
                   .len = static_cast<std::uint16_t>(esp.size()),
                   .since = now};
  num_.store(num + 1, std::memory_order_release);
  return true;
}

}  // namespace culvert::tunnel

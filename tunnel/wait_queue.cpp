#include "wait_queue.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace culvert::tunnel {

WaitQueue::WaitQueue(std::size_t max_packets, std::size_t max_bytes)
    : max_packets_(std::max<std::size_t>(max_packets, 1)), max_bytes_(std::max<std::size_t>(max_bytes, 1)) {}

bool WaitQueue::push(ByteView packet, TimePoint now) noexcept {
  const std::lock_guard hold(lock_);
  const std::size_t count = count_.load(std::memory_order_relaxed);
  if (packet.empty() || count == max_packets_ || packet.size() > max_bytes_ - used_bytes_) return false;
  if (!ring_ && !make_room()) return false;
  copy_in(packet);
  entries_[(first_entry_ + count) % max_packets_] = {now, packet.size()};
  used_bytes_ += packet.size();
  count_.store(count + 1, std::memory_order_release);
  return true;
}

std::size_t WaitQueue::pop(MutableByteView into) noexcept {
  const std::lock_guard hold(lock_);
  while (count_.load(std::memory_order_relaxed) != 0) {
    const std::size_t len = entries_[first_entry_].len;
    const bool fits = len <= into.size();
    if (fits) copy_out(into.first(len));
    remove_oldest();
    if (fits) return len;
    discarded_.fetch_add(1, std::memory_order_relaxed);
  }
  return 0;
}

std::size_t WaitQueue::expire(TimePoint deadline) noexcept {
  const std::lock_guard hold(lock_);
  std::size_t num_expired = 0;
  while (count_.load(std::memory_order_relaxed) != 0 && entries_[first_entry_].since < deadline) {
    remove_oldest();
    ++num_expired;
  }
  return num_expired;
}

std::size_t WaitQueue::flush() noexcept {
  const std::lock_guard hold(lock_);
  const std::size_t num_flushed = count_.load(std::memory_order_relaxed);
  while (count_.load(std::memory_order_relaxed) != 0) remove_oldest();
  return num_flushed;
}

bool WaitQueue::make_room() noexcept {
  entries_.reset(new (std::nothrow) Entry[max_packets_]);
  ring_.reset(new (std::nothrow) std::uint8_t[max_bytes_]);
  if (entries_ && ring_) return true;
  give_back_room();
  return false;
}

void WaitQueue::give_back_room() noexcept {
  entries_.reset();
  ring_.reset();
  first_entry_ = first_byte_ = 0;
}

void WaitQueue::copy_in(ByteView packet) noexcept {
  const std::size_t at = (first_byte_ + used_bytes_) % max_bytes_;
  const std::size_t until_end = std::min(packet.size(), max_bytes_ - at);
  std::memcpy(&ring_[at], packet.data(), until_end);
  if (until_end < packet.size()) std::memcpy(&ring_[0], packet.data() + until_end, packet.size() - until_end);
}

void WaitQueue::copy_out(MutableByteView into) noexcept {
  const std::size_t until_end = std::min(into.size(), max_bytes_ - first_byte_);
  std::memcpy(into.data(), &ring_[first_byte_], until_end);
  if (until_end < into.size()) std::memcpy(into.data() + until_end, &ring_[0], into.size() - until_end);
}

void WaitQueue::remove_oldest() noexcept {
  const std::size_t len = entries_[first_entry_].len;
  first_byte_ = (first_byte_ + len) % max_bytes_;
  used_bytes_ -= len;
  first_entry_ = (first_entry_ + 1) % max_packets_;
  const std::size_t left = count_.load(std::memory_order_relaxed) - 1;
  count_.store(left, std::memory_order_release);
  if (left == 0) give_back_room();
}

}  // namespace culvert::tunnel

#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

namespace culvert::tunnel {

/// A bounded ring of values: many producers, one consumer, no lock. A full ring refuses.
/// (The bounded queue of Dmitry Vyukov, 1024cores.net: the turn of a slot says whose it is.)
template <class T>
class EventRing {
 public:
  /// `capacity` is a power of two.
  explicit EventRing(std::size_t capacity) : slots_(std::make_unique<Slot[]>(capacity)), capacity_(capacity) {
    for (std::size_t i = 0; i < capacity; ++i) slots_[i].turn.store(i, std::memory_order_relaxed);
  }

  /// False when the ring is full; `value` is then untouched. Any thread.
  [[nodiscard]] bool push(T&& value) noexcept {
    std::size_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Slot& slot = slots_[position & (capacity_ - 1)];
      const std::size_t turn = slot.turn.load(std::memory_order_acquire);
      if (turn < position) return false;  // the consumer has not emptied this slot since the last lap
      if (turn > position) {
        position = tail_.load(std::memory_order_relaxed);
      } else if (tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) {
        slot.value = std::move(value);
        slot.turn.store(position + 1, std::memory_order_release);
        return true;
      }
    }
  }
  /// A guess that may be out of date at once: is there room? Any thread.
  [[nodiscard]] bool has_room() const noexcept {
    const std::size_t position = tail_.load(std::memory_order_relaxed);
    return slots_[position & (capacity_ - 1)].turn.load(std::memory_order_acquire) >= position;
  }
  /// The consumer only.
  [[nodiscard]] std::optional<T> pop() noexcept {
    Slot& slot = slots_[head_ & (capacity_ - 1)];
    if (slot.turn.load(std::memory_order_acquire) != head_ + 1) return std::nullopt;
    std::optional<T> value(std::exchange(slot.value, T{}));
    slot.turn.store(head_ + capacity_, std::memory_order_release);
    ++head_;
    return value;
  }

 private:
  struct Slot {
    std::atomic<std::size_t> turn;
    T value{};
  };

  std::unique_ptr<Slot[]> slots_;
  std::size_t capacity_;
  alignas(64) std::atomic<std::size_t> tail_{0};
  alignas(64) std::size_t head_ = 0;
};

}  // namespace culvert::tunnel

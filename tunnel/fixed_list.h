#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

namespace culvert::tunnel {

/// Up to N items that are made one by one, on the stack: what is not used is not touched, which a packet that comes
/// alone to a cold cache would wait for.
template <class T, std::size_t N>
class FixedList {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  FixedList() noexcept {}  // NOLINT: leaves the items alone
  FixedList(const FixedList&) = delete;
  FixedList& operator=(const FixedList&) = delete;

  /// A new item with its default values; at most N.
  T& add() noexcept { return *std::construct_at(&items_[size_++], T{}); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] T& operator[](std::size_t i) noexcept { return items_[i]; }
  [[nodiscard]] std::span<T> items() noexcept { return {items_, size_}; }

 private:
  union {
    T items_[N];
  };
  std::size_t size_ = 0;
};

}  // namespace culvert::tunnel

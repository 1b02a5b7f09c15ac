#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace culvert::ike {

/// Where in a vector something stands, by a hash of it: four bytes in a table that is a quarter to three quarters empty,
/// in one piece of memory. What stands there, and whether it is the one that is looked for, the caller knows.
class PlaceIndex {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;

  /// The place with this hash for which `is(place)`; `none`: there is none.
  template <class Is>
  [[nodiscard]] std::uint32_t find(std::size_t hash, Is&& is) const {
    if (slots_.empty()) return none;
    for (std::size_t at = hash & mask(); slots_[at] != none; at = (at + 1) & mask())
      if (is(slots_[at])) return slots_[at];
    return none;
  }

  /// `hash_of(place)` of those that are in it already.
  template <class HashOf>
  void add(std::uint32_t place, HashOf&& hash_of) {
    if (4 * (size_ + 1) > 3 * slots_.size()) resize(hash_of);
    put(place, hash_of(place));
    ++size_;
  }

  /// It is in it. Those behind it move up, so that no search ends too early.
  template <class HashOf>
  void remove(std::uint32_t place, HashOf&& hash_of) {
    std::size_t hole = hash_of(place) & mask();
    while (slots_[hole] != place) hole = (hole + 1) & mask();
    for (std::size_t at = (hole + 1) & mask(); slots_[at] != none; at = (at + 1) & mask()) {
      const std::size_t home = hash_of(slots_[at]) & mask();
      const bool stays = ((at - home) & mask()) < ((at - hole) & mask());
      if (stays) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = none;
    --size_;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  [[nodiscard]] std::size_t mask() const noexcept { return slots_.size() - 1; }
  void put(std::uint32_t place, std::size_t hash) {
    std::size_t at = hash & mask();
    while (slots_[at] != none) at = (at + 1) & mask();
    slots_[at] = place;
  }
  template <class HashOf>
  void resize(HashOf&& hash_of) {
    const std::vector<std::uint32_t> old =
        std::exchange(slots_, std::vector<std::uint32_t>(std::bit_ceil(2 * (size_ + 1)), none));
    for (const std::uint32_t place : old)
      if (place != none) put(place, hash_of(place));
  }

  std::vector<std::uint32_t> slots_;  ///< a power of two, or nothing
  std::size_t size_ = 0;
};

}  // namespace culvert::ike

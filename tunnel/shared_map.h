#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace culvert::tunnel {

/// A table by a number of 32 bits whose copies share all that is the same in them: a copy and a change cost about the
/// square root of its size, so that each change can be published as a snapshot of its own, also with thousands of
/// tunnels. Values are pointers or little more. A copy that nobody changes may be read by any thread, without a lock.
template <class Value>
class SharedMap {
 public:
  [[nodiscard]] const Value* find(std::uint32_t key) const noexcept {
    const std::uint32_t hash = hash_of(key);
    const std::vector<Slot>& slots = shards_[shard_of(hash)]->slots;
    for (std::size_t at = hash;; ++at) {
      const Slot& slot = slots[at & (slots.size() - 1)];
      if (!slot.used) return nullptr;
      if (slot.key == key) return &slot.value;
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// `visit(key, value)`, in any order.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& shard : shards_) {
      for (const Slot& slot : shard->slots)
        if (slot.used) visit(slot.key, slot.value);
    }
  }

  void set(std::uint32_t key, Value value) {
    const bool is_new = find(key) == nullptr;
    if (is_new && size_ + 1 > capacity(shards_.size())) resize(shards_.size() * 2);
    change(key, &value);
    size_ += is_new ? 1 : 0;
  }
  void erase(std::uint32_t key) {
    if (!find(key)) return;
    change(key, nullptr);
    --size_;
    if (shards_.size() > 1 && size_ < capacity(shards_.size() / 4)) resize(shards_.size() / 2);
  }

 private:
  struct Slot {
    std::uint32_t key = 0;
    bool used = false;
    Value value{};
  };
  /// Open addressing, at most half full, so that a search always ends.
  struct Shard {
    std::vector<Slot> slots;
  };
  using Shards = std::vector<std::shared_ptr<const Shard>>;

  static constexpr std::size_t min_shard_len = 16;
  /// As many values in a shard as there are shards makes a change cheapest.
  static constexpr std::size_t capacity(std::size_t num_shards) noexcept {
    return num_shards * std::max(min_shard_len, num_shards);
  }
  // SPIs are random and ids are small and even; nobody outside chooses either. The product spreads the latter, and its
  // upper bits depend on all of the number.
  static constexpr std::uint32_t hash_of(std::uint32_t key) noexcept {
    const std::uint32_t product = key * 0x9E3779B1U;
    return product ^ product >> 15;
  }
  [[nodiscard]] std::size_t shard_of(std::uint32_t hash) const noexcept { return hash >> 16 & (shards_.size() - 1); }

  static void put(std::vector<Slot>& slots, std::uint32_t key, Value value) {
    std::size_t at = hash_of(key);
    while (slots[at & (slots.size() - 1)].used) ++at;
    slots[at & (slots.size() - 1)] = {key, true, std::move(value)};
  }
  static std::shared_ptr<Shard> shard_for(std::size_t num_values) {
    auto shard = std::make_shared<Shard>();
    shard->slots.resize(std::bit_ceil(2 * num_values + 1));
    return shard;
  }

  /// A new shard in place of the one that has, or is to have, `key`; `value` nullptr: without it.
  void change(std::uint32_t key, Value* value) {
    std::shared_ptr<const Shard>& place = shards_[shard_of(hash_of(key))];
    std::vector<const Slot*> others;
    for (const Slot& slot : place->slots)
      if (slot.used && slot.key != key) others.push_back(&slot);
    const auto next = shard_for(others.size() + (value ? 1 : 0));
    for (const Slot* slot : others) put(next->slots, slot->key, slot->value);
    if (value) put(next->slots, key, std::move(*value));
    place = next;
  }
  void resize(std::size_t num_shards) {
    std::vector<std::vector<const Slot*>> parts(num_shards);
    for (const auto& shard : shards_) {
      for (const Slot& slot : shard->slots)
        if (slot.used) parts[hash_of(slot.key) >> 16 & (num_shards - 1)].push_back(&slot);
    }
    Shards next;
    for (const auto& part : parts) {
      const auto shard = shard_for(part.size());
      for (const Slot* slot : part) put(shard->slots, slot->key, slot->value);
      next.push_back(shard);
    }
    shards_ = std::move(next);
  }

  Shards shards_{shard_for(0)};  ///< a power of two
  std::size_t size_ = 0;
};

}  // namespace culvert::tunnel

#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

namespace culvert::tunnel {

/// One immutable value that a single writer replaces and several readers use without a lock. A replaced value lives
/// until every reader that could hold it has left it (quiescent-state reclamation): readers never wait for the writer,
/// the writer never waits for readers.
///
/// How a reader is safe: enter() stores the epoch it saw, then loads the pointer; publish() exchanges the pointer, then
/// advances the epoch. All four are sequentially consistent, so a reader whose stored epoch is at least that of a
/// retirement has loaded the pointer after it was exchanged, and a reader that the writer saw outside will load the
/// newer pointer when it enters.
template <class T>
class Published {
 public:
  explicit Published(std::size_t num_readers, std::unique_ptr<const T> first)
      : readers_(num_readers), current_(first.release()) {}
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;
  ~Published() { delete current_.load(); }  // the owner has joined all readers

  /// Reader `reader` only, by one thread: the current value, good until leave(). Not nested.
  [[nodiscard]] const T& enter(std::size_t reader) noexcept {
    readers_[reader].epoch.store(epoch_.load());
    return *current_.load();
  }
  void leave(std::size_t reader) noexcept { readers_[reader].epoch.store(outside, std::memory_order_release); }

  /// enter() and leave() as a scope.
  class Reading {
   public:
    Reading(Published& published, std::size_t reader) noexcept
        : published_(published), reader_(reader), value_(published.enter(reader)) {}
    ~Reading() { published_.leave(reader_); }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    [[nodiscard]] const T& operator*() const noexcept { return value_; }
    [[nodiscard]] const T* operator->() const noexcept { return &value_; }

   private:
    Published& published_;
    const std::size_t reader_;
    const T& value_;
  };

  /// Writer thread only.
  [[nodiscard]] const T& current() const noexcept { return *current_.load(std::memory_order_relaxed); }
  /// True when no reader can hold an older one any more.
  bool publish(std::unique_ptr<const T> next) {
    retired_.reserve(retired_.size() + 1);  // nothing may throw once the pointer is exchanged
    std::unique_ptr<const T> old(current_.exchange(next.release()));
    retired_.push_back({epoch_.fetch_add(1) + 1, std::move(old)});
    return reclaim();
  }
  /// Destroys what no reader can hold any more. True when nothing is left to destroy.
  bool reclaim() {
    std::uint64_t oldest = outside;
    for (const auto& reader : readers_) oldest = std::min(oldest, reader.epoch.load());
    std::erase_if(retired_, [oldest](const Retired& retired) { return retired.epoch <= oldest; });
    return retired_.empty();
  }
  [[nodiscard]] std::size_t num_retired() const noexcept { return retired_.size(); }

 private:
  static constexpr std::uint64_t outside = std::numeric_limits<std::uint64_t>::max();
  struct alignas(64) Reader {  // a cache line each: readers share nothing
    std::atomic<std::uint64_t> epoch{outside};
  };
  struct Retired {
    std::uint64_t epoch;
    std::unique_ptr<const T> value;
  };

  std::vector<Reader> readers_;
  std::atomic<const T*> current_;
  std::atomic<std::uint64_t> epoch_{1};
  std::vector<Retired> retired_;
};

}  // namespace culvert::tunnel

#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace culvert::tunnel {

/// Numbers, cut into stretches: which of them holds a number? Between the first cut and the last, equally wide buckets
/// say where to search: with cuts that are spread evenly little is left to search, at worst the logarithm of their
/// number.
template <class Key>
class NumberLine {
 public:
  static constexpr std::size_t max_buckets = 65536;

  NumberLine() = default;  ///< one stretch
  /// `cuts`: the first number of each stretch but the lowest, ascending, none twice, fewer than 2^31.
  explicit NumberLine(std::vector<Key> cuts) : cuts_(std::move(cuts)) {
    if (cuts_.empty()) return;
    base_ = cuts_.front();
    const std::size_t max_num = std::bit_floor(std::min(cuts_.size(), max_buckets));
    const Key width = cuts_.back() - base_;
    while ((width >> shift_) >= max_num) ++shift_;
    last_bucket_ = width >> shift_;
    std::size_t stretch = 1;
    for (Key bucket = 0; bucket <= last_bucket_; ++bucket) {
      while (stretch < cuts_.size() && cuts_[stretch] <= base_ + (bucket << shift_)) ++stretch;
      buckets_.push_back(static_cast<std::uint32_t>(stretch));
    }
    buckets_.push_back(static_cast<std::uint32_t>(cuts_.size()));
  }

  [[nodiscard]] std::size_t num_stretches() const noexcept { return cuts_.size() + 1; }

  /// 0: below all cuts.
  [[nodiscard]] std::size_t locate(Key number) const noexcept {
    if (cuts_.empty() || number < base_) return 0;
    const auto bucket = static_cast<std::size_t>(std::min<Key>((number - base_) >> shift_, last_bucket_));
    const auto begin = cuts_.begin() + buckets_[bucket], end = cuts_.begin() + buckets_[bucket + 1];
    return static_cast<std::size_t>(std::upper_bound(begin, end, number) - cuts_.begin());
  }

 private:
  std::vector<Key> cuts_;
  std::vector<std::uint32_t> buckets_;  ///< the stretch of the first number of each; at the end the last stretch
  Key base_ = 0;
  Key last_bucket_ = 0;
  unsigned shift_ = 0;  ///< a bucket holds 2^shift_ numbers
};

/// Many ranges of numbers, and which of them hold a number: a segment tree over the stretches between their ends.
/// However they overlap, n ranges take memory for n log n, and a lookup looks at nothing but the ranges that hold the
/// number and at most log n places. Immutable once made, any thread.
template <class Key>
class AddressRanges {
 public:
  struct Range {
    Key first, last;  ///< first ≤ last
    std::uint32_t id;
  };

  AddressRanges() : AddressRanges(std::span<const Range>{}) {}
  /// The ids ascend; at most 2^24 ranges.
  explicit AddressRanges(std::span<const Range> ranges)
      : line_(cuts_of(ranges)), nodes_(2 * line_.num_stretches() + 1) {
    for (const Range& range : ranges) for_each_node(range, [&](Node& node) { ++node.end; });
    std::uint32_t next = 0;
    for (Node& node : nodes_) {
      node.begin = next;
      next += node.end;
      node.end = node.begin;
    }
    ids_.resize(next);
    for (const Range& range : ranges) for_each_node(range, [&](Node& node) { ids_[node.end++] = range.id; });
    for (std::size_t i = 2; i < nodes_.size(); ++i) {
      const std::size_t parent = i / 2;
      nodes_[i].up = nodes_[parent].is_empty() ? nodes_[parent].up : static_cast<std::uint32_t>(parent);
    }
  }

  /// The lowest id of a range that holds the number and that `accept(id)` accepts; `none` if there is none.
  static constexpr std::uint32_t none = UINT32_MAX;
  template <class Accept>
  [[nodiscard]] std::uint32_t lowest(Key number, Accept&& accept) const noexcept {
    std::uint32_t found = none;
    for (std::size_t at = line_.num_stretches() + line_.locate(number); at != 0; at = nodes_[at].up) {
      for (std::uint32_t i = nodes_[at].begin; i < nodes_[at].end && ids_[i] < found; ++i) {
        if (accept(ids_[i])) found = ids_[i];
      }
    }
    return found;
  }

 private:
  /// Of the tree: node i has the children 2i and 2i + 1, the stretches are the last ones. A range stands in the highest
  /// nodes all of whose stretches it covers.
  struct Node {
    std::uint32_t begin = 0, end = 0;  ///< in ids_
    std::uint32_t up = 0;              ///< the next node above that is not empty; 0: there is none
    [[nodiscard]] bool is_empty() const noexcept { return begin == end; }
  };

  static std::vector<Key> cuts_of(std::span<const Range> ranges) {
    std::vector<Key> cuts;
    cuts.reserve(2 * ranges.size());
    for (const Range& range : ranges) {
      if (range.first != 0) cuts.push_back(range.first);
      if (range.last != static_cast<Key>(-1)) cuts.push_back(range.last + 1);
    }
    std::ranges::sort(cuts);
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    return cuts;
  }

  template <class F>
  void for_each_node(const Range& range, F&& f) {
    const std::size_t num = line_.num_stretches();
    std::size_t begin = num + line_.locate(range.first), end = num + line_.locate(range.last) + 1;
    for (; begin < end; begin /= 2, end /= 2) {
      if (begin % 2 != 0) f(nodes_[begin++]);
      if (end % 2 != 0) f(nodes_[--end]);
    }
  }

  NumberLine<Key> line_;
  std::vector<Node> nodes_;  ///< [0] stands for no node
  std::vector<std::uint32_t> ids_;
};

}  // namespace culvert::tunnel

#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace culvert::tunnel {

/// The anti-replay window of RFC 4303 §3.4.3 over 64-bit sequence numbers, as a ring of bits (the idea of RFC 6479).
/// Not thread-safe: InboundSa guards it. Allocates only when it is made.
class ReplayWindow {
 public:
  static constexpr std::uint32_t min_size = 64;
  static constexpr std::uint32_t max_size = 65536;

  enum class Verdict : std::uint8_t {
    fresh,
    replay,   ///< seen before, or number 0, which no sender uses (RFC 4303 §3.3.3)
    too_old,  ///< left of the window: cannot know
  };

  /// `size` in packets; values outside 64…65536 are taken as the nearest of these.
  explicit ReplayWindow(std::uint32_t size);

  /// The 64-bit number that a packet with these low 32 bits must have (RFC 4303 appendix A2.2). nullopt: it would lie
  /// before the first packet, so it is left of the window.
  [[nodiscard]] std::optional<std::uint64_t> infer_esn(std::uint32_t low) const noexcept;
  /// Changes nothing. To be asked before the ICV is computed.
  [[nodiscard]] Verdict check(std::uint64_t sequence) const noexcept;
  /// Marks the number as seen when it is fresh. To be called only after the ICV held.
  [[nodiscard]] Verdict commit(std::uint64_t sequence) noexcept;

  [[nodiscard]] std::uint64_t top() const noexcept { return top_; }  ///< highest number seen, 0: none
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

 private:
  void advance(std::uint64_t sequence) noexcept;

  std::uint64_t top_ = 0;
  std::uint32_t size_;
  std::uint64_t word_mask_ = 0;       ///< number of words - 1, a power of two less one
  std::vector<std::uint64_t> words_;  ///< bit s % 64 of word (s / 64) & word_mask_ : number s was seen
};

}  // namespace culvert::tunnel

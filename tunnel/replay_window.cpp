#include "replay_window.h"

#include <algorithm>
#include <bit>

namespace culvert::tunnel {

// A window of `size` numbers touches up to size / 64 + 1 words; a power of two makes the ring index a mask.
ReplayWindow::ReplayWindow(std::uint32_t size) : size_(std::clamp(size, min_size, max_size)) {
  const std::uint64_t num_words = std::bit_ceil(std::uint64_t{(size_ + 63) / 64 + 1});
  words_.resize(num_words);
  word_mask_ = num_words - 1;
}

// RFC 4303 appendix A2.2. The window's lower edge is Bl = Tl - W + 1 modulo 2^32.
std::optional<std::uint64_t> ReplayWindow::infer_esn(std::uint32_t low) const noexcept {
  const auto top_low = static_cast<std::uint32_t>(top_);
  auto high = static_cast<std::uint32_t>(top_ >> 32);
  const std::uint32_t bottom = top_low - size_ + 1;
  if (top_low >= size_ - 1) {  // case A: the window lies within one number subspace
    if (low < bottom) {
      if (high == UINT32_MAX) return std::nullopt;
      ++high;
    }
  } else if (low >= bottom) {  // case B: the window spans two, and the number is in the earlier one
    if (high == 0) return std::nullopt;
    --high;
  }
  return std::uint64_t{high} << 32 | low;
}

ReplayWindow::Verdict ReplayWindow::check(std::uint64_t sequence) const noexcept {
  if (sequence == 0) return Verdict::replay;
  if (sequence > top_) return Verdict::fresh;
  if (top_ - sequence >= size_) return Verdict::too_old;
  const std::uint64_t word = words_[(sequence / 64) & word_mask_];
  return (word >> (sequence % 64) & 1) != 0 ? Verdict::replay : Verdict::fresh;
}

ReplayWindow::Verdict ReplayWindow::commit(std::uint64_t sequence) noexcept {
  const Verdict verdict = check(sequence);
  if (verdict != Verdict::fresh) return verdict;
  if (sequence > top_) advance(sequence);
  words_[(sequence / 64) & word_mask_] |= std::uint64_t{1} << (sequence % 64);
  return Verdict::fresh;
}

// Words that the new top enters are cleared; at most the whole ring, however far it jumps.
void ReplayWindow::advance(std::uint64_t sequence) noexcept {
  const std::uint64_t from = top_ / 64;
  const std::uint64_t num_new = std::min(sequence / 64 - from, word_mask_ + 1);
  for (std::uint64_t i = 1; i <= num_new; ++i) words_[(sequence / 64 - num_new + i) & word_mask_] = 0;
  top_ = sequence;
}

}  // namespace culvert::tunnel

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "replay_window.h"

using namespace culvert::tunnel;
using Verdict = ReplayWindow::Verdict;

namespace {

__extension__ typedef __int128 Wide;

/// The definition of RFC 4303 §3.4.3 in the simplest words: remember everything.
struct Model {
  std::uint64_t size;
  std::uint64_t top = 0;
  std::set<std::uint64_t> seen{};

  Verdict check(std::uint64_t sequence) const {
    if (sequence == 0) return Verdict::replay;
    if (sequence + size <= top) return Verdict::too_old;
    return seen.contains(sequence) ? Verdict::replay : Verdict::fresh;
  }
  Verdict commit(std::uint64_t sequence) {
    const Verdict verdict = check(sequence);
    if (verdict == Verdict::fresh) {
      seen.insert(sequence);
      top = std::max(top, sequence);
    }
    return verdict;
  }
  /// The one number with these low bits in the 2^32 numbers that begin at the window's lower edge (appendix A2, in one
  /// line).
  std::optional<std::uint64_t> infer(std::uint32_t low) const {
    const Wide bottom = Wide{top} - Wide{size} + 1;
    const Wide distance = ((Wide{low} - bottom) % (Wide{1} << 32) + (Wide{1} << 32)) % (Wide{1} << 32);
    const Wide sequence = bottom + distance;
    if (sequence < 0 || sequence > Wide{UINT64_MAX}) return std::nullopt;
    return static_cast<std::uint64_t>(sequence);
  }
};

void compare_with_model(std::uint32_t size, std::uint64_t start, unsigned seed) {
  std::mt19937_64 random(seed);
  ReplayWindow window(size);
  Model model{size};
  CHECK(window.commit(start) == model.commit(start));
  for (int step = 0; step < 20000; ++step) {
    std::uint64_t sequence = model.top;
    const std::uint64_t choice = random() % 100;
    if (choice < 50) {
      sequence += random() % 4;
    } else if (choice < 90) {
      sequence -= std::min<std::uint64_t>(sequence, random() % (size + 10));
    } else if (choice < 99) {
      sequence += random() % (2 * size);
    } else {
      sequence += random() % (1 << 20);
    }
    REQUIRE(window.check(sequence) == model.check(sequence));
    if (random() % 4 != 0) REQUIRE(window.commit(sequence) == model.commit(sequence));
    REQUIRE(window.top() == model.top);
    const auto low = static_cast<std::uint32_t>(random() % 2 == 0 ? sequence : random());
    REQUIRE(window.infer_esn(low) == model.infer(low));
  }
}

}  // namespace

TEST_CASE("the replay window agrees with a set that remembers everything") {
  unsigned seed = 1;
  for (const std::uint32_t size : {64U, 65U, 100U, 128U, 4096U, 65535U, 65536U}) {
    for (const std::uint64_t start : {1ULL, 63ULL, 64ULL, (1ULL << 32) - 100, (1ULL << 32) + 50, (5ULL << 32) - 1}) {
      CAPTURE(size);
      CAPTURE(start);
      compare_with_model(size, start, seed++);
    }
  }
}

TEST_CASE("a window size out of range is taken as the nearest allowed") {
  CHECK(ReplayWindow(0).size() == 64);
  CHECK(ReplayWindow(UINT32_MAX).size() == 65536);
}

TEST_CASE("a new window takes any first number but 0, and asking changes nothing") {
  ReplayWindow window(64);
  CHECK(window.check(0) == Verdict::replay);
  CHECK(window.commit(0) == Verdict::replay);
  CHECK(window.check(1) == Verdict::fresh);
  CHECK(window.check(1) == Verdict::fresh);
  CHECK(window.check(UINT64_MAX) == Verdict::fresh);
  CHECK(window.top() == 0);
}

TEST_CASE("a jump over the whole ring forgets what was there") {
  ReplayWindow window(64);
  for (std::uint64_t sequence = 1; sequence <= 200; ++sequence) CHECK(window.commit(sequence) == Verdict::fresh);
  CHECK(window.commit(1ULL << 40) == Verdict::fresh);
  for (std::uint64_t sequence = (1ULL << 40) - 63; sequence < 1ULL << 40; ++sequence) {
    CHECK(window.commit(sequence) == Verdict::fresh);
  }
  CHECK(window.commit(200) == Verdict::too_old);
}

// RFC 4303 appendix A2.2, its two cases by hand: W = 64.
TEST_CASE("ESN: the high half follows from where the low half stands to the window") {
  ReplayWindow window(64);
  (void)window.commit((3ULL << 32) + 1000);             // case A: Tl = 1000 ≥ W - 1
  CHECK(*window.infer_esn(937) == (3ULL << 32) + 937);  // Bl itself
  CHECK(*window.infer_esn(936) == (4ULL << 32) + 936);  // below Bl: the next turn
  CHECK(*window.infer_esn(UINT32_MAX) == (3ULL << 32) + UINT32_MAX);
  ReplayWindow low(64);
  (void)low.commit((3ULL << 32) + 10);  // case B: Tl = 10, Bl = 2^32 - 53
  CHECK(*low.infer_esn(UINT32_MAX - 52) == (2ULL << 32) + UINT32_MAX - 52);
  CHECK(*low.infer_esn(UINT32_MAX - 53) == (3ULL << 32) + UINT32_MAX - 53);
  CHECK(*low.infer_esn(0) == 3ULL << 32);
  ReplayWindow fresh(64);  // case B with Th = 0: before the first packet
  CHECK_FALSE(fresh.infer_esn(UINT32_MAX).has_value());
  CHECK(*fresh.infer_esn(1) == 1);
  ReplayWindow last(64);
  (void)last.commit(UINT64_MAX - 5);
  CHECK_FALSE(last.infer_esn(5).has_value());  // there is no turn after the last
}

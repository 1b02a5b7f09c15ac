// The replay window of 4,096 numbers: precheck before the ICV, then commit, each a call. Beside it a bit set that is
// shifted (the code of RFC 2401 appendix C, with a wider mask), and a std::set of the numbers seen.
#include <algorithm>
#include <bitset>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "data_path_bench.h"
#include "replay_window.h"

namespace culvert::bench {
namespace {

using tunnel::ReplayWindow;

constexpr std::uint32_t window_size = 4096;

class OurWindow {
 public:
  [[nodiscard]] bool is_fresh(std::uint64_t sequence) const noexcept {
    return window_.check(sequence) == ReplayWindow::Verdict::fresh;
  }
  [[nodiscard]] bool commit(std::uint64_t sequence) noexcept {
    return window_.commit(sequence) == ReplayWindow::Verdict::fresh;
  }

 private:
  ReplayWindow window_{window_size};
};

class ShiftedBits {
 public:
  [[gnu::noinline]] bool is_fresh(std::uint64_t sequence) const noexcept {
    if (sequence == 0) return false;
    if (sequence > top_) return true;
    return top_ - sequence < window_size && !seen_.test(top_ - sequence);
  }
  [[gnu::noinline]] bool commit(std::uint64_t sequence) noexcept {
    if (!is_fresh(sequence)) return false;
    if (sequence > top_) {
      seen_ <<= std::min<std::uint64_t>(sequence - top_, window_size);
      top_ = sequence;
    }
    seen_.set(top_ - sequence);
    return true;
  }

 private:
  std::uint64_t top_ = 0;
  std::bitset<window_size> seen_;
};

class NumberSet {
 public:
  [[gnu::noinline]] bool is_fresh(std::uint64_t sequence) const {
    return sequence != 0 && sequence + window_size > top_ && !seen_.contains(sequence);
  }
  [[gnu::noinline]] bool commit(std::uint64_t sequence) {
    if (!is_fresh(sequence)) return false;
    seen_.insert(sequence);
    top_ = std::max(top_, sequence);
    while (*seen_.begin() + window_size <= top_) seen_.erase(seen_.begin());
    return true;
  }

 private:
  std::uint64_t top_ = 0;
  std::set<std::uint64_t> seen_;
};

/// As for a packet whose ICV holds.
template <class Window>
bool accept(Window& window, std::uint64_t sequence) {
  return window.is_fresh(sequence) && window.commit(sequence);
}

/// Numbers as they come in: in order; or each up to `reach` places too late or early, one in a hundred twice.
std::vector<std::uint64_t> make_sequence(std::size_t reach) {
  std::mt19937 random(1);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> arrivals;  // when, what
  for (std::uint64_t i = 1; i <= 16384; ++i) {
    const auto when = [&] { return i + (reach == 0 ? 0 : random() % reach); };
    arrivals.emplace_back(when(), i);
    if (reach != 0 && random() % 100 == 0) arrivals.emplace_back(when(), i);
  }
  std::ranges::stable_sort(arrivals, {}, &std::pair<std::uint64_t, std::uint64_t>::first);
  std::vector<std::uint64_t> sequence;
  for (const auto& [when, what] : arrivals) sequence.push_back(what);
  return sequence;
}

template <class Window>
Way way(const std::shared_ptr<const std::vector<std::uint64_t>>& sequence) {
  const auto window = std::make_shared<Window>();
  return {[window] { *window = Window(); },
          [window, sequence] {
            for (const std::uint64_t number : *sequence) keep(accept(*window, number));
          }};
}

template <class Window>
Comparison make_case(std::size_t reach) {
  const auto sequence = std::make_shared<const std::vector<std::uint64_t>>(make_sequence(reach));
  OurWindow ours;
  Window plain;
  for (const std::uint64_t number : *sequence) {
    if (accept(ours, number) != accept(plain, number)) give_up("replay: the two ways do not agree");
  }
  return {sequence->size(), way<OurWindow>(sequence), way<Window>(sequence)};
}

}  // namespace

void add_replay_cases() {
  for (const std::size_t reach : {0, 32}) {
    const std::string name = reach == 0 ? "replay/in_order" : "replay/reordered";
    add_case(name + "/bits", "a bit set that is shifted", [reach] { return make_case<ShiftedBits>(reach); });
    add_case(name + "/set", "a std::set of the numbers", [reach] { return make_case<NumberSet>(reach); });
  }
}

}  // namespace culvert::bench

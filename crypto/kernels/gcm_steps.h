#pragma once
#include <utility>

#include "gcm_window.h"

// The inner steps: at most 8 vectors of counters run through the rounds of AES together, and between two rounds one
// vector is multiplied into a hash: of the text sealed in the step before, or opened in this one.
namespace culvert::crypto {
namespace {

template <int I>
struct Index {
  static constexpr int value = I;
};

template <class F, int... I>
[[gnu::always_inline]] inline void for_each_of(std::integer_sequence<int, I...>, F&& body) {
  (body(Index<I>{}), ...);
}
// Unrolled for certain: the indices are constants.
template <int N, class F>
[[gnu::always_inline]] inline void for_each_index(F&& body) {
  for_each_of(std::make_integer_sequence<int, N>{}, body);
}
#define CULVERT_INLINE __attribute__((always_inline))  // where a lambda takes it

constexpr std::ptrdiff_t folded_offset = offsetof(GcmKeyData, folded) - offsetof(GcmKeyData, powers);

template <class V>
[[gnu::always_inline]] inline void zero(Sums<V>& sums) {
  sums.lo = sums.mid = sums.hi = V::zero();
}

// Karatsuba: three products for a block, the middle one of what the halves add up to.
template <class V>
[[gnu::always_inline]] inline void add_product(Sums<V>& sums, typename V::Reg blocks, typename V::Reg powers,
                                               typename V::Reg folded) {
  const typename V::Reg both = V::exclusive_or(blocks, V::swap_halves(blocks));
  sums.lo = V::exclusive_or(sums.lo, V::template multiply<0x00>(blocks, powers));
  sums.hi = V::exclusive_or(sums.hi, V::template multiply<0x11>(blocks, powers));
  sums.mid = V::exclusive_or(sums.mid, V::template multiply<0x00>(both, folded));
}

template <class V>
[[gnu::always_inline]] inline void hash_unit(Sums<V>& sums, typename V::Reg blocks, const std::uint8_t* powers) {
  add_product<V>(sums, blocks, V::load(powers), V::load(powers + folded_offset));
}

// All rounds but the first and the last. `key(round, i)` is what vector i gets; `between(Index)` is work for the gaps.
template <class V, int N, class Key, class Between>
[[gnu::always_inline]] inline void middle_rounds(typename V::Reg (&state)[N], std::uint32_t num_rounds, Key key,
                                                 Between between) {
  const auto round = [&](int number) CULVERT_INLINE {
    for_each_index<N>([&](auto i) CULVERT_INLINE { state[i.value] = V::aes_round(state[i.value], key(number, i)); });
    for_each_index<N>([&](auto i) CULVERT_INLINE { V::pin(state[i.value]); });
  };
  for_each_index<9>([&](auto i) CULVERT_INLINE {
    round(i.value + 1);
    between(i);
  });
  if (num_rounds == 14) for_each_index<4>([&](auto i) CULVERT_INLINE { round(i.value + 10); });
}

struct NothingBetween {
  template <int I>
  [[gnu::always_inline]] void operator()(Index<I>) const {}
};

// Big-endian counters from 2 on, the last word of each block; exclusive or 1, for they are added to the first counter.
struct CounterTable {
  alignas(64) std::uint8_t blocks[max_stretch_blocks][16];
  constexpr CounterTable() : blocks{} {
    for (std::size_t i = 0; i < max_stretch_blocks; ++i) blocks[i][15] = static_cast<std::uint8_t>((i + 2) ^ 1);
  }
};
static_assert(max_stretch_blocks + 2 <= 256);
constexpr CounterTable first_counters;

// The same for a later stretch, whose first block is `first`.
template <class V>
void fill_counters(Window<V>& window, std::uint32_t first, std::size_t num_units) {
  using Reg = typename V::Reg;
  alignas(16) static constexpr std::uint8_t order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12};
  alignas(64) std::uint32_t words[4 * V::lanes] = {};
  for (std::size_t lane = 0; lane < V::lanes; ++lane)
    words[4 * lane + 3] = first + 2 + static_cast<std::uint32_t>(lane);
  alignas(16) const std::uint32_t step[4] = {0, 0, 0, V::lanes};
  alignas(16) static constexpr std::uint8_t one[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  Reg counter = V::load(words);
  for (std::size_t unit = 0; unit < num_units; ++unit, counter = V::add_32(counter, V::broadcast(step))) {
    V::store(window.counters[0] + unit * V::len,
             V::exclusive_or(V::shuffle_bytes(counter, V::broadcast(order)), V::broadcast(one)));
  }
}

// ---- Packets of T units, P at a time.

// The counters of P packets after the first addition of the round key.
template <class V, int P, int T>
[[gnu::always_inline]] inline void start_group(typename V::Reg (&state)[P * T], const Window<V>& window,
                                               std::size_t at) {
  for_each_index<P>([&](auto p) CULVERT_INLINE {
    const auto base = V::exclusive_or(V::broadcast(window.first_counters[at + p.value]),
                                      V::broadcast(window.packets[at + p.value].key->round_keys[0]));
    for_each_index<T>([&](auto t) CULVERT_INLINE {
      state[p.value * T + t.value] = V::exclusive_or(base, V::load(first_counters.blocks[0] + t.value * V::len));
    });
  });
}

template <class V, int P, int T, bool Mixed, class Between>
[[gnu::always_inline]] inline void group_rounds(typename V::Reg (&state)[P * T], const Packet* packets,
                                                Between between) {
  const auto key = [packets](int round, auto i)
                       CULVERT_INLINE { return V::broadcast(packets[Mixed ? i.value / T : 0].key->round_keys[round]); };
  middle_rounds<V, P * T>(state, packets[0].key->num_rounds, key, between);
}

// The bytes of unit t that a packet of T units has.
template <class V, int T>
[[gnu::always_inline]] inline typename V::Reg load_unit(const Packet& packet, int t) {
  const std::uint8_t* from = packet.src + static_cast<std::size_t>(t) * V::len;
  return t + 1 < T ? V::load(from) : V::load_first(from, packet.len - std::size_t{T - 1} * V::len);
}

template <class V, int P, int T, bool Mixed, class Keep>
[[gnu::always_inline]] inline void write_group(typename V::Reg (&state)[P * T], const Packet* packets, Keep keep) {
  for_each_index<P * T>([&](auto i) CULVERT_INLINE {
    constexpr int p = i.value / T, t = i.value % T;
    const Packet& packet = packets[p];
    const GcmKeyData& key = *packets[Mixed ? p : 0].key;
    const std::size_t last_len = packet.len - std::size_t{T - 1} * V::len;
    const auto text = V::exclusive_or(load_unit<V, T>(packet, t), V::broadcast(key.round_keys[key.num_rounds]));
    const auto out = V::aes_last_round(state[i.value], text);
    std::uint8_t* to = packet.dst + std::size_t{t} * V::len;
    if constexpr (t + 1 < T) {
      V::store(to, out);
      keep(i, out);
    } else {
      V::store_first(to, last_len, out);
      keep(i, V::keep_first(out, last_len));
    }
  });
}

// Unit i of the group at `at`, when it is its turn; the sums leave for the ring with the packet's last unit.
template <class V, int T>
[[gnu::always_inline]] inline void hash_in_group(Window<V>& window, std::size_t at, Sums<V>& sums, int i,
                                                 typename V::Reg blocks) {
  const std::size_t packet = at + static_cast<std::size_t>(i / T);
  if (i % T == 0) zero(sums);
  hash_unit(sums, blocks, window.packets[packet].powers + static_cast<std::size_t>(i % T) * V::len);
  V::pin(sums.lo);
  V::pin(sums.mid);
  V::pin(sums.hi);
  if (i % T == T - 1) window.sums[packet % ring_len] = sums;
}

template <class V, int P, int T, bool Mixed>
[[gnu::always_inline]] inline void seal_group(Window<V>& window, std::size_t at, std::size_t previous) {
  typename V::Reg state[P * T];
  Sums<V> sums;
  start_group<V, P, T>(state, window, at);
  group_rounds<V, P, T, Mixed>(state, window.packets + at, [&](auto i) CULVERT_INLINE {
    if constexpr (i.value < P * T) hash_in_group<V, T>(window, previous, sums, i.value, window.pending[i.value]);
  });
  write_group<V, P, T, Mixed>(state, window.packets + at, [&](auto i, typename V::Reg out) CULVERT_INLINE {
    window.pending[i.value] = reversed<V>(out);
  });
}

template <class V, int P, int T>
[[gnu::always_inline]] inline void hash_group(Window<V>& window, std::size_t at) {
  Sums<V> sums;
  for_each_index<P * T>(
      [&](auto i) CULVERT_INLINE { hash_in_group<V, T>(window, at, sums, i.value, window.pending[i.value]); });
}

template <class V, int P, int T, bool Mixed>
[[gnu::always_inline]] inline void open_group(Window<V>& window, std::size_t at) {
  typename V::Reg state[P * T];
  Sums<V> sums;
  start_group<V, P, T>(state, window, at);
  group_rounds<V, P, T, Mixed>(state, window.packets + at, [&](auto i) CULVERT_INLINE {
    if constexpr (i.value < P * T) {
      const auto blocks = load_unit<V, T>(window.packets[at + i.value / T], i.value % T);
      hash_in_group<V, T>(window, at, sums, i.value, reversed<V>(blocks));
    }
  });
  write_group<V, P, T, Mixed>(state, window.packets + at, [](auto, typename V::Reg) CULVERT_INLINE {});
}

// ---- One packet of more units, N at a time.

/// N consecutive units of a packet's stretch.
template <class V>
struct Step {
  const GcmKeyData* key;
  const std::uint8_t* first_counter;
  const std::uint8_t* counters;
  const std::uint8_t* src;
  std::uint8_t* dst;
  const std::uint8_t* powers;
  Sums<V>* sums;
  std::size_t last_len;               // bytes in the last unit
  std::ptrdiff_t first_src, end_src;  // units that are read from src, the others from dst
};

// Sealed by the last step: the powers and sums for window.pending.
template <class V>
struct Pending {
  int num = 0;
  const std::uint8_t* powers = nullptr;
  Sums<V>* sums = nullptr;
};

template <class V, int N, class Between>
[[gnu::always_inline]] inline void step_rounds(typename V::Reg (&state)[N], const Step<V>& step, Between between) {
  const std::uint8_t(*round_keys)[16] = step.key->round_keys;
  const auto base = V::exclusive_or(V::broadcast(step.first_counter), V::broadcast(round_keys[0]));
  for_each_index<N>([&](auto i) CULVERT_INLINE {
    state[i.value] = V::exclusive_or(base, V::load(step.counters + i.value * V::len));
  });
  middle_rounds<V, N>(
      state, step.key->num_rounds,
      [round_keys](int round, auto) CULVERT_INLINE { return V::broadcast(round_keys[round]); }, between);
}

template <class V, int N, class From, class Keep>
[[gnu::always_inline]] inline void write_step(typename V::Reg (&state)[N], const Step<V>& step, From from, Keep keep) {
  const auto last_key = V::broadcast(step.key->round_keys[step.key->num_rounds]);
  for_each_index<N>([&](auto i) CULVERT_INLINE {
    std::uint8_t* to = step.dst + i.value * V::len;
    if constexpr (i.value + 1 < N) {
      const auto out = V::aes_last_round(state[i.value], V::exclusive_or(V::load(from(i)), last_key));
      V::store(to, out);
      keep(i, out);
    } else {
      const auto text = V::load_first(from(i), step.last_len);
      const auto out = V::aes_last_round(state[i.value], V::exclusive_or(text, last_key));
      V::store_first(to, step.last_len, out);
      keep(i, V::keep_first(out, step.last_len));
    }
  });
}

// Seals N units while the M that are pending are hashed.
template <class V, int N, int M>
void seal_step(Window<V>& window, const Step<V>& step, Pending<V>& pending) noexcept {
  typename V::Reg state[N];
  if constexpr (M > 0) {
    Sums<V> sums = *pending.sums;
    step_rounds<V, N>(state, step, [&](auto i) CULVERT_INLINE {
      if constexpr (i.value < M) {
        hash_unit(sums, window.pending[i.value], pending.powers + i.value * V::len);
        V::pin(sums.lo);
        V::pin(sums.mid);
        V::pin(sums.hi);
      }
    });
    *pending.sums = sums;
  } else {
    step_rounds<V, N>(state, step, NothingBetween{});
  }
  const auto keep = [&window](auto i, typename V::Reg out)
                        CULVERT_INLINE { window.pending[i.value] = reversed<V>(out); };
  if (step.first_src <= 0 && step.end_src >= N) {
    write_step<V, N>(state, step, [&](auto i) CULVERT_INLINE { return step.src + i.value * V::len; }, keep);
  } else {
    const auto from = [&](auto i) CULVERT_INLINE {
      const bool is_src = i.value >= step.first_src && i.value < step.end_src;
      return (is_src ? step.src : step.dst) + i.value * V::len;
    };
    write_step<V, N>(state, step, from, keep);
  }
  pending = {N, step.powers, step.sums};
}

template <class V>
void hash_pending(Window<V>& window, Pending<V>& pending) noexcept {
  if (pending.num == 0) return;
  Sums<V> sums = *pending.sums;
  for (int i = 0; i < pending.num; ++i)
    hash_unit(sums, window.pending[i], pending.powers + static_cast<std::size_t>(i) * V::len);
  *pending.sums = sums;
  pending.num = 0;
}

template <class V, int N>
void open_step(Window<V>&, const Step<V>& step, Pending<V>&) noexcept {
  typename V::Reg state[N];
  Sums<V> sums = *step.sums;
  step_rounds<V, N>(state, step, [&](auto i) CULVERT_INLINE {
    if constexpr (i.value < N) {
      const std::uint8_t* from = step.src + i.value * V::len;
      const auto blocks = i.value + 1 < N ? V::load(from) : V::load_first(from, step.last_len);
      hash_unit(sums, reversed<V>(blocks), step.powers + i.value * V::len);
      V::pin(sums.lo);
      V::pin(sums.mid);
      V::pin(sums.hi);
    }
  });
  *step.sums = sums;
  write_step<V, N>(
      state, step, [&](auto i) CULVERT_INLINE { return step.src + i.value * V::len; },
      [](auto, typename V::Reg) CULVERT_INLINE {});
}

}  // namespace
}  // namespace culvert::crypto

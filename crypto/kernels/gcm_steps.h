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

// Two units of a packet: their sums of halves share a vector.
template <class V>
[[gnu::always_inline]] inline void hash_pair(Sums<V>& sums, typename V::Reg a, typename V::Reg b,
                                             const std::uint8_t* powers) {
  const typename V::Reg powers_a = V::load_once(powers), powers_b = V::load_once(powers + V::len);
  const typename V::Reg folded = V::load_once(powers + folded_offset);
  const typename V::Reg both = V::exclusive_or(V::low_halves(a, b), V::high_halves(a, b));
  sums.lo = V::exclusive_or(sums.lo, V::template multiply<0x00>(a, powers_a), V::template multiply<0x00>(b, powers_b));
  sums.hi = V::exclusive_or(sums.hi, V::template multiply<0x11>(a, powers_a), V::template multiply<0x11>(b, powers_b));
  sums.mid =
      V::exclusive_or(sums.mid, V::template multiply<0x00>(both, folded), V::template multiply<0x11>(both, folded));
}

template <class V>
[[gnu::always_inline]] inline void pin(Sums<V>& sums) {
  V::pin(sums.lo);
  V::pin(sums.mid);
  V::pin(sums.hi);
}

// The share of round I in hashing N units: two of them every other round, a last one alone. `load(i)` gives a unit.
template <class V, int N, int I, class Load>
[[gnu::always_inline]] inline void hash_share(Sums<V>& sums, Load load, const std::uint8_t* powers) {
  if constexpr (I % 2 == 0 && I + 1 < N) {
    hash_pair<V>(sums, load(Index<I>{}), load(Index<I + 1>{}), powers + I * V::len);
    pin(sums);
  } else if constexpr (I % 2 == 0 && I + 1 == N) {
    hash_unit<V>(sums, load(Index<I>{}), powers + I * V::len);
    pin(sums);
  }
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

// The share of round I in hashing P packets of T units, the first of which is `at`. Sums leave for the ring with a
// packet's last unit.
template <class V, int P, int T, int I, class Load>
[[gnu::always_inline]] inline void hash_group_share(Window<V>& window, std::size_t at, Sums<V>& sums, Load load) {
  if constexpr (I < P * T) {
    constexpr int t = I % T;
    const std::size_t packet = at + I / T;
    if constexpr (t == 0) zero(sums);
    const auto load_of_packet = [&load](auto i) CULVERT_INLINE { return load(Index<I - t + i.value>{}); };
    hash_share<V, T, t>(sums, load_of_packet, window.packets[packet].powers);
    if constexpr (t == T - 1) window.sums[packet % ring_len] = sums;
  }
}

template <class V, int P, int T, bool Mixed>
[[gnu::always_inline]] inline void seal_group(Window<V>& window, std::size_t at, std::size_t previous) {
  typename V::Reg state[P * T];
  Sums<V> sums;
  const auto load = [&window](auto i) CULVERT_INLINE { return window.pending[i.value]; };
  start_group<V, P, T>(state, window, at);
  group_rounds<V, P, T, Mixed>(state, window.packets + at, [&](auto i) CULVERT_INLINE {
    hash_group_share<V, P, T, i.value>(window, previous, sums, load);
  });
  write_group<V, P, T, Mixed>(state, window.packets + at, [&](auto i, typename V::Reg out) CULVERT_INLINE {
    window.pending[i.value] = reversed<V>(out);
  });
}

template <class V, int P, int T>
[[gnu::always_inline]] inline void hash_group(Window<V>& window, std::size_t at) {
  Sums<V> sums;
  const auto load = [&window](auto i) CULVERT_INLINE { return window.pending[i.value]; };
  for_each_index<P * T>([&](auto i) CULVERT_INLINE { hash_group_share<V, P, T, i.value>(window, at, sums, load); });
}

template <class V, int P, int T, bool Mixed>
[[gnu::always_inline]] inline void open_group(Window<V>& window, std::size_t at) {
  typename V::Reg state[P * T];
  Sums<V> sums;
  const Packet* packets = window.packets + at;
  const auto load = [packets](auto i)
                        CULVERT_INLINE { return reversed<V>(load_unit<V, T>(packets[i.value / T], i.value % T)); };
  start_group<V, P, T>(state, window, at);
  group_rounds<V, P, T, Mixed>(
      state, packets, [&](auto i) CULVERT_INLINE { hash_group_share<V, P, T, i.value>(window, at, sums, load); });
  write_group<V, P, T, Mixed>(state, packets, [](auto, typename V::Reg) CULVERT_INLINE {});
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

// What the last step has sealed and nobody has hashed yet.
template <class V>
struct Pending {
  int num = 0;
  const std::uint8_t* text = nullptr;
  std::size_t last_len = 0;
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

// Unit I of N at `text`, the last of which has last_len bytes.
template <class V, int N, int I>
[[gnu::always_inline]] inline typename V::Reg load_in_step(const std::uint8_t* text, std::size_t last_len) {
  const std::uint8_t* from = text + I * V::len;
  if constexpr (I + 1 < N) {
    return V::load(from);
  } else {
    return V::load_first(from, last_len);
  }
}

// `from(Index)` is the text that a unit is read from, as the address of the step's first unit.
template <class V, int N, class From>
[[gnu::always_inline]] inline void write_step(typename V::Reg (&state)[N], const Step<V>& step, From from) {
  const auto last_key = V::broadcast(step.key->round_keys[step.key->num_rounds]);
  std::uint8_t* const dst = step.dst;  // stores to the text might change the step, for all that the compiler knows
  const std::size_t last_len = step.last_len;
  for_each_index<N>([&](auto i) CULVERT_INLINE {
    const auto text = load_in_step<V, N, i.value>(from(i), last_len);
    const auto out = V::aes_last_round(state[i.value], V::exclusive_or(text, last_key));
    std::uint8_t* const to = dst + i.value * V::len;
    if constexpr (i.value + 1 < N) {
      V::store(to, out);
    } else {
      V::store_first(to, last_len, out);
    }
  });
}

// Seals N units while the M that are pending are hashed.
template <class V, int N, int M>
void seal_step(const Step<V>& step, Pending<V>& pending) noexcept {
  typename V::Reg state[N];
  if constexpr (M > 0) {
    const std::uint8_t *const text = pending.text, *const powers = pending.powers;
    const std::size_t last_len = pending.last_len;
    Sums<V> sums = *pending.sums;
    const auto load = [text, last_len](auto i)
                          CULVERT_INLINE { return reversed<V>(load_in_step<V, M, i.value>(text, last_len)); };
    step_rounds<V, N>(state, step, [&](auto i) CULVERT_INLINE { hash_share<V, M, i.value>(sums, load, powers); });
    *pending.sums = sums;
  } else {
    step_rounds<V, N>(state, step, NothingBetween{});
  }
  pending = {N, step.dst, step.last_len, step.powers, step.sums};
  const std::uint8_t *const src = step.src, *const dst = step.dst;
  const std::ptrdiff_t first_src = step.first_src, end_src = step.end_src;
  if (first_src <= 0 && end_src >= N) {
    write_step<V, N>(state, step, [src](auto) CULVERT_INLINE { return src; });
  } else {
    write_step<V, N>(state, step,
                     [=](auto i) CULVERT_INLINE { return i.value >= first_src && i.value < end_src ? src : dst; });
  }
}

template <class V>
void hash_pending(Pending<V>& pending) noexcept {
  if (pending.num == 0) return;
  Sums<V> sums = *pending.sums;
  for (int i = 0; i < pending.num; ++i) {
    const std::size_t at = static_cast<std::size_t>(i) * V::len;
    const auto text = V::load_first(pending.text + at, i + 1 < pending.num ? V::len : pending.last_len);
    hash_unit(sums, reversed<V>(text), pending.powers + at);
  }
  *pending.sums = sums;
  pending.num = 0;
}

template <class V, int N>
void open_step(const Step<V>& step, Pending<V>&) noexcept {
  typename V::Reg state[N];
  const std::uint8_t *const src = step.src, *const powers = step.powers;
  const std::size_t last_len = step.last_len;
  Sums<V> sums = *step.sums;
  const auto load = [src, last_len](auto i)
                        CULVERT_INLINE { return reversed<V>(load_in_step<V, N, i.value>(src, last_len)); };
  step_rounds<V, N>(state, step, [&](auto i) CULVERT_INLINE { hash_share<V, N, i.value>(sums, load, powers); });
  *step.sums = sums;
  write_step<V, N>(state, step, [src](auto) CULVERT_INLINE { return src; });
}

}  // namespace
}  // namespace culvert::crypto

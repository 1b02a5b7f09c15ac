#pragma once
#include "gcm_hash.h"

// The inner steps: some vectors of counters run through the rounds of AES together, and between the rounds vectors are
// multiplied into a hash: of the text sealed in the step before, or opened in this one.
namespace culvert::crypto {
namespace {

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

constexpr int num_gaps = 9;  // between the middle rounds of AES-128, and before and behind them

// All rounds but the first and the last. `key(round, i)` is what vector i gets; `between(Index)` is work for the gaps.
template <class V, int N, class Key, class Between>
[[gnu::always_inline]] inline void middle_rounds(typename V::Reg (&state)[N], std::uint32_t num_rounds, Key key,
                                                 Between between) {
  const auto round = [&](int number) CULVERT_INLINE {
    for_each_index<N>([&](auto i) CULVERT_INLINE { state[i.value] = V::aes_round(state[i.value], key(number, i)); });
    for_each_index<N>([&](auto i) CULVERT_INLINE { V::pin(state[i.value]); });
  };
  between(Index<0>{});
  for_each_index<8>([&](auto i) CULVERT_INLINE {
    round(i.value + 2);
    between(Index<i.value + 1>{});
  });
  if (num_rounds == 14) for_each_index<4>([&](auto i) CULVERT_INLINE { round(i.value + 10); });
}

struct NothingBetween {
  template <int I>
  [[gnu::always_inline]] void operator()(Index<I>) const {}
};

// GcmKeyData::differences for `num_units` units from block `first` on, where more than the last byte of the counter
// differs.
template <class V>
void fill_differences(Window<V>& window, std::size_t at, std::uint32_t first, std::size_t num_units) {
  alignas(16) static constexpr std::uint8_t big_endian[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12};
  alignas(16) static constexpr std::uint32_t step[4] = {0, 0, 0, V::lanes};
  alignas(64) std::uint32_t words[4 * V::lanes] = {};
  for (std::uint32_t lane = 0; lane < V::lanes; ++lane) words[4 * lane + 3] = first + 2 + lane;
  const GcmKeyData& key = *window.packets[at].key;
  const __m128i nonce = _mm_insert_epi32(Vector128::load(window.first_counters[at]), 0, 3);
  alignas(16) std::uint8_t base[16];
  Vector128::store(base, _mm_xor_si128(nonce, Vector128::load(key.round_keys[0])));
  typename V::Reg counter = V::load(words);
  for (std::size_t unit = 0; unit < num_units; ++unit, counter = V::add_32(counter, V::broadcast(step))) {
    const auto block = V::exclusive_or(V::shuffle_bytes(counter, V::broadcast(big_endian)), V::broadcast(base));
    const auto round = V::aes_round(block, V::broadcast(key.round_keys[1]));
    V::store(window.differences[unit * V::lanes], V::exclusive_or(round, V::broadcast(window.starts[at])));
  }
}

// ---- Packets of T units, P at a time.

// The counters of P packets after the first round.
template <class V, int P, int T>
[[gnu::always_inline]] inline void start_group(typename V::Reg (&state)[P * T], const Window<V>& window,
                                               std::size_t at) {
  for_each_index<P>([&](auto p) CULVERT_INLINE {
    const auto start = V::broadcast(window.starts[at + p.value]);
    const std::uint8_t* const differences = window.packets[at + p.value].key->differences[0];
    for_each_index<T>([&](auto t) CULVERT_INLINE {
      state[p.value * T + t.value] = V::exclusive_or(start, V::load(differences + t.value * V::len));
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
  return t + 1 < T ? V::load(from) : V::load_first(from, packet.job->len - std::size_t{T - 1} * V::len);
}

template <class V, int P, int T, bool Mixed, class Keep>
[[gnu::always_inline]] inline void write_group(typename V::Reg (&state)[P * T], const Packet* packets, Keep keep) {
  const auto last_key = [packets](int p) CULVERT_INLINE {
    const GcmKeyData& key = *packets[p].key;
    return V::broadcast(key.round_keys[key.num_rounds]);
  };
  const auto common_key = last_key(0);
  for_each_index<P * T>([&](auto i) CULVERT_INLINE {
    constexpr int p = i.value / T, t = i.value % T;
    const AeadJob& job = *packets[p].job;
    const std::size_t last_len = job.len - std::size_t{T - 1} * V::len;
    std::uint8_t* const to = job.dst + std::size_t{t} * V::len;
    const auto text = V::exclusive_or(load_unit<V, T>(packets[p], t), Mixed ? last_key(p) : common_key);
    const auto out = V::aes_last_round(state[i.value], text);
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
  const std::uint8_t* start;        // the first counter after the first round
  const std::uint8_t* differences;  // as in the key
  const std::uint8_t* src;
  std::uint8_t* dst;
  const std::uint8_t* powers;
  Sums<V>* sums;
  std::size_t last_len;               // bytes in the last unit
  std::ptrdiff_t first_src, end_src;  // units that are read from src, the others from dst
};

// What the last step has sealed and nobody has hashed yet, filled up to whole pairs with zeros. A copy, aligned and
// with its bytes reversed: to read the text again from where it was sealed to, across the borders of cache lines, costs
// more than to store it twice.
template <class V>
struct Pending {
  typename V::Reg text[V::max_step + V::max_step % 2];
  std::size_t num_pairs = 0;
  const std::uint8_t* powers = nullptr;
  Sums<V>* sums = nullptr;
};

// The first round of N counters.
template <class V, int N>
[[gnu::always_inline]] inline void start_step(typename V::Reg (&state)[N], const Step<V>& step) {
  const auto start = V::broadcast(step.start);
  for_each_index<N>([&](auto i) CULVERT_INLINE {
    state[i.value] = V::exclusive_or(start, V::load(step.differences + i.value * V::len));
  });
}

// All rounds but the first and the last.
template <class V, int N, class Between>
[[gnu::always_inline]] inline void step_rounds(typename V::Reg (&state)[N], const GcmKeyData& key, Between between) {
  const auto round_key = [&key](int round, auto) CULVERT_INLINE { return V::broadcast(key.round_keys[round]); };
  middle_rounds<V, N>(state, key.num_rounds, round_key, between);
}

// What falls into gap Gap of hashing N units, pair by pair, spread over the gaps. `load(Index)` gives a unit.
template <class V, int N, int Gap, class Load>
[[gnu::always_inline]] inline void hash_in_gap(Sums<V>& sums, Load load, const std::uint8_t* powers) {
  constexpr int num_pairs = (N + 1) / 2;
  for_each_index<num_pairs>([&](auto pair) CULVERT_INLINE {
    if constexpr (pair.value * num_gaps / num_pairs == Gap) {
      constexpr int first = 2 * pair.value;
      if constexpr (first + 1 < N) {
        hash_pair<V>(sums, load(Index<first>{}), load(Index<first + 1>{}), powers + first * V::len);
      } else {
        hash_unit<V>(sums, load(Index<first>{}), powers + first * V::len);
      }
      pin(sums);
    }
  });
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

// `load(Index)` gives the text, `keep(Index, out)` gets what becomes of it.
template <class V, int N, class Load, class Keep>
[[gnu::always_inline]] inline void write_step(typename V::Reg (&state)[N], const Step<V>& step, Load load, Keep keep) {
  const auto last_key = V::broadcast(step.key->round_keys[step.key->num_rounds]);
  std::uint8_t* const dst = step.dst;  // stores to the text might change the step, for all that the compiler knows
  const std::size_t last_len = step.last_len;
  for_each_index<N>([&](auto i) CULVERT_INLINE {
    const auto out = V::aes_last_round(state[i.value], V::exclusive_or(load(i), last_key));
    std::uint8_t* const to = dst + i.value * V::len;
    if constexpr (i.value + 1 < N) {
      V::store(to, out);
      keep(i, out);
    } else {
      V::store_first(to, last_len, out);
      keep(i, V::keep_first(out, last_len));
    }
  });
}

// The rounds of a step while the pairs that are pending are hashed: so many of them that each number has a loop of its
// own (NumPairs > 0), or by one loop for any number, two rounds behind each pair, where that is as fast.
template <class V, int N, int NumPairs>
[[gnu::always_inline]] inline void seal_rounds(typename V::Reg (&state)[N], const GcmKeyData& key,
                                               const Pending<V>& pending, Sums<V>& sums) {
  const std::uint8_t* powers = pending.powers;
  if constexpr (NumPairs > 0) {
    const auto load = [&pending](auto i) CULVERT_INLINE { return V::load(&pending.text[i.value]); };
    return step_rounds<V, N>(
        state, key, [&](auto gap) CULVERT_INLINE { hash_in_gap<V, 2 * NumPairs, gap.value>(sums, load, powers); });
  }
  const typename V::Reg *text = pending.text, *const end = text + 2 * pending.num_pairs;
  const std::uint8_t* round_key = key.round_keys[2];
  const std::uint8_t* const last_key = key.round_keys[key.num_rounds];
  const auto round = [&]() CULVERT_INLINE {
    const auto all = V::broadcast(round_key);
    round_key += 16;
    for_each_index<N>([&](auto i) CULVERT_INLINE { state[i.value] = V::aes_round(state[i.value], all); });
    for_each_index<N>([&](auto i) CULVERT_INLINE { V::pin(state[i.value]); });
  };
  const auto hash = [&]() CULVERT_INLINE {
    hash_pair<V>(sums, V::load(text), V::load(text + 1), powers);
    pin(sums);
    text += 2;
    powers += 2 * V::len;
  };
  while (text != end && round_key != last_key) {
    hash();
    round();
    round();
  }
  while (text != end) hash();
  while (round_key != last_key) round();
}

// Seals N units while those that are pending are hashed.
template <class V, int N, int NumPairs>
CULVERT_REGISTERS_ONLY void seal_step(const Step<V>& step, Pending<V>& pending) noexcept {
  typename V::Reg state[N];
  start_step<V, N>(state, step);
  Sums<V> sums = *pending.sums;
  seal_rounds<V, N, NumPairs>(state, *step.key, pending, sums);
  *pending.sums = sums;
  pending.num_pairs = (N + 1) / 2;
  pending.powers = step.powers;
  pending.sums = step.sums;
  if constexpr (N % 2 != 0) V::store(&pending.text[N], V::zero());
  const std::uint8_t *const src = step.src, *const dst = step.dst;
  const std::ptrdiff_t first_src = step.first_src, end_src = step.end_src;
  const std::size_t last_len = step.last_len;
  const auto keep = [&pending](auto i, typename V::Reg out)
                        CULVERT_INLINE { V::store(&pending.text[i.value], reversed<V>(out)); };
  if (first_src <= 0 && end_src >= N) {
    write_step<V, N>(
        state, step, [=](auto i) CULVERT_INLINE { return load_in_step<V, N, i.value>(src, last_len); }, keep);
  } else {
    const auto load = [=](auto i) CULVERT_INLINE {
      return load_in_step<V, N, i.value>(i.value >= first_src && i.value < end_src ? src : dst, last_len);
    };
    write_step<V, N>(state, step, load, keep);
  }
}

template <class V>
void hash_pending(Pending<V>& pending) noexcept {
  Sums<V> sums = *pending.sums;
  const std::uint8_t* powers = pending.powers;
  for (std::size_t i = 0; i < 2 * pending.num_pairs; i += 2, powers += 2 * V::len)
    hash_pair<V>(sums, V::load(&pending.text[i]), V::load(&pending.text[i + 1]), powers);
  *pending.sums = sums;
}

// Opens N units and hashes them.
template <class V, int N>
CULVERT_REGISTERS_ONLY void open_step(const Step<V>& step) noexcept {
  typename V::Reg state[N];
  start_step<V, N>(state, step);
  Sums<V> sums = *step.sums;
  const std::uint8_t *const src = step.src, *powers = step.powers;
  const std::size_t last_len = step.last_len;
  const auto load = [=](auto i) CULVERT_INLINE { return load_in_step<V, N, i.value>(src, last_len); };
  const auto hashed = [&load](auto i) CULVERT_INLINE { return reversed<V>(load(i)); };
  step_rounds<V, N>(state, *step.key,
                    [&](auto gap) CULVERT_INLINE { hash_in_gap<V, N, gap.value>(sums, hashed, powers); });
  *step.sums = sums;
  write_step<V, N>(state, step, load, [](auto, typename V::Reg) CULVERT_INLINE {});
}

}  // namespace
}  // namespace culvert::crypto

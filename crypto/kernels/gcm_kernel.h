#pragma once
#include "gcm_steps.h"

// AES-GCM over batches of packets, for one width of vectors (vector_128.h, vector_256.h, vector_512.h). Included by one
// source file for each instruction set, and all of it in an anonymous namespace: code for one instruction set must
// never be what another file's call is linked to. That is also why nothing of the standard library is called here.
//
// A batch runs in windows of 64 (gcm_window.h): sort, fill -> encrypt_first_counters -> run_small, run_large
// (gcm_steps.h)
// -> finish, which computes the tags of as many packets as a vector has lanes, at once.
namespace culvert::crypto {
namespace {

// Encrypts the first counters of V::lanes * N packets, which mask the tags (SP 800-38D §7.1 step 6).
template <class V, int N, bool Mixed>
void encrypt_first_counters(Window<V>& window, std::size_t at) noexcept {
  typename V::Reg state[N];
  const Packet* packets = window.packets + at;
  const auto key = [packets](int round, auto i) CULVERT_INLINE {
    if constexpr (!Mixed) return V::broadcast(packets[0].key->round_keys[round]);
    return V::gather([&](int lane) CULVERT_INLINE {
      return packets[i.value * static_cast<int>(V::lanes) + lane].key->round_keys[round];
    });
  };
  const int num_rounds = static_cast<int>(packets[0].key->num_rounds);
  for_each_index<N>([&](auto i) CULVERT_INLINE {
    const auto counters = V::load(window.first_counters[at + i.value * V::lanes]);
    state[i.value] = V::aes_round(V::exclusive_or(counters, key(0, i)), key(1, i));
    V::store(window.starts[at + i.value * V::lanes], state[i.value]);
  });
  middle_rounds<V, N>(state, packets[0].key->num_rounds, key, NothingBetween{});
  for_each_index<N>([&](auto i) CULVERT_INLINE {
    V::store(window.pads[at + i.value * V::lanes], V::aes_last_round(state[i.value], key(num_rounds, i)));
  });
}

template <class V, bool Mixed>
void encrypt_first_counters(Window<V>& window) noexcept {
  std::size_t at = 0;
  for (; at + 8 * V::lanes <= window.num; at += 8 * V::lanes) encrypt_first_counters<V, 8, Mixed>(window, at);
  for (; at + 4 * V::lanes <= window.num; at += 4 * V::lanes) encrypt_first_counters<V, 4, Mixed>(window, at);
  for (; at < window.num; at += V::lanes) encrypt_first_counters<V, 1, Mixed>(window, at);
}

template <class V>
[[gnu::always_inline]] inline typename V::Reg reduced(const Sums<V>& sums) {
  alignas(16) static constexpr std::uint64_t polynomial[2] = {ghash_polynomial, 0};
  return reduce<V>(sums.lo, V::exclusive_or(sums.mid, sums.lo, sums.hi), sums.hi, V::broadcast(polynomial));
}

// The tags of V::lanes packets, one a lane.
template <class V, bool Seal>
[[gnu::always_inline]] inline void finish(Window<V>& window, std::size_t at) {
  using Reg = typename V::Reg;
  const Packet* const packets = window.packets + at;
  const Sums<V>* const ring = window.sums + at % ring_len;  // which the lanes divide
  const auto across = [ring](Reg Sums<V>::* part) CULVERT_INLINE {
    Reg lanes[V::lanes];
    for_each_index<V::lanes>([&](auto lane) CULVERT_INLINE { lanes[lane.value] = ring[lane.value].*part; });
    return V::sums(lanes);
  };
  const auto gather = [packets](std::ptrdiff_t offset, auto power_of) CULVERT_INLINE {
    return V::gather([&](int lane) CULVERT_INLINE { return power_of(packets[lane]) + offset; });
  };
  const auto carry = [](const Packet& packet) CULVERT_INLINE { return packet.powers - 16; };
  const auto correction = [](const Packet& packet) CULVERT_INLINE { return packet.correction; };
  const auto last = [](const Packet& packet) CULVERT_INLINE { return packet.key->powers[num_gcm_powers - 1]; };

  Sums<V> sums{across(&Sums<V>::lo), across(&Sums<V>::mid), across(&Sums<V>::hi)};
  add_product<V>(sums, reversed<V>(V::load(window.carries[at])), gather(0, carry), gather(folded_offset, carry));
  if constexpr (V::lanes > 1) {
    const Reg text = reduced<V>(sums);
    zero(sums);
    add_product<V>(sums, text, gather(0, correction), gather(folded_correction_offset, correction));
  }
  const Reg lengths = V::bit_lengths(window.lengths + at);
  if (window.mixed) {
    add_product<V>(sums, lengths, gather(0, last), gather(folded_offset, last));
  } else {
    add_product<V>(sums, lengths, V::broadcast(last(packets[0])), V::broadcast(last(packets[0]) + folded_offset));
  }
  const Reg tags = V::exclusive_or(reversed<V>(reduced<V>(sums)), V::load(window.pads[at]));
  if constexpr (Seal) {
    V::scatter(tags, [packets](int lane) CULVERT_INLINE { return packets[lane].job->icv; });
    for (std::size_t lane = 0; lane < V::lanes; ++lane) packets[lane].job->ok = true;
  } else {
    const Reg theirs = V::gather([packets](int lane) CULVERT_INLINE { return packets[lane].job->icv; });
    const unsigned equal = V::equal_lanes(tags, theirs);  // all bytes of all tags, whatever they are
    for (std::size_t lane = 0; lane < V::lanes; ++lane) packets[lane].job->ok = (equal >> lane & 1) != 0;
  }
}

// Packets are finished some time after they are hashed: what comes between need not wait for the sums.
template <class V, bool Seal>
[[gnu::always_inline]] inline void finish_until(Window<V>& window, std::size_t num_hashed) {
  for (; window.finished + V::lanes <= num_hashed; window.finished += V::lanes)
    finish<V, Seal>(window, window.finished);
}

template <class V, bool Seal, bool Mixed, int Class>
void run_small(Window<V>& window) noexcept {
  constexpr int num_packets = static_cast<int>(class_group[Class]), num_units = Class + 1;
  const std::size_t end = window.class_begin[Class + 1];
  std::size_t at = window.class_begin[Class];
  if (at == end) return;
  if constexpr (Seal) {
    for_each_index<8>([&](auto i) CULVERT_INLINE { V::store(&window.pending[i.value], V::zero()); });
    for (std::size_t previous = at; at < end; previous = at, at += num_packets) {
      seal_group<V, num_packets, num_units, Mixed>(window, at, previous);
      finish_until<V, Seal>(window, previous);
    }
    hash_group<V, num_packets, num_units>(window, end - num_packets);
  } else {
    for (; at < end; at += num_packets) {
      open_group<V, num_packets, num_units, Mixed>(window, at);
      finish_until<V, Seal>(window, at);
    }
  }
}

template <class V, bool Seal>
using StepFunction = void (*)(const Step<V>&, Pending<V>&) noexcept;

// Rows: units of the step, from 4; columns: units that are pending, none and from 4.
template <class V, bool Seal>
struct StepTable {
  StepFunction<V, Seal> functions[5][6];
  template <int N>
  constexpr void set_row() {
    if constexpr (Seal) {
      functions[N - 4][0] = seal_step<V, N, 0>;
      functions[N - 4][1] = seal_step<V, N, 4>;
      functions[N - 4][2] = seal_step<V, N, 5>;
      functions[N - 4][3] = seal_step<V, N, 6>;
      functions[N - 4][4] = seal_step<V, N, 7>;
      functions[N - 4][5] = seal_step<V, N, 8>;
    } else {
      for (StepFunction<V, Seal>& function : functions[N - 4]) function = open_step<V, N>;
    }
  }
  constexpr StepTable() : functions{} {
    set_row<4>();
    set_row<5>();
    set_row<6>();
    set_row<7>();
    set_row<8>();
  }
};

// A stretch of a packet: `num_units` from `first_unit` on, the last of the packet or not.
struct Stretch {
  std::size_t first_unit, num_units;
  bool is_last;
};

// How many steps a number of units is split into, how many units each has, and how many of them have one more.
struct Split {
  std::uint8_t num_steps, num_units, num_longer;
};
struct SplitTable {
  Split splits[max_stretch_blocks + 1];
  constexpr SplitTable() : splits{} {
    for (std::size_t units = 1; units <= max_stretch_blocks; ++units) {
      const std::size_t steps = (units + 7) / 8;
      splits[units] = {static_cast<std::uint8_t>(steps), static_cast<std::uint8_t>(units / steps),
                       static_cast<std::uint8_t>(units % steps)};
    }
  }
};
constexpr SplitTable split_table;

template <class V, bool Seal>
[[gnu::always_inline]] inline void run_stretch(Window<V>& window, std::size_t at, const Stretch& stretch,
                                               Pending<V>& pending) {
  static constexpr StepTable<V, Seal> table;
  const Packet& packet = window.packets[at];
  const Split split = split_table.splits[stretch.num_units];
  const auto first_unit = static_cast<std::ptrdiff_t>(stretch.first_unit);
  Step<V> step{.key = packet.key,
               .start = window.starts[at],
               .differences = first_unit == 0 ? packet.key->differences[0] : window.differences[0],
               .src = packet.src + stretch.first_unit * V::len,
               .dst = packet.job->dst + stretch.first_unit * V::len,
               .powers = packet.powers,
               .sums = &window.sums[at % ring_len],
               .last_len = V::len,
               .first_src = static_cast<std::ptrdiff_t>(packet.first_src_unit) - first_unit,
               .end_src = static_cast<std::ptrdiff_t>(packet.end_src_unit) - first_unit};
  for (unsigned i = 0; i < split.num_steps; ++i) {
    const unsigned num = split.num_units + (i < split.num_longer);
    if (stretch.is_last && i + 1U == split.num_steps)
      step.last_len = packet.job->len - (stretch.first_unit + stretch.num_units - 1) * V::len;
    table.functions[num - 4][pending.num == 0 ? 0 : pending.num - 3](step, pending);
    step.src += num * V::len;
    step.dst += num * V::len;
    step.powers += num * V::len;
    step.differences += num * V::len;
    step.first_src -= num;
    step.end_src -= num;
  }
}

// What has been hashed of a packet becomes one block, which the next stretch begins with.
template <class V>
void carry_over(Window<V>& window, std::size_t at) noexcept {
  const Packet& packet = window.packets[at];
  Sums<V>& all = window.sums[at % ring_len];
  alignas(64) std::uint8_t lanes[3][V::len];
  V::store(lanes[0], all.lo);
  V::store(lanes[1], all.mid);
  V::store(lanes[2], all.hi);
  Sums<Vector128> sums;
  zero(sums);
  for (std::size_t lane = 0; lane < V::lanes; ++lane) {
    sums.lo = _mm_xor_si128(sums.lo, Vector128::load(lanes[0] + 16 * lane));
    sums.mid = _mm_xor_si128(sums.mid, Vector128::load(lanes[1] + 16 * lane));
    sums.hi = _mm_xor_si128(sums.hi, Vector128::load(lanes[2] + 16 * lane));
  }
  hash_unit(sums, reversed_bytes(Vector128::load(window.carries[at])), packet.powers - 16);
  // It is added to the first block of the next stretch: with one power less it can stand before that block, as AAD
  // does.
  const __m128i to_minus_1 = Vector128::load(packet.key->corrections[2]);
  Vector128::store(window.carries[at], reversed_bytes(multiply_in_field(reduced<Vector128>(sums), to_minus_1)));
  zero(all);
}

// A packet that one table of powers does not cover.
template <class V, bool Seal>
[[gnu::noinline]] void run_long(Window<V>& window, std::size_t at, std::size_t num_units,
                                Pending<V>& pending) noexcept {
  constexpr std::size_t max_units = max_stretch_blocks / V::lanes;
  Packet& packet = window.packets[at];
  const std::size_t num_blocks = (std::size_t{packet.job->len} + 15) / 16;
  const std::size_t num_stretches = (num_units + max_units - 1) / max_units;
  std::size_t unit = 0;
  for (std::size_t i = 0; i < num_stretches; ++i) {
    const bool is_last = i + 1 == num_stretches;
    const std::size_t num = num_units / num_stretches + (i < num_units % num_stretches);
    packet.powers = is_last ? powers_for<V>(*packet.key, num_blocks - unit * V::lanes)
                            : packet.key->powers[0] + (num_gcm_powers - num * V::lanes) * 16;
    if (i > 0) fill_differences(window, at, static_cast<std::uint32_t>(unit * V::lanes), num);
    run_stretch<V, Seal>(window, at, {unit, num, is_last}, pending);
    unit += num;
    if (is_last) break;
    hash_pending(pending);
    carry_over(window, at);
  }
}

template <class V, bool Seal>
void run_large(Window<V>& window) noexcept {
  Pending<V> pending;
  const std::size_t end = window.class_begin[num_classes];
  for (std::size_t at = window.class_begin[num_classes - 1]; at < end; ++at) {
    const std::size_t num_units = (std::size_t{window.packets[at].job->len} + V::len - 1) / V::len;
    zero(window.sums[at % ring_len]);
    if (num_units <= max_stretch_blocks / V::lanes) {
      run_stretch<V, Seal>(window, at, {0, num_units, true}, pending);
    } else {
      run_long<V, Seal>(window, at, num_units, pending);
    }
    finish_until<V, Seal>(window, Seal && at > 0 ? at - 1 : at);
  }
  if constexpr (Seal) hash_pending(pending);
  for (std::size_t at = end; at < window.num; ++at) zero(window.sums[at % ring_len]);
  finish_until<V, Seal>(window, window.num);
}

template <class V, bool Seal, bool Mixed>
void run_classes(Window<V>& window) noexcept {
  encrypt_first_counters<V, Mixed>(window);
  run_small<V, Seal, Mixed, 0>(window);
  run_small<V, Seal, Mixed, 1>(window);
  run_small<V, Seal, Mixed, 2>(window);
  run_small<V, Seal, Mixed, 3>(window);
  run_large<V, Seal>(window);
}

// With a pad or a sum and its packet, one could compute H; a start tells of the key.
template <class V>
void wipe(Window<V>& window) noexcept {
  for (std::size_t at = 0; at < window.num; at += V::lanes) {
    V::store(window.starts[at], V::zero());
    V::store(window.pads[at], V::zero());
  }
  for (std::size_t i = 0; i < ring_len && i < window.num; ++i) zero(window.sums[i]);
  asm volatile("" : : "r"(&window) : "memory");
}

template <class V, bool Seal>
void run_window(AeadJob* jobs, std::size_t num_jobs) noexcept {
  Window<V> window;
  Sorted sorted;
  sort<V, Seal>(sorted, jobs, num_jobs);
  for (const auto& kind : sorted.jobs) {
    if ((kind[0] | kind[1] | kind[2] | kind[3] | kind[4]) == 0) continue;
    fill(window, jobs, kind, sorted.mixed);
    window.mixed ? run_classes<V, Seal, true>(window) : run_classes<V, Seal, false>(window);
    wipe(window);
  }
  if constexpr (!Seal) {
    for (std::size_t i = 0; i < num_jobs; ++i) {
      if (!jobs[i].ok) __builtin_memset(jobs[i].dst, 0, jobs[i].len);
    }
  }
}

template <class V, bool Seal>
void run(AeadJob* jobs, std::size_t num_jobs) noexcept {
  if (num_jobs == 0) return;
  for (; num_jobs > max_window; jobs += max_window, num_jobs -= max_window) run_window<V, Seal>(jobs, max_window);
  run_window<V, Seal>(jobs, num_jobs);
}

template <class V>
constexpr GcmKernel gcm_kernel() noexcept {
  return {.expand = expand<V>, .seal = run<V, true>, .open = run<V, false>};
}

}  // namespace
}  // namespace culvert::crypto

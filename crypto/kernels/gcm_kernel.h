#pragma once
#include "gcm_lone.h"
#include "gcm_rows.h"

// AES-GCM over batches of packets, for one width of vectors (vector_128.h, vector_256.h, vector_512.h). Included by one
// source file for each instruction set, and all of it in an anonymous namespace: code for one instruction set must
// never be what another file's call is linked to. That is also why nothing of the standard library is called here.
//
// A short packet that comes alone goes its own way (gcm_lone.h). A batch runs in windows of 64
// (gcm_window.h): sort, fill -> run_rows (gcm_rows.h)
// -> encrypt_first_counters -> run_small, run_large (gcm_steps.h)
// -> finish (gcm_hash.h), which computes the tags of as many packets as a vector has lanes, at once.
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
      finish_until<V, Seal, Mixed>(window, previous);
    }
    hash_group<V, num_packets, num_units>(window, end - num_packets);
  } else {
    for (; at < end; at += num_packets) {
      open_group<V, num_packets, num_units, Mixed>(window, at);
      finish_until<V, Seal, Mixed>(window, at);
    }
  }
}

// The shortest step that more than 4 units, split evenly, come to.
template <class V>
constexpr int shortest_step = V::max_step / 2 < 5 ? V::max_step / 2 : 5;
template <class V>
constexpr int fewest_pairs = V::rolled ? 0 : (shortest_step<V> + 1) / 2;

// The step that seals N units where so many pairs are pending.
template <class V, int N, int NumPairs = (V::max_step + 1) / 2>
[[gnu::always_inline]] inline void run_seal_step(const Step<V>& step, Pending<V>& pending) {
  if constexpr (V::rolled) {
    return seal_step<V, N, 0>(step, pending);
  } else if constexpr (NumPairs > fewest_pairs<V>) {
    if (pending.num_pairs != NumPairs) return run_seal_step<V, N, NumPairs - 1>(step, pending);
  }
  return seal_step<V, N, NumPairs>(step, pending);
}

// The step of `num` units.
template <class V, bool Seal, int N = V::max_step>
[[gnu::always_inline]] inline void run_step(std::size_t num, const Step<V>& step, Pending<V>& pending) {
  if constexpr (N > shortest_step<V>) {
    if (num != N) return run_step<V, Seal, N - 1>(num, step, pending);
  }
  if constexpr (Seal) {
    run_seal_step<V, N>(step, pending);
  } else {
    open_step<V, N>(step);
  }
}

// How many units the next step has where so many are left: as few steps as there can be, about even, and an even number
// of units but for one step.
template <class V>
struct NextStep {
  std::uint8_t of[max_stretch_blocks / V::lanes + 1];
  constexpr NextStep() : of{} {
    for (std::size_t left = 1; left <= max_stretch_blocks / V::lanes; ++left) {
      const std::size_t steps = (left + V::max_step - 1) / V::max_step;
      const std::size_t even = (left / steps + 1) / 2 * 2;
      const bool too_few_left = left < even + (steps - 1) * std::size_t{shortest_step<V>};
      of[left] = static_cast<std::uint8_t>(steps == 1 ? left : too_few_left ? even - 2 : even);
    }
  }
};
template <class V>
constexpr NextStep<V> next_step;

// Nothing is pending: where steps count on a few pairs, zeros are, for nobody, with any powers.
template <class V>
[[gnu::always_inline]] inline void clear(Pending<V>& pending, const GcmKeyData& key, Sums<V>& nobodys) {
  for_each_index<2 * fewest_pairs<V>>([&](auto i) CULVERT_INLINE { V::store(&pending.text[i.value], V::zero()); });
  pending.num_pairs = fewest_pairs<V>;
  pending.powers = key.powers[0];
  pending.sums = &nobodys;
}

/// Some units of a packet, for which there are powers and differences.
template <class V>
struct Stretch {
  std::size_t first_unit, num_units;
  bool is_last;  // of the packet
  const std::uint8_t* powers;
  Sums<V>* sums;
};

template <class V, bool Seal>
[[gnu::always_inline]] inline void run_stretch(Window<V>& window, std::size_t at, const Stretch<V>& stretch,
                                               Pending<V>& pending) {
  const Packet& packet = window.packets[at];
  const auto first_unit = static_cast<std::ptrdiff_t>(stretch.first_unit);
  Step<V> step{.key = packet.key,
               .start = window.starts[at],
               .differences = first_unit == 0 ? packet.key->differences[0] : window.differences[0],
               .src = packet.src + stretch.first_unit * V::len,
               .dst = packet.job->dst + stretch.first_unit * V::len,
               .powers = stretch.powers,
               .sums = stretch.sums,
               .last_len = V::len,
               .first_src = static_cast<std::ptrdiff_t>(packet.first_src_unit) - first_unit,
               .end_src = static_cast<std::ptrdiff_t>(packet.end_src_unit) - first_unit};
  zero(*stretch.sums);
  for (std::size_t left = stretch.num_units; left != 0;) {
    const std::size_t num = next_step<V>.of[left];
    left -= num;
    if (stretch.is_last && left == 0)
      step.last_len = packet.job->len - (stretch.first_unit + stretch.num_units - 1) * V::len;
    run_step<V, Seal>(num, step, pending);
    step.src += num * V::len;
    step.dst += num * V::len;
    step.powers += num * V::len;
    step.differences += num * V::len;
    step.first_src -= static_cast<std::ptrdiff_t>(num);
    step.end_src -= static_cast<std::ptrdiff_t>(num);
  }
}

// A packet that is one step.
template <class V, bool Seal>
[[gnu::always_inline]] inline void run_one_step(Window<V>& window, std::size_t at, std::size_t num_units,
                                                Pending<V>& pending) {
  const Packet& packet = window.packets[at];
  const Step<V> step{.key = packet.key,
                     .start = window.starts[at],
                     .differences = packet.key->differences[0],
                     .src = packet.src,
                     .dst = packet.job->dst,
                     .powers = packet.powers,
                     .sums = &window.sums[at % ring_len],
                     .last_len = packet.job->len - (num_units - 1) * V::len,
                     .first_src = packet.first_src_unit,
                     .end_src = packet.end_src_unit};
  zero(*step.sums);
  run_step<V, Seal>(num_units, step, pending);
}

// What has been hashed of a packet becomes one block, to be added to the first block of the next stretch. The powers of
// a stretch leave room for a block of lengths that only the last one has, so it has been multiplied by H once too often
// and takes the power of the second block.
template <class V>
[[gnu::noinline]] void carry_over(Window<V>& window, std::size_t at, const Sums<V>& all,
                                  const std::uint8_t* powers) noexcept {
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
  hash_unit(sums, reversed_bytes(Vector128::load(window.carries[at])), powers);
  Vector128::store(window.carries[at], reversed_bytes(reduced<Vector128>(sums)));
}

// A packet that one table of powers does not cover. Stretches sum up here and in the ring by turns, the last of them in
// the ring. The last step of a stretch that is sealed is hashed with the first of the next one, so the stretch is
// carried over behind that.
template <class V, bool Seal>
[[gnu::noinline]] void run_long(Window<V>& window, std::size_t at, std::size_t num_units, Pending<V>& pending,
                                Sums<V>& nobodys) noexcept {
  constexpr std::size_t max_units = max_stretch_blocks / V::lanes;
  Packet& packet = window.packets[at];
  const GcmKeyData& key = *packet.key;
  const std::size_t num_blocks = (std::size_t{packet.job->len} + 15) / 16;
  const std::size_t num_stretches = (num_units + max_units - 1) / max_units;
  Sums<V> here;
  Sums<V>* const sums[2] = {&window.sums[at % ring_len], &here};
  const std::uint8_t* carry_power = nullptr;  // what precedes a stretch is multiplied by it
  Stretch<V> stretch{};
  for (std::size_t i = 0; i < num_stretches; ++i) {
    const Sums<V>* const before = stretch.sums;
    stretch.first_unit += stretch.num_units;
    stretch.num_units = num_units / num_stretches + (i < num_units % num_stretches);
    stretch.is_last = i + 1 == num_stretches;
    stretch.sums = sums[(num_stretches - 1 - i) % 2];
    const std::size_t blocks_left = num_blocks - stretch.first_unit * V::lanes;
    stretch.powers = powers_for(key, stretch.is_last ? blocks_left : stretch.num_units * V::lanes);
    if (i > 0) {
      fill_differences(window, at, static_cast<std::uint32_t>(stretch.first_unit * V::lanes), stretch.num_units);
      if constexpr (Seal) {
        hash_pending(pending);
        clear(pending, key, nobodys);
      }
      carry_over(window, at, *before, carry_power);
    }
    carry_power = i == 0 ? stretch.powers - 16 : stretch.powers + 16;
    run_stretch<V, Seal>(window, at, stretch, pending);
  }
  packet.powers = carry_power + 16;  // as if it were AAD: finish() takes the power before
  zero(here);
  V::pin(here.lo);
}

template <class V, bool Seal, bool Mixed>
void run_large(Window<V>& window) noexcept {
  Pending<V> pending;
  Sums<V> nobodys;
  zero(nobodys);
  clear(pending, *window.packets[0].key, nobodys);
  const std::size_t end = window.class_begin[num_classes];
  for (std::size_t at = window.class_begin[num_classes - 1]; at < end; ++at) {
    const std::size_t num_units = (std::size_t{window.packets[at].job->len} + V::len - 1) / V::len;
    if (!Seal && V::has_rows && num_units <= V::max_step) {
      run_one_step<V, Seal>(window, at, num_units, pending);
    } else if (num_units <= max_stretch_blocks / V::lanes) {
      run_stretch<V, Seal>(window, at,
                           {.first_unit = 0,
                            .num_units = num_units,
                            .is_last = true,
                            .powers = window.packets[at].powers,
                            .sums = &window.sums[at % ring_len]},
                           pending);
    } else {
      run_long<V, Seal>(window, at, num_units, pending, nobodys);
    }
    finish_until<V, Seal, Mixed>(window, Seal && at > 0 ? at - 1 : at);
  }
  if constexpr (Seal) hash_pending(pending);
  for (std::size_t at = end; at < window.num; ++at) zero(window.sums[at % ring_len]);
  finish_until<V, Seal, Mixed>(window, window.num, true);
}

template <class V, bool Seal, bool Mixed>
void run_classes(Window<V>& window) noexcept {
  if constexpr (V::has_rows) run_rows<V, Seal, Mixed>(window);
  if (window.num == 0) return;
  encrypt_first_counters<V, Mixed>(window);
  if constexpr (!V::has_rows) run_small<V, Seal, Mixed, 0>(window);
  run_small<V, Seal, Mixed, 1>(window);
  run_small<V, Seal, Mixed, 2>(window);
  run_small<V, Seal, Mixed, 3>(window);
  if (window.finished < window.num) run_large<V, Seal, Mixed>(window);
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

template <bool Seal>
[[gnu::noinline]] void refuse(AeadJob* jobs, std::size_t num_jobs) noexcept {
  for (std::size_t i = 0; i < num_jobs; ++i) {
    jobs[i].ok = false;
    if constexpr (!Seal) __builtin_memset(jobs[i].dst, 0, jobs[i].len);
  }
}

template <class V, bool Seal>
[[gnu::noinline]] void run_window(AeadJob* jobs, std::size_t num_jobs) noexcept {
  Window<V> window;
  Sorted sorted;
  if (!sort<V, Seal>(sorted, jobs, num_jobs)) return refuse<Seal>(jobs, num_jobs);
  window.refused = sorted.refused;
  for (std::size_t kind = 0; kind < 2; ++kind) {
    if ((sorted.num_rounds >> kind & 1) == 0) continue;
    fill(window, jobs, num_jobs, sorted, kind);
    window.mixed ? run_classes<V, Seal, true>(window) : run_classes<V, Seal, false>(window);
    wipe(window);
  }
  if constexpr (!Seal) {
    if (!window.refused) return;
    for (std::size_t i = 0; i < num_jobs; ++i) {
      if (!jobs[i].ok) __builtin_memset(jobs[i].dst, 0, jobs[i].len);
    }
  }
}

template <class V, bool Seal>
void run(AeadJob* jobs, std::size_t num_jobs) noexcept {
  if (num_jobs == 0) return;
  if (is_lone(jobs, num_jobs)) return make_ready<V>(*jobs->key) ? run_lone<Seal>(*jobs) : refuse<Seal>(jobs, 1);
  for (; num_jobs > max_window; jobs += max_window, num_jobs -= max_window) run_window<V, Seal>(jobs, max_window);
  run_window<V, Seal>(jobs, num_jobs);
}

template <class V>
constexpr GcmKernel gcm_kernel() noexcept {
  return {.seal = run<V, true>, .open = run<V, false>};
}

}  // namespace
}  // namespace culvert::crypto

#pragma once
#include <utility>

#include "gcm_window.h"

// GHASH (SP 800-38D §6.4) as sums of products of blocks and powers of the hash key, reduced once a packet, and the tags
// of as many packets as a vector has lanes, at once.
namespace culvert::crypto {
namespace {

template <int I>
struct Index {
  static constexpr int value = I;
};

template <class F, int... I>
[[gnu::always_inline]] constexpr void for_each_of(std::integer_sequence<int, I...>, F&& body) {
  (body(Index<I>{}), ...);
}
// Unrolled for certain: the indices are constants.
template <int N, class F>
[[gnu::always_inline]] constexpr void for_each_index(F&& body) {
  for_each_of(std::make_integer_sequence<int, N>{}, body);
}
#define CULVERT_INLINE __attribute__((always_inline))  // where a lambda takes it

// For the steps: their arrays are registers with constant indices, which -fstack-protector-strong takes for buffers.
#define CULVERT_REGISTERS_ONLY [[gnu::no_stack_protector]]

constexpr std::ptrdiff_t folded_offset = offsetof(GcmKeyData, folded) - offsetof(GcmKeyData, powers);

template <class V>
[[gnu::always_inline]] inline void zero(Sums<V>& sums) {
  sums.lo = sums.mid = sums.hi = V::zero();
}

template <class V>
[[gnu::always_inline]] inline void pin(Sums<V>& sums) {
  V::pin(sums.lo);
  V::pin(sums.mid);
  V::pin(sums.hi);
}

// Karatsuba: three products for a block, the middle one of what the halves add up to.
template <class V>
[[gnu::always_inline]] inline void hash_unit(Sums<V>& sums, typename V::Reg blocks, const std::uint8_t* powers) {
  const typename V::Reg by = V::load_once(powers);
  const typename V::Reg both = V::exclusive_or(blocks, V::swap_halves(blocks));
  sums.lo = V::exclusive_or(sums.lo, V::template multiply<0x00>(blocks, by));
  sums.hi = V::exclusive_or(sums.hi, V::template multiply<0x11>(blocks, by));
  sums.mid = V::exclusive_or(sums.mid, V::template multiply<0x00>(both, V::load(powers + folded_offset)));
}

// Two units of a packet: their sums of halves share a vector.
template <class V>
[[gnu::always_inline]] inline void hash_pair(Sums<V>& sums, typename V::Reg a, typename V::Reg b,
                                             const std::uint8_t* powers) {
  const typename V::Reg by_a = V::load_once(powers), by_b = V::load_once(powers + V::len);
  const typename V::Reg folded = V::load_once(powers + folded_offset);
  const typename V::Reg both = V::exclusive_or(V::low_halves(a, b), V::high_halves(a, b));
  sums.lo = V::exclusive_or(sums.lo, V::template multiply<0x00>(a, by_a), V::template multiply<0x00>(b, by_b));
  sums.hi = V::exclusive_or(sums.hi, V::template multiply<0x11>(a, by_a), V::template multiply<0x11>(b, by_b));
  sums.mid =
      V::exclusive_or(sums.mid, V::template multiply<0x00>(both, folded), V::template multiply<0x11>(both, folded));
}

// A power in every lane, and what its halves add up to in the lower half.
template <class V>
struct Powers {
  typename V::Reg powers, folded;
};

// The same for all lanes.
template <class V>
[[gnu::always_inline]] inline Powers<V> same_powers(const std::uint8_t* power) {
  return {V::broadcast(power), V::broadcast(power + folded_offset)};
}

// `power_of(lane)` points to each.
template <class V, class PowerOf>
[[gnu::always_inline]] inline Powers<V> gather_powers(PowerOf power_of) {
  return {V::gather(power_of), V::gather([&](int lane) CULVERT_INLINE { return power_of(lane) + folded_offset; })};
}

template <class V>
[[gnu::always_inline]] inline void add_product(Sums<V>& sums, typename V::Reg blocks, const Powers<V>& by) {
  const typename V::Reg both = V::exclusive_or(blocks, V::swap_halves(blocks));
  sums.lo = V::exclusive_or(sums.lo, V::template multiply<0x00>(blocks, by.powers));
  sums.hi = V::exclusive_or(sums.hi, V::template multiply<0x11>(blocks, by.powers));
  sums.mid = V::exclusive_or(sums.mid, V::template multiply<0x00>(both, by.folded));
}

// Two blocks a lane, each with a power of its own.
template <class V>
[[gnu::always_inline]] inline void add_products(Sums<V>& sums, typename V::Reg a, typename V::Reg b,
                                                const Powers<V>& by_a, const Powers<V>& by_b) {
  const typename V::Reg both = V::exclusive_or(V::low_halves(a, b), V::high_halves(a, b));
  sums.lo =
      V::exclusive_or(sums.lo, V::template multiply<0x00>(a, by_a.powers), V::template multiply<0x00>(b, by_b.powers));
  sums.hi =
      V::exclusive_or(sums.hi, V::template multiply<0x11>(a, by_a.powers), V::template multiply<0x11>(b, by_b.powers));
  sums.mid = V::exclusive_or(sums.mid, V::template multiply<0x00>(both, by_a.folded),
                             V::template multiply<0x01>(both, by_b.folded));
}

template <class V>
[[gnu::always_inline]] inline typename V::Reg reduced(const Sums<V>& sums) {
  alignas(16) static constexpr std::uint64_t polynomial[2] = {ghash_polynomial, 0};
  return reduce<V>(sums.lo, V::exclusive_or(sums.mid, sums.lo, sums.hi), sums.hi, V::broadcast(polynomial));
}

[[gnu::always_inline]] inline const std::uint8_t* last_power(const GcmKeyData& key) {
  return key.powers[num_gcm_powers - 1];
}

// Tags of V::lanes jobs are written, or compared: all bytes of all of them, whatever they are.
template <class V, bool Seal, class JobOf>
[[gnu::always_inline]] inline void give_tags(Window<V>& window, typename V::Reg tags, JobOf job_of) {
  const auto icv_of = [&job_of](int lane) CULVERT_INLINE { return job_of(lane)->icv; };
  if constexpr (Seal) {
    V::scatter(tags, icv_of);
    for_each_index<V::lanes>([&](auto lane) CULVERT_INLINE { job_of(lane.value)->ok = true; });
  } else {
    constexpr unsigned all = (1U << V::lanes) - 1;
    const unsigned equal = V::equal_lanes(tags, V::gather(icv_of));
    if (equal == all) {
      for_each_index<V::lanes>([&](auto lane) CULVERT_INLINE { job_of(lane.value)->ok = true; });
      return;
    }
    for_each_index<V::lanes>([&](auto lane) CULVERT_INLINE {
      AeadJob& job = *job_of(lane.value);
      job.ok = (equal >> lane.value & 1) != 0;
      window.refused |= !job.ok && job.icv != window.nobodys_icv;
    });
  }
}

// The tags of the V::lanes packets whose sums are in the ring, one a lane.
template <class V, bool Seal, bool Mixed>
[[gnu::always_inline]] inline void finish(Window<V>& window, std::size_t at) {
  using Reg = typename V::Reg;
  const Packet* const packets = window.packets + at;
  const Sums<V>* const ring = window.sums + at % ring_len;  // which the lanes divide
  const auto across = [ring](Reg Sums<V>::*part) CULVERT_INLINE {
    Reg lanes[V::lanes];
    for_each_index<V::lanes>([&](auto lane) CULVERT_INLINE { lanes[lane.value] = ring[lane.value].*part; });
    return V::sums(lanes);
  };
  Sums<V> sums{across(&Sums<V>::lo), across(&Sums<V>::mid), across(&Sums<V>::hi)};
  const Powers<V> before = gather_powers<V>([packets](int lane) CULVERT_INLINE { return packets[lane].powers - 16; });
  Powers<V> last;
  if constexpr (Mixed) {
    last = gather_powers<V>([packets](int lane) CULVERT_INLINE { return last_power(*packets[lane].key); });
  } else {
    last = same_powers<V>(last_power(*packets[0].key));
  }
  add_products<V>(sums, reversed<V>(V::load(window.carries[at])), V::bit_lengths(window.lengths + at), before, last);
  const Reg tags = V::exclusive_or(reversed<V>(reduced<V>(sums)), V::load(window.pads[at]));
  give_tags<V, Seal>(window, tags, [packets](int lane) CULVERT_INLINE { return packets[lane].job; });
}

// Packets are finished some time after they are hashed, so what comes between need not wait for the sums, and many at a
// time, so their tags need not wait for one another.
constexpr std::size_t finish_at_once = ring_len / 2;

template <class V, bool Seal, bool Mixed>
[[gnu::always_inline]] inline void finish_until(Window<V>& window, std::size_t num_hashed, bool all = false) {
  if (!all && num_hashed < window.finished + finish_at_once) return;
  for (; window.finished + V::lanes <= num_hashed; window.finished += V::lanes)
    finish<V, Seal, Mixed>(window, window.finished);
}

}  // namespace
}  // namespace culvert::crypto

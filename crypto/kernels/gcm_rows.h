#pragma once
#include "gcm_steps.h"

// Packets of at most one unit, 8 at a time: the most that a gateway does for small packets is what it does once for
// each, so nothing is prepared in memory for them. Their counters are gathered from their jobs, the first ones
// in two rows of V::lanes packets, whose tags they will mask. A text is hashed in rows too: the blocks of V::lanes
// packets are transposed, so that a lane has one packet and nothing need be summed up across lanes.
//
// Of what is sealed, the group before is hashed between the rounds of this one; of what is opened, this one.
namespace culvert::crypto {
namespace {

constexpr int num_rows = 2;

/// What hashing a group needs to know of it.
template <class V>
struct RowGroup {
  typename V::Reg text[row_group];  // sealed, with the bytes of each block reversed
  typename V::Reg pads[num_rows];   // the encrypted first counters
  AeadJob* const* jobs;
};

template <class V>
struct Row {
  Sums<V> sums;
  typename V::Reg blocks[V::lanes];  // the i-th of each packet
  bool is_even;                      // all lengths are the same
};

[[gnu::always_inline]] inline const GcmKeyData& key_of(const AeadJob& job) {
  return static_cast<const GcmKey&>(*job.key).data;
}

// A small text in pieces has been put together at dst.
[[gnu::always_inline]] inline const std::uint8_t* text_of(const AeadJob& job) {
  return (job.head_len | job.tail_len) != 0 ? job.dst : job.src;
}

template <class V, bool Mixed>
[[gnu::always_inline]] inline typename V::Reg row_key(AeadJob* const* jobs, int round) {
  if constexpr (!Mixed) return V::broadcast(key_of(*jobs[0]).round_keys[round]);
  return V::gather([&](int lane) CULVERT_INLINE { return key_of(*jobs[lane]).round_keys[round]; });
}

// The first counters of a row, after the first round.
template <class V, bool Mixed>
[[gnu::always_inline]] inline typename V::Reg start_row(AeadJob* const* jobs) {
  typename V::Reg first;
  if constexpr (Mixed) {
    first = V::gather([&](int lane) CULVERT_INLINE { return key_of(*jobs[lane]).first_counter; });
  } else {
    first = V::broadcast(key_of(*jobs[0]).first_counter);
  }
  const typename V::Reg ivs = V::gather_halves([&](int lane) CULVERT_INLINE { return jobs[lane]->iv; });
  const typename V::Reg counters = V::exclusive_or(first, V::template shift_bytes<4>(ivs), row_key<V, Mixed>(jobs, 0));
  return V::aes_round(counters, row_key<V, Mixed>(jobs, 1));
}

// AAD as a block, its bytes reversed.
template <class V>
[[gnu::always_inline]] inline typename V::Reg aad_of_row(AeadJob* const* jobs) {
  bool is_8 = true;
  for (std::size_t lane = 0; lane < V::lanes; ++lane) is_8 &= jobs[lane]->aad_len == 8;
  if (is_8) return reversed<V>(V::gather_halves([&](int lane) CULVERT_INLINE { return jobs[lane]->aad; }));
  alignas(16) std::uint8_t carries[V::lanes][16];
  for (std::size_t lane = 0; lane < V::lanes; ++lane) set_aad(carries[lane], *jobs[lane]);
  return reversed<V>(V::gather([&](int lane) CULVERT_INLINE { return carries[lane]; }));
}

// The power for block `block` of each text, -1 for the AAD.
template <class V, bool Mixed>
[[gnu::always_inline]] inline Powers<V> row_powers(const Row<V>& row, AeadJob* const* jobs, int block) {
  const auto power_of = [jobs, block](int lane) CULVERT_INLINE {
    return powers_for(key_of(*jobs[lane]), (std::size_t{jobs[lane]->len} + 15) / 16) + block * 16;
  };
  if (!Mixed && row.is_even) return same_powers<V>(power_of(0));
  return gather_powers<V>(power_of);
}

template <class V, bool Mixed>
[[gnu::always_inline]] inline void hash_ends(Row<V>& row, AeadJob* const* jobs) {
  Powers<V> last;
  if constexpr (Mixed) {
    last = gather_powers<V>([jobs](int lane) CULVERT_INLINE { return last_power(key_of(*jobs[lane])); });
  } else {
    last = same_powers<V>(last_power(key_of(*jobs[0])));
  }
  alignas(64) std::uint64_t lengths[V::lanes];
  for (std::size_t lane = 0; lane < V::lanes; ++lane)
    lengths[lane] = std::uint64_t{jobs[lane]->len} << 32 | jobs[lane]->aad_len;
  const typename V::Reg bits = row.is_even ? V::same_bit_lengths(lengths[0]) : V::bit_lengths(lengths);
  add_products<V>(row.sums, aad_of_row<V>(jobs), bits, row_powers<V, Mixed>(row, jobs, -1), last);
}

constexpr int num_row_stages = 3;

// One stage after the other. `load(Index)` gives the text of a packet of the row.
template <class V, bool Mixed, int Stage, class Load>
[[gnu::always_inline]] inline void row_stage(Row<V>& row, AeadJob* const* jobs, Load load) {
  static_assert(V::lanes == 4);
  if constexpr (Stage == 0) {
    std::uint32_t differences = 0;
    for (std::size_t lane = 1; lane < V::lanes; ++lane)
      differences |= (jobs[0]->len ^ jobs[lane]->len) | (jobs[0]->aad_len ^ jobs[lane]->aad_len);
    row.is_even = differences == 0;
    zero(row.sums);
    for_each_index<V::lanes>([&](auto lane) CULVERT_INLINE { row.blocks[lane.value] = load(lane); });
    V::transpose(row.blocks);
    add_products<V>(row.sums, row.blocks[0], row.blocks[1], row_powers<V, Mixed>(row, jobs, 0),
                    row_powers<V, Mixed>(row, jobs, 1));
  } else if constexpr (Stage == 1) {
    add_products<V>(row.sums, row.blocks[2], row.blocks[3], row_powers<V, Mixed>(row, jobs, 2),
                    row_powers<V, Mixed>(row, jobs, 3));
  } else {
    hash_ends<V, Mixed>(row, jobs);
  }
  pin(row.sums);
}

// The tags of a row that has been hashed.
template <class V, bool Seal>
[[gnu::always_inline]] inline void finish_row(Window<V>& window, const Row<V>& row, typename V::Reg pads,
                                              AeadJob* const* jobs) {
  const typename V::Reg tags = V::exclusive_or(reversed<V>(reduced<V>(row.sums)), pads);
  give_tags<V, Seal>(window, tags, [jobs](int lane) CULVERT_INLINE { return jobs[lane]; });
}

template <class V>
[[gnu::always_inline]] inline typename V::Reg load_row_text(const AeadJob& job) {
  return V::load_first(text_of(job), job.len);
}

// The rounds of 8 packets and of their first counters; `between(Index)` for the gaps. Leaves the encrypted first
// counters in `pads`.
template <class V, bool Mixed, class Between>
[[gnu::always_inline]] inline void row_rounds(typename V::Reg (&text)[row_group], typename V::Reg (&pads)[num_rows],
                                              AeadJob* const* jobs, Between between) {
  constexpr int lanes = V::lanes, num = row_group + num_rows;
  typename V::Reg state[num];
  const auto difference = V::load(key_of(*jobs[0]).differences[0]);
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE {
    const auto start = start_row<V, Mixed>(jobs + r.value * lanes);
    state[row_group + r.value] = start;
    for_each_index<lanes>([&](auto lane) CULVERT_INLINE {
      constexpr int p = r.value * lanes + lane.value;
      const auto of_key = Mixed ? V::load(key_of(*jobs[p]).differences[0]) : difference;
      state[p] = V::exclusive_or(V::template broadcast_lane<lane.value>(start), of_key);
    });
  });
  const auto key = [jobs](int round, auto i) CULVERT_INLINE {
    if constexpr (i.value >= row_group) return row_key<V, Mixed>(jobs + (i.value - row_group) * lanes, round);
    return V::broadcast(key_of(*jobs[Mixed ? i.value : 0]).round_keys[round]);
  };
  const std::uint32_t num_rounds = key_of(*jobs[0]).num_rounds;
  middle_rounds<V, num>(state, num_rounds, key, between);
  const int last = static_cast<int>(num_rounds);
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE {
    constexpr int i = row_group + r.value;
    pads[r.value] = V::aes_last_round(state[i], key(last, Index<i>{}));
  });
  for_each_index<row_group>([&](auto p) CULVERT_INLINE {
    const auto with_key = V::exclusive_or(load_row_text<V>(*jobs[p.value]), key(last, p));
    text[p.value] = V::aes_last_round(state[p.value], with_key);
  });
}

// The share of gap Gap in hashing, and if it is known what the tags are masked with, finishing a group.
template <class V, bool Mixed, int Gap, class Load, class Finish>
[[gnu::always_inline]] inline void row_share(Row<V> (&rows)[num_rows], AeadJob* const* jobs, Load load,
                                             Finish finish_one) {
  constexpr int lanes = V::lanes, r = Gap / (num_row_stages + 1), stage = Gap % (num_row_stages + 1);
  if constexpr (r < num_rows) {
    if constexpr (stage < num_row_stages) {
      row_stage<V, Mixed, stage>(rows[r], jobs + r * lanes,
                                 [&load](auto lane) CULVERT_INLINE { return load(Index<r * lanes + lane.value>{}); });
    } else {
      finish_one(Index<r>{});
    }
  }
}

template <class V, bool Mixed, int Gap>
[[gnu::always_inline]] inline void sealed_share(Window<V>& window, Row<V> (&rows)[num_rows], const RowGroup<V>& group) {
  row_share<V, Mixed, Gap>(
      rows, group.jobs, [&group](auto p) CULVERT_INLINE { return V::load(&group.text[p.value]); },
      [&](auto r) CULVERT_INLINE {
        finish_row<V, true>(window, rows[r.value], V::load(&group.pads[r.value]), group.jobs + r.value * V::lanes);
      });
}

// Seals 8 packets while the group before, if there is one, is hashed.
template <class V, bool Mixed, bool HasBefore>
[[gnu::always_inline]] inline void seal_rows(Window<V>& window, AeadJob* const* jobs, RowGroup<V>& group) {
  typename V::Reg text[row_group], pads[num_rows];
  Row<V> rows[num_rows];
  row_rounds<V, Mixed>(text, pads, jobs, [&](auto gap) CULVERT_INLINE {
    if constexpr (HasBefore) sealed_share<V, Mixed, gap.value>(window, rows, group);
  });
  group.jobs = jobs;
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE { V::store(&group.pads[r.value], pads[r.value]); });
  for_each_index<row_group>([&](auto p) CULVERT_INLINE {
    const AeadJob& job = *jobs[p.value];
    const std::size_t len = job.len;
    V::store_first(job.dst, len, text[p.value]);
    V::store(&group.text[p.value], reversed<V>(V::keep_first(text[p.value], len)));
  });
}

template <class V, bool Mixed>
[[gnu::always_inline]] inline void open_rows(Window<V>& window, AeadJob* const* jobs) {
  typename V::Reg text[row_group], pads[num_rows];
  Row<V> rows[num_rows];
  const auto load = [jobs](auto p) CULVERT_INLINE { return reversed<V>(load_row_text<V>(*jobs[p.value])); };
  row_rounds<V, Mixed>(text, pads, jobs, [&](auto gap) CULVERT_INLINE {
    row_share<V, Mixed, gap.value>(rows, jobs, load, [](auto) CULVERT_INLINE {});
  });
  for_each_index<row_group>(
      [&](auto p) CULVERT_INLINE { V::store_first(jobs[p.value]->dst, jobs[p.value]->len, text[p.value]); });
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE {
    finish_row<V, false>(window, rows[r.value], pads[r.value], jobs + r.value * V::lanes);
  });
}

template <class V>
void wipe(RowGroup<V>& group) noexcept {
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE { V::store(&group.pads[r.value], V::zero()); });
  asm volatile("" : : "r"(&group) : "memory");
}

template <class V, bool Seal, bool Mixed>
void run_rows(Window<V>& window) noexcept {
  AeadJob* const* const end = window.rows + window.num_in_rows;
  AeadJob* const* jobs = window.rows;
  if (jobs == end) return;
  if constexpr (Seal) {
    RowGroup<V> group;
    seal_rows<V, Mixed, false>(window, jobs, group);
    for (jobs += row_group; jobs != end; jobs += row_group) seal_rows<V, Mixed, true>(window, jobs, group);
    Row<V> rows[num_rows];
    for_each_index<num_rows*(num_row_stages + 1)>(
        [&](auto gap) CULVERT_INLINE { sealed_share<V, Mixed, gap.value>(window, rows, group); });
    wipe(group);
  } else {
    for (; jobs != end; jobs += row_group) open_rows<V, Mixed>(window, jobs);
  }
}

}  // namespace
}  // namespace culvert::crypto

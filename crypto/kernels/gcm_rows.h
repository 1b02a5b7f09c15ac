#pragma once
#include "gcm_steps.h"

// Packets of at most one unit, 8 at a time: what a gateway does for a small packet is mostly what it does once for
// each, so nothing is prepared in memory for them but a list, where their jobs do not stand side by side. Their
// counters are gathered from the jobs, the first ones in two rows of V::lanes packets, whose tags they will mask. A
// text is hashed in rows too: the blocks of V::lanes packets are transposed, so that a lane has one packet and nothing
// need be summed up across lanes.
//
// Of what is sealed, the group before is hashed between the rounds of this one; of what is opened, this one.
namespace culvert::crypto {
namespace {

constexpr int num_rows = 2;

enum class Rows {
  even,    // all of one key and of one length, as bursts often are
  uneven,  // of one key
  mixed    // of several
};

/// What all packets of rows of one key have in common, and from `len` on those of even rows.
template <class V>
struct RowShape {
  const GcmKeyData* key;
  std::size_t len;
  std::uint32_t aad_len;
  const std::uint8_t* powers;  // for the first block of the text
  Sums<V> lengths;             // what their lengths add to the hash
};

/// What hashing a group needs to know of it.
template <class V, class Jobs>
struct RowGroup {
  typename V::Reg text[row_group];  // sealed, with the bytes of each block reversed
  typename V::Reg pads[num_rows];   // the encrypted first counters
  Jobs jobs;
};

template <class V>
struct Row {
  Sums<V> sums;
  typename V::Reg blocks[V::lanes];  // the i-th of each packet
};

// Jobs of rows stand side by side, or anywhere and are listed: wherever the functions below are for both, Jobs is a
// pointer to jobs or to pointers to them.
[[gnu::always_inline]] inline AeadJob& job_at(AeadJob* jobs, std::size_t i) {
  return jobs[i];
}
[[gnu::always_inline]] inline AeadJob& job_at(AeadJob* const* jobs, std::size_t i) {
  return *jobs[i];
}

[[gnu::always_inline]] inline const GcmKeyData& key_of(const AeadJob& job) {
  return static_cast<const GcmKey&>(*job.key).data();
}

template <class V, Rows Kind>
[[gnu::always_inline]] inline const GcmKeyData& row_key_of(const AeadJob& job, const RowShape<V>& shape) {
  return Kind == Rows::mixed ? key_of(job) : *shape.key;
}

template <class V, Rows Kind, class Jobs>
[[gnu::always_inline]] inline typename V::Reg row_key(Jobs jobs, const RowShape<V>& shape, int round) {
  if constexpr (Kind != Rows::mixed) return V::broadcast(shape.key->round_keys[round]);
  return V::gather([&](int lane) CULVERT_INLINE { return key_of(job_at(jobs, lane)).round_keys[round]; });
}

// The first counters of a row, after the first round.
template <class V, Rows Kind, class Jobs>
[[gnu::always_inline]] inline typename V::Reg start_row(Jobs jobs, const RowShape<V>& shape) {
  typename V::Reg first;
  if constexpr (Kind == Rows::mixed) {
    first = V::gather([&](int lane) CULVERT_INLINE { return key_of(job_at(jobs, lane)).first_counter; });
  } else {
    first = V::broadcast(shape.key->first_counter);
  }
  const typename V::Reg ivs = V::gather_halves([&](int lane) CULVERT_INLINE { return job_at(jobs, lane).iv; });
  const typename V::Reg counters =
      V::exclusive_or(first, V::template shift_bytes<4>(ivs), row_key<V, Kind>(jobs, shape, 0));
  return V::aes_round(counters, row_key<V, Kind>(jobs, shape, 1));
}

// AAD as a block, its bytes reversed.
template <class V, Rows Kind, class Jobs>
[[gnu::always_inline]] inline typename V::Reg aad_of_row(Jobs jobs, const RowShape<V>& shape) {
  bool is_8 = Kind == Rows::even && shape.aad_len == 8;
  if constexpr (Kind != Rows::even) {
    is_8 = true;
    for (std::size_t lane = 0; lane < V::lanes; ++lane) is_8 &= job_at(jobs, lane).aad_len == 8;
  }
  if (is_8) return reversed<V>(V::gather_halves([&](int lane) CULVERT_INLINE { return job_at(jobs, lane).aad; }));
  alignas(16) std::uint8_t carries[V::lanes][16];
  for (std::size_t lane = 0; lane < V::lanes; ++lane) set_aad(carries[lane], job_at(jobs, lane));
  return reversed<V>(V::gather([&](int lane) CULVERT_INLINE { return carries[lane]; }));
}

[[gnu::always_inline]] inline const std::uint8_t* powers_of(const GcmKeyData& key, const AeadJob& job) {
  return powers_for(key, (std::size_t{job.len} + 15) / 16);
}

// The power for block `block` of each text, -1 for the AAD.
template <class V, Rows Kind, class Jobs>
[[gnu::always_inline]] inline Powers<V> row_powers(Jobs jobs, const RowShape<V>& shape, int block) {
  if constexpr (Kind == Rows::even) return same_powers<V>(shape.powers + block * 16);
  return gather_powers<V>([&](int lane) CULVERT_INLINE {
    return powers_of(row_key_of<V, Kind>(job_at(jobs, lane), shape), job_at(jobs, lane)) + block * 16;
  });
}

// The AAD and, where the shape does not know what they make, the lengths.
template <class V, Rows Kind, class Jobs>
[[gnu::always_inline]] inline void hash_ends(Row<V>& row, Jobs jobs, const RowShape<V>& shape) {
  const typename V::Reg aad = aad_of_row<V, Kind>(jobs, shape);
  const Powers<V> before = row_powers<V, Kind>(jobs, shape, -1);
  if constexpr (Kind == Rows::even) return add_product<V>(row.sums, aad, before);
  Powers<V> last;
  if constexpr (Kind == Rows::mixed) {
    last = gather_powers<V>([jobs](int lane) CULVERT_INLINE { return last_power(key_of(job_at(jobs, lane))); });
  } else {
    last = same_powers<V>(last_power(*shape.key));
  }
  alignas(64) std::uint64_t lengths[V::lanes];
  for (std::size_t lane = 0; lane < V::lanes; ++lane)
    lengths[lane] = std::uint64_t{job_at(jobs, lane).len} << 32 | job_at(jobs, lane).aad_len;
  add_products<V>(row.sums, aad, V::bit_lengths(lengths), before, last);
}

constexpr int num_row_stages = 3;

// One stage after the other. `load(Index)` gives the text of a packet of the row.
template <class V, Rows Kind, int Stage, class Load, class Jobs>
[[gnu::always_inline]] inline void row_stage(Row<V>& row, Jobs jobs, const RowShape<V>& shape, Load load) {
  static_assert(V::lanes == 4);
  if constexpr (Stage == 0) {
    if constexpr (Kind == Rows::even) {
      row.sums = shape.lengths;
    } else {
      zero(row.sums);
    }
    for_each_index<V::lanes>([&](auto lane) CULVERT_INLINE { row.blocks[lane.value] = load(lane); });
    V::transpose(row.blocks);
    add_products<V>(row.sums, row.blocks[0], row.blocks[1], row_powers<V, Kind>(jobs, shape, 0),
                    row_powers<V, Kind>(jobs, shape, 1));
  } else if constexpr (Stage == 1) {
    add_products<V>(row.sums, row.blocks[2], row.blocks[3], row_powers<V, Kind>(jobs, shape, 2),
                    row_powers<V, Kind>(jobs, shape, 3));
  } else {
    hash_ends<V, Kind>(row, jobs, shape);
  }
  pin(row.sums);
}

// The tags of a row that has been hashed.
template <class V, bool Seal, class Jobs>
[[gnu::always_inline]] inline void finish_row(Window<V>& window, const Row<V>& row, typename V::Reg pads, Jobs jobs) {
  const typename V::Reg tags = V::exclusive_or(reversed<V>(reduced<V>(row.sums)), pads);
  give_tags<V, Seal>(window, tags, [jobs](int lane) CULVERT_INLINE { return &job_at(jobs, lane); });
}

template <class V, Rows Kind>
[[gnu::always_inline]] inline std::size_t row_len(const AeadJob& job, const RowShape<V>& shape) {
  return Kind == Rows::even ? shape.len : job.len;
}

// The rounds of 8 packets and of their first counters; `between(Index)` for the gaps. Leaves the encrypted first
// counters in `pads`.
template <class V, Rows Kind, class Between, class Jobs>
[[gnu::always_inline]] inline void row_rounds(typename V::Reg (&text)[row_group], typename V::Reg (&pads)[num_rows],
                                              Jobs jobs, const RowShape<V>& shape, Between between) {
  constexpr int lanes = V::lanes, num = row_group + num_rows;
  constexpr bool is_mixed = Kind == Rows::mixed;
  typename V::Reg state[num];
  const GcmKeyData& first_key = row_key_of<V, Kind>(job_at(jobs, 0), shape);
  const auto difference = V::load(first_key.differences[0]);
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE {
    const auto start = start_row<V, Kind>(jobs + r.value * lanes, shape);
    state[row_group + r.value] = start;
    for_each_index<lanes>([&](auto lane) CULVERT_INLINE {
      constexpr int p = r.value * lanes + lane.value;
      const auto of_key = is_mixed ? V::load(key_of(job_at(jobs, p)).differences[0]) : difference;
      state[p] = V::exclusive_or(V::template broadcast_lane<lane.value>(start), of_key);
    });
  });
  const auto key = [jobs, &shape](int round, auto i) CULVERT_INLINE {
    if constexpr (i.value >= row_group) return row_key<V, Kind>(jobs + (i.value - row_group) * lanes, shape, round);
    return V::broadcast(row_key_of<V, Kind>(job_at(jobs, i.value % row_group), shape).round_keys[round]);
  };
  const std::uint32_t num_rounds = first_key.num_rounds;
  middle_rounds<V, num>(state, num_rounds, key, between);
  const int last = static_cast<int>(num_rounds);
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE {
    constexpr int i = row_group + r.value;
    pads[r.value] = V::aes_last_round(state[i], key(last, Index<i>{}));
  });
  for_each_index<row_group>([&](auto p) CULVERT_INLINE {
    const AeadJob& job = job_at(jobs, p.value);
    const auto with_key = V::exclusive_or(V::load_first(job.src, row_len<V, Kind>(job, shape)), key(last, p));
    text[p.value] = V::aes_last_round(state[p.value], with_key);
  });
}

// The share of gap Gap in hashing and, where it is known what masks the tags, finishing a group.
template <class V, Rows Kind, int Gap, class Load, class Finish, class Jobs>
[[gnu::always_inline]] inline void row_share(Row<V> (&rows)[num_rows], Jobs jobs, const RowShape<V>& shape, Load load,
                                             Finish finish_one) {
  constexpr int lanes = V::lanes, r = Gap / (num_row_stages + 1), stage = Gap % (num_row_stages + 1);
  if constexpr (r < num_rows) {
    if constexpr (stage < num_row_stages) {
      row_stage<V, Kind, stage>(rows[r], jobs + r * lanes, shape,
                                [&load](auto lane) CULVERT_INLINE { return load(Index<r * lanes + lane.value>{}); });
    } else {
      finish_one(Index<r>{});
    }
  }
}

template <class V, Rows Kind, int Gap, class Jobs>
[[gnu::always_inline]] inline void sealed_share(Window<V>& window, Row<V> (&rows)[num_rows],
                                                const RowGroup<V, Jobs>& group, const RowShape<V>& shape) {
  row_share<V, Kind, Gap>(
      rows, group.jobs, shape, [&group](auto p) CULVERT_INLINE { return V::load(&group.text[p.value]); },
      [&](auto r) CULVERT_INLINE {
        finish_row<V, true>(window, rows[r.value], V::load(&group.pads[r.value]), group.jobs + r.value * V::lanes);
      });
}

// Seals 8 packets while the group before, if there is one, is hashed.
template <class V, Rows Kind, bool HasBefore, class Jobs>
[[gnu::always_inline]] inline void seal_rows(Window<V>& window, Jobs jobs, RowGroup<V, Jobs>& group,
                                             const RowShape<V>& shape) {
  typename V::Reg text[row_group], pads[num_rows];
  Row<V> rows[num_rows];
  row_rounds<V, Kind>(text, pads, jobs, shape, [&](auto gap) CULVERT_INLINE {
    if constexpr (HasBefore) sealed_share<V, Kind, gap.value>(window, rows, group, shape);
  });
  group.jobs = jobs;
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE { V::store(&group.pads[r.value], pads[r.value]); });
  for_each_index<row_group>([&](auto p) CULVERT_INLINE {
    const std::size_t len = row_len<V, Kind>(job_at(jobs, p.value), shape);
    V::store_first(job_at(jobs, p.value).dst, len, text[p.value]);
    V::store(&group.text[p.value], reversed<V>(V::keep_first(text[p.value], len)));
  });
}

template <class V, Rows Kind, class Jobs>
[[gnu::always_inline]] inline void open_rows(Window<V>& window, Jobs jobs, const RowShape<V>& shape) {
  typename V::Reg text[row_group], pads[num_rows];
  Row<V> rows[num_rows];
  const auto load = [&](auto p) CULVERT_INLINE {
    return reversed<V>(V::load_first(job_at(jobs, p.value).src, row_len<V, Kind>(job_at(jobs, p.value), shape)));
  };
  row_rounds<V, Kind>(text, pads, jobs, shape, [&](auto gap) CULVERT_INLINE {
    row_share<V, Kind, gap.value>(rows, jobs, shape, load, [](auto) CULVERT_INLINE {});
  });
  for_each_index<row_group>([&](auto p) CULVERT_INLINE {
    V::store_first(job_at(jobs, p.value).dst, row_len<V, Kind>(job_at(jobs, p.value), shape), text[p.value]);
  });
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE {
    finish_row<V, false>(window, rows[r.value], pads[r.value], jobs + r.value * V::lanes);
  });
}

template <class V, class Jobs>
void wipe(RowGroup<V, Jobs>& group) noexcept {
  for_each_index<num_rows>([&](auto r) CULVERT_INLINE { V::store(&group.pads[r.value], V::zero()); });
  asm volatile("" : : "r"(&group) : "memory");
}

template <class V>
[[gnu::always_inline]] inline RowShape<V> shape_of(const AeadJob& job) {
  const GcmKeyData& key = key_of(job);
  RowShape<V> shape{.key = &key, .len = job.len, .aad_len = job.aad_len, .powers = powers_of(key, job), .lengths = {}};
  zero(shape.lengths);
  const std::uint64_t both = std::uint64_t{job.len} << 32 | job.aad_len;
  add_product<V>(shape.lengths, V::same_bit_lengths(both), same_powers<V>(last_power(key)));
  return shape;
}

template <class V, bool Seal, Rows Kind, class Jobs>
CULVERT_REGISTERS_ONLY void run_rows_of(Window<V>& window, Jobs jobs) noexcept {
  const Jobs end = jobs + round_up(window.num_row_jobs, row_group);
  const RowShape<V> shape = shape_of<V>(job_at(jobs, 0));
  if constexpr (Seal) {
    RowGroup<V, Jobs> group;
    seal_rows<V, Kind, false>(window, jobs, group, shape);
    while ((jobs += row_group) != end) seal_rows<V, Kind, true>(window, jobs, group, shape);
    Row<V> rows[num_rows];
    for_each_index<num_rows*(num_row_stages + 1)>(
        [&](auto gap) CULVERT_INLINE { sealed_share<V, Kind, gap.value>(window, rows, group, shape); });
    wipe(group);
  } else {
    for (; jobs != end; jobs += row_group) open_rows<V, Kind>(window, jobs, shape);
  }
}

template <class V, bool Seal, bool Mixed>
[[gnu::always_inline]] inline void run_rows(Window<V>& window) {
  if (window.num_row_jobs == 0) return;
  AeadJob* const* const listed = window.listed;
  if constexpr (Mixed) {
    run_rows_of<V, Seal, Rows::mixed>(window, listed);
  } else if (window.side_by_side != nullptr) {
    run_rows_of<V, Seal, Rows::even>(window, window.side_by_side);
  } else {
    window.rows_are_even ? run_rows_of<V, Seal, Rows::even>(window, listed)
                         : run_rows_of<V, Seal, Rows::uneven>(window, listed);
  }
  for (std::size_t i = 0; i < window.num_joined; ++i) window.in_pieces[i]->ok = window.joined[i].ok;
}

}  // namespace
}  // namespace culvert::crypto

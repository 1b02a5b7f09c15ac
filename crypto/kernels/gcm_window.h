#pragma once
#include "gcm_expand.h"

// A window: up to 64 jobs whose keys have one number of rounds, put in order of their size so that packets of one shape
// stand together, each with all that the steps (gcm_steps.h) need of it.
//
// A unit is what one vector holds: 1, 2 or 4 blocks. Packets of up to 4 units run several at a time, as many as fill 8
// vectors; each number of packets is filled up with packets that are nobody's. Larger packets come after them and run
// one after another in steps of some units (gcm_steps.h). Where a vector has 4 lanes, packets of one unit take a way of
// their own (gcm_rows.h).
namespace culvert::crypto {
namespace {

constexpr std::size_t max_window = 64;
constexpr std::size_t num_classes = 5;                                   // 1, 2, 3, 4 units; more
constexpr std::size_t class_group[num_classes] = {8, 4, 2, 2, 1};        // packets that run side by side
constexpr std::size_t window_capacity = max_window + 7 + 3 + 1 + 1 + 4;  // with the fillers, and rounded to lanes
constexpr std::size_t row_group = 8;                                     // packets of one unit that run side by side
constexpr std::size_t ring_len = 32;                                     // packets between hashing and finishing

struct Packet {
  const std::uint8_t* src;  // of the text; of a body that stands elsewhere, where its text would begin
  AeadJob* job;
  const GcmKeyData* key;
  const std::uint8_t* powers;  // for the first block of the text; the power before it is for what precedes that
  std::uint32_t first_src_unit, end_src_unit;  // these units are read from src, the others from dst
};

// The sum of products of blocks and powers, not yet reduced, lane by lane.
template <class V>
struct Sums {
  typename V::Reg lo, mid, hi;
};

template <class V>
struct alignas(64) Window {
  Window() noexcept {}

  std::uint8_t first_counters[window_capacity][16];
  std::uint8_t starts[window_capacity][16];   // the first counters after the first round of AES
  std::uint8_t pads[window_capacity][16];     // the encrypted first counters, which the tags are masked with
  std::uint8_t carries[window_capacity][16];  // AAD, or the hash of all before this stretch
  std::uint64_t lengths[window_capacity];     // of AAD and, in the upper half, of text
  Sums<V> sums[ring_len];
  typename V::Reg pending[8];                        // sealed, not yet hashed, with their bytes reversed
  std::uint8_t differences[max_stretch_blocks][16];  // as in the key, of a later stretch of a long packet
  std::uint8_t nobodys_text[4 * V::len];
  std::uint8_t nobodys_icv[16];
  union {
    AeadJob nobodys[5];  // of 0 to 4 units; where there are rows, that of one unit is theirs
  };
  Packet packets[window_capacity];
  // Packets of one unit that take a way of their own, filled up to whole groups. Where a text is in pieces, a job with
  // the text that they are put together to stands for it.
  std::size_t num_row_jobs;
  AeadJob* side_by_side;                        // if they are even and come in whole groups, all of them where they are
  AeadJob* listed[max_window + row_group - 1];  // if not
  union {                                       // not initialized: that would cost as much as a small burst
    AeadJob joined[max_window];
  };
  AeadJob* in_pieces[max_window];
  std::size_t num_joined;
  bool rows_are_even;  // all of one length, text and AAD
  std::size_t class_begin[num_classes + 1];
  std::size_t num;       // packets with fillers, a multiple of the lanes
  std::size_t finished;  // packets whose tags are done
  bool mixed;            // more than one key
  bool refused;          // a tag does not hold
};

template <class V>
[[gnu::always_inline]] inline typename V::Reg reversed(typename V::Reg blocks) {
  return V::shuffle_bytes(blocks, V::load(reversing_order));
}

// AAD longer than a block: the hash of all blocks but the last, added to the last, is hashed like one block.
[[gnu::noinline]] inline void absorb_aad(std::uint8_t* carry, const GcmKeyData& key, const std::uint8_t* aad,
                                         std::size_t len) {
  const __m128i h = Vector128::load(key.powers[num_gcm_powers - 1]);
  __m128i hash = _mm_setzero_si128();
  for (; len > 16; aad += 16, len -= 16)
    hash = multiply_in_field(_mm_xor_si128(hash, reversed_bytes(Vector128::load(aad))), h);
  Vector128::store(carry, _mm_xor_si128(reversed_bytes(hash), Vector128::load_first(aad, len)));
}

[[gnu::always_inline]] inline void set_aad(std::uint8_t* carry, const AeadJob& job) {
  if (job.aad_len == 8) {  // ESP
    return Vector128::store(carry, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(job.aad)));
  }
  if (job.aad_len == 12) {  // ESP with extended sequence numbers
    const __m128i high = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(job.aad + 4));
    const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(job.aad));
    return Vector128::store(carry, _mm_or_si128(low, _mm_slli_si128(_mm_srli_epi64(high, 32), 8)));
  }
  absorb_aad(carry, static_cast<const GcmKey&>(*job.key).data(), job.aad, job.aad_len);
}

// Of a text in pieces, bytes [from, to) to where they belong.
[[gnu::always_inline]] inline void copy_body(const AeadJob& job, std::size_t from, std::size_t to) {
  if (to > from) __builtin_memmove(job.dst + from, job.src + (from - job.head_len), to - from);
}

// Head and tail stand at dst, the body comes from elsewhere. Only a unit that has bytes of both is completed at dst
// first.
template <class V>
[[gnu::noinline]] inline void join_pieces(Packet& packet, const AeadJob& job) {
  const std::size_t body_begin = job.head_len, body_end = job.len - job.tail_len;
  std::size_t first = (body_begin + V::len - 1) / V::len, end = body_end / V::len;
  if (first >= end || job.len <= 4 * V::len) first = end = 0;
  copy_body(job, body_begin, end == 0 ? body_end : first * V::len);
  if (end != 0) copy_body(job, end * V::len, body_end);
  packet.src = end == 0 ? job.dst : job.src - job.head_len;
  packet.first_src_unit = static_cast<std::uint32_t>(first);
  packet.end_src_unit = static_cast<std::uint32_t>(end);
}

constexpr std::size_t round_up(std::size_t num, std::size_t multiple) {
  return (num + multiple - 1) & (0 - multiple);  // of a power of two
}

// The powers for the last blocks of a packet, before the block of lengths.
[[gnu::always_inline]] inline const std::uint8_t* powers_for(const GcmKeyData& key, std::size_t num_blocks) {
  return key.powers[0] + (num_gcm_powers - 1 - num_blocks) * 16;
}

// SP 800-38D §7.1 step 2, RFC 4106 §4.
[[gnu::always_inline]] inline __m128i first_counter_of(const GcmKeyData& key, const AeadJob& job) {
  const __m128i iv = _mm_slli_si128(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(job.iv)), 4);
  return _mm_or_si128(Vector128::load(key.first_counter), iv);
}

template <class V>
[[gnu::always_inline]] inline void set_packet(Window<V>& window, std::size_t at, AeadJob& job) {
  const GcmKeyData& key = static_cast<const GcmKey&>(*job.key).data();
  Packet& packet = window.packets[at];
  packet.src = job.src;
  packet.job = &job;
  packet.key = &key;
  packet.powers = powers_for(key, (std::size_t{job.len} + 15) / 16);  // set again for more than one stretch
  packet.first_src_unit = 0;
  packet.end_src_unit = ~0U;
  if ((job.head_len | job.tail_len) != 0) join_pieces<V>(packet, job);
  Vector128::store(window.first_counters[at], first_counter_of(key, job));
  set_aad(window.carries[at], job);
  window.lengths[at] = std::uint64_t{job.len} << 32 | job.aad_len;
}

// Nobody's packet, of as many units as those of its group.
template <class V>
void set_filler(Window<V>& window, std::size_t at, std::size_t num_units, const GcmKeyData& key) {
  AeadJob& job = window.nobodys[num_units];
  job.key = nullptr;
  job.dst = window.nobodys_text;
  job.icv = window.nobodys_icv;
  job.len = static_cast<std::uint32_t>(num_units * V::len);
  window.packets[at] = {.src = window.nobodys_text,
                        .job = &job,
                        .key = &key,
                        .powers = key.powers[1],
                        .first_src_unit = 0,
                        .end_src_unit = ~0U};
  Vector128::store(window.first_counters[at], _mm_setzero_si128());
  Vector128::store(window.carries[at], _mm_setzero_si128());
  window.lengths[at] = 0;
}

// Only what is sealed comes in pieces.
template <bool Seal>
[[gnu::always_inline]] inline bool pieces_fit(const AeadJob& job) {
  const std::size_t elsewhere = std::size_t{job.head_len} + job.tail_len;
  return Seal ? elsewhere <= job.len : elsewhere == 0;
}

// Which of up to 64 jobs are in which class, a bit each: with keys of 10 rounds, then with keys of 14.
struct Sorted {
  std::uint64_t jobs[2][num_classes];
  unsigned num_rounds;  // bit 0: there are keys of 10 rounds, bit 1: of 14
  bool mixed;           // more than one key
  bool refused;         // there are jobs in no class
  bool even;            // all of one key and of one length, text and AAD, and whole
};

constexpr std::uint8_t no_class = 0xff;

// The jobs whose class is `wanted`.
[[gnu::always_inline]] inline std::uint64_t find_class(const std::uint8_t (&classes)[max_window], std::size_t wanted) {
  const __m128i all = _mm_set1_epi8(static_cast<char>(wanted));
  std::uint64_t found = 0;
  for (std::size_t i = 0; i < max_window; i += 16) {
    const int equal = _mm_movemask_epi8(_mm_cmpeq_epi8(Vector128::load(classes + i), all));
    found |= std::uint64_t{static_cast<std::uint32_t>(equal)} << i;
  }
  return found;
}

template <class V>
[[gnu::always_inline]] inline bool make_ready(const AeadKey& key) {
  return static_cast<const GcmKey&>(key).make_ready(expand<V>);
}

// The first of the classes of a key's number of rounds, of which there are `num_classes`.
[[gnu::always_inline]] inline std::size_t first_class_of(const AeadKey& key) {
  return static_cast<const GcmKey&>(key).data().num_rounds == 14 ? num_classes : 0;
}

// Which of these it is.
template <class V>
[[gnu::always_inline]] inline std::size_t class_of(const AeadJob& job) {
  const std::size_t index = (std::size_t{job.len} + (job.len == 0) - 1) / V::len;
  return index < num_classes ? index : num_classes - 1;
}

[[gnu::always_inline]] inline bool all_even(const AeadJob* jobs, std::size_t num_jobs) {
  const AeadKey* const key = jobs[0].key;
  const std::uint32_t len = jobs[0].len, aad_len = jobs[0].aad_len;
  for (std::size_t i = 0; i < num_jobs; ++i) {
    const AeadJob& job = jobs[i];
    const std::uint32_t differences = (job.len ^ len) | (job.aad_len ^ aad_len);
    if (job.key != key || (differences | job.head_len | job.tail_len) != 0) return false;
  }
  return true;
}

// False: there is no memory for a key's tables.
template <class V, bool Seal>
[[nodiscard, gnu::always_inline]] inline bool sort(Sorted& sorted, AeadJob* jobs, std::size_t num_jobs) {
  sorted = {};
  if (!make_ready<V>(*jobs[0].key)) return false;
  if (all_even(jobs, num_jobs)) {
    const std::size_t kind = first_class_of(*jobs[0].key) / num_classes;
    sorted.jobs[kind][class_of<V>(jobs[0])] = ~0ULL >> (max_window - num_jobs);
    sorted.num_rounds = 1U << kind;
    sorted.even = true;
    return true;
  }
  alignas(64) std::uint8_t classes[max_window];
  for (std::size_t i = 0; i < max_window; i += 16)
    Vector128::store(classes + i, _mm_set1_epi8(static_cast<char>(no_class)));
  const AeadKey* key = jobs[0].key;
  std::size_t first_class = first_class_of(*key);
  sorted.num_rounds = 1U << first_class / num_classes;
  for (std::size_t i = 0; i < num_jobs; ++i) {
    AeadJob& job = jobs[i];
    if (job.key != key) {
      key = job.key;
      if (!make_ready<V>(*key)) return false;
      first_class = first_class_of(*key);
      sorted.num_rounds |= 1U << first_class / num_classes;
      sorted.mixed = true;
    }
    if (!pieces_fit<Seal>(job)) {
      job.ok = false;
      sorted.refused = true;
      continue;
    }
    classes[i] = static_cast<std::uint8_t>(first_class + class_of<V>(job));
  }
  for (std::size_t kind = 0; kind < 2; ++kind) {
    if ((sorted.num_rounds >> kind & 1) == 0) continue;
    for (std::size_t c = 0; c < num_classes; ++c) sorted.jobs[kind][c] = find_class(classes, kind * num_classes + c);
  }
  return true;
}

// What stands for a job of one unit whose text is in pieces, when they are put together.
template <class V>
[[gnu::noinline]] AeadJob* join_row(Window<V>& window, AeadJob& job) {
  copy_body(job, job.head_len, job.len - job.tail_len);
  AeadJob& joined = window.joined[window.num_joined];
  window.in_pieces[window.num_joined++] = &job;
  joined = job;
  joined.src = job.dst;
  return &joined;
}

// Fills a group of rows up.
template <class V>
[[gnu::always_inline]] inline void fill_group(Window<V>& window, std::size_t num) {
  static constexpr std::uint8_t nothing[V::len] = {};
  if (num % row_group == 0) return;
  const AeadJob& first = *window.listed[0];
  AeadJob& nobodys = window.nobodys[1];
  nobodys = {.key = first.key,
             .aad = first.aad,
             .iv = nothing,
             .src = nothing,
             .dst = window.nobodys_text,
             .icv = window.nobodys_icv,
             .aad_len = first.aad_len,
             .len = first.len};
  for (; num % row_group != 0; ++num) window.listed[num] = &nobodys;
}

// The jobs of one unit whose keys are of one kind, for rows.
template <class V>
[[gnu::always_inline]] inline void fill_rows(Window<V>& window, AeadJob* jobs, std::size_t num_jobs, bool all_are_even,
                                             std::uint64_t wanted) {
  window.num_row_jobs = window.num_joined = 0;
  if (wanted == 0) return;
  window.side_by_side = all_are_even && num_jobs % row_group == 0 ? jobs : nullptr;
  window.num_row_jobs = num_jobs;
  if (window.side_by_side != nullptr) return;
  const AeadJob& first = jobs[__builtin_ctzll(wanted)];
  std::size_t num = 0;
  std::uint32_t differences = 0;
  for (; wanted != 0; wanted &= wanted - 1) {
    AeadJob& job = jobs[__builtin_ctzll(wanted)];
    differences |= (job.len ^ first.len) | (job.aad_len ^ first.aad_len);
    window.listed[num++] = (job.head_len | job.tail_len) == 0 ? &job : join_row(window, job);
  }
  window.num_row_jobs = num;
  window.rows_are_even = differences == 0;
  fill_group(window, num);
}

// The jobs whose keys are of one kind, class by class, each class filled up to whole groups.
template <class V>
[[gnu::always_inline]] inline void fill(Window<V>& window, AeadJob* jobs, std::size_t num_jobs, const Sorted& all,
                                        std::size_t kind) {
  const std::uint64_t(&sorted)[num_classes] = all.jobs[kind];
  const GcmKeyData* some_key = nullptr;
  std::size_t at = 0;
  if constexpr (V::has_rows) fill_rows(window, jobs, num_jobs, all.even, sorted[0]);
  window.class_begin[0] = 0;
  for (std::size_t c = V::has_rows ? 1 : 0; c < num_classes; ++c) {
    window.class_begin[c] = at;
    for (std::uint64_t rest = sorted[c]; rest != 0; rest &= rest - 1)
      set_packet(window, at++, jobs[__builtin_ctzll(rest)]);
    if (at > window.class_begin[c]) some_key = window.packets[at - 1].key;
    for (const std::size_t end = round_up(at, class_group[c]); at < end; ++at) set_filler(window, at, c + 1, *some_key);
  }
  window.class_begin[num_classes] = at;
  for (window.num = round_up(at, V::lanes); at < window.num; ++at) set_filler(window, at, 0, *some_key);
  window.finished = 0;
  window.mixed = all.mixed;
}

}  // namespace
}  // namespace culvert::crypto

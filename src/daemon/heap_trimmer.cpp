#include "heap_trimmer.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "privileges.h"

namespace culvert::daemon {
namespace {

constexpr std::uint64_t settled_after = 3, pause = 5;  // ticks
constexpr int arena_end = 256 << 10;                   // bytes
constexpr std::int64_t worth_it = std::int64_t{512} << 10;

std::int64_t resident_bytes() {
  std::int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

std::int64_t bytes_in_use() {
  const struct mallinfo2 info = ::mallinfo2();
  return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
}

}  // namespace

/// The end of a worker's arena is not trimmed by malloc_trim, but by `free` alone, and by default only beyond a
/// threshold that grows with the largest piece ever freed.
HeapTrimmer::HeapTrimmer() {
  (void)::mallopt(M_TRIM_THRESHOLD, arena_end);
}

/// What has come to be resident since the last time, and is not in use, is free memory (or something else than the
/// heap: then it is tried once in vain).
void HeapTrimmer::on_tick() {
  ++num_ticks_;
  if (num_ticks_ < settled_after || (num_ticks_ > settled_after && num_ticks_ % pause != 0)) return;
  const std::int64_t in_use = bytes_in_use();
  const std::int64_t idle = (resident_bytes() - resident_) - (in_use - in_use_);
  if (num_ticks_ > settled_after && idle < std::max(worth_it, in_use / 8)) return;
  give_back_free_memory();
  resident_ = resident_bytes();
  in_use_ = bytes_in_use();
}

}  // namespace culvert::daemon

#pragma once
#include <cstdint>

namespace culvert::daemon {

/// Gives memory back to the system that this process no longer uses: what thousands of clients had, or what the start
/// took for a moment. The allocator keeps it, scattered in the heap. Control thread.
class HeapTrimmer {
 public:
  HeapTrimmer();
  /// Once a second. Seldom takes more than a few microseconds; after much was freed, milliseconds.
  void on_tick();

 private:
  std::uint64_t num_ticks_ = 0;
  std::int64_t resident_ = 0, in_use_ = 0;  ///< bytes, when it gave back last
};

}  // namespace culvert::daemon

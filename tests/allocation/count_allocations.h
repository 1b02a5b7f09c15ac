#pragma once
#include <cstdint>

namespace culvert::lab {

/// Counts every call of malloc and its kin in this program, those of shared libraries and of operator new among them,
/// by any thread that is not the test's own. Sanitizers bring their own malloc, which says so itself.
class AllocationCount {
 public:
  AllocationCount() noexcept;   ///< begins to count; the calling thread is one of the test's
  ~AllocationCount() noexcept;  ///< ends it
  AllocationCount(const AllocationCount&) = delete;
  AllocationCount& operator=(const AllocationCount&) = delete;

  [[nodiscard]] std::uint64_t so_far() const noexcept;
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif

}  // namespace culvert::lab

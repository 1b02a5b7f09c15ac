#include "count_allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace {

std::atomic<bool> counting{false};
std::atomic<std::uint64_t> num_allocations{0};
thread_local bool is_of_the_test = false;

void note() noexcept {
  if (counting.load(std::memory_order_relaxed) && !is_of_the_test) num_allocations.fetch_add(1);
}

}  // namespace

namespace culvert::lab {

AllocationCount::AllocationCount() noexcept {
  is_of_the_test = true;
  num_allocations = 0;
  counting = true;
}

AllocationCount::~AllocationCount() noexcept {
  counting = false;
}

std::uint64_t AllocationCount::so_far() const noexcept {
  return num_allocations;
}

}  // namespace culvert::lab

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

// sanitizer/allocator_interface.h, which Debian has for clang alone.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, std::size_t),
                                                         void (*free_hook)(const volatile void*));
namespace {
[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { note(); }, [](const volatile void*) {});
}

#else

// What the program defines, shared libraries use too: glibc's manual, "Replacing malloc". The real ones stay reachable
// under these names.
extern "C" {
void* __libc_malloc(std::size_t len);
void* __libc_calloc(std::size_t num, std::size_t len);
void* __libc_realloc(void* old, std::size_t len);
void* __libc_memalign(std::size_t alignment, std::size_t len);
void __libc_free(void* memory);

void* malloc(std::size_t len) noexcept {
  note();
  return __libc_malloc(len);
}
void* calloc(std::size_t num, std::size_t len) noexcept {
  note();
  return __libc_calloc(num, len);
}
void* realloc(void* old, std::size_t len) noexcept {
  note();
  return __libc_realloc(old, len);
}
void* memalign(std::size_t alignment, std::size_t len) noexcept {
  note();
  return __libc_memalign(alignment, len);
}
void* aligned_alloc(std::size_t alignment, std::size_t len) noexcept {
  note();
  return __libc_memalign(alignment, len);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t len) noexcept {
  note();
  *out = __libc_memalign(alignment, len);
  return *out == nullptr ? ENOMEM : 0;
}
void free(void* memory) noexcept {
  __libc_free(memory);
}
}

#endif

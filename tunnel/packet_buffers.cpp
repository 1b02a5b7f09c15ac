#include "packet_buffers.h"

#include <sys/mman.h>

#include <new>

namespace culvert::tunnel {

PacketBuffers::PacketBuffers() {
  void* memory = ::mmap(nullptr, num * slot_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::uint8_t*>(memory);
  // 64 packets in as many places would want 64 TLB entries; a few huge pages want three. Only advice: no harm where
  // there are none.
  [[maybe_unused]] const int ignored = ::madvise(memory, num * slot_len, MADV_HUGEPAGE);
}

PacketBuffers::~PacketBuffers() {
  ::munmap(memory_, num * slot_len);
}

}  // namespace culvert::tunnel

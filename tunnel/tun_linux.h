#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "file_descriptor.h"

namespace culvert::tunnel {

/// One queue of a TUN device: plain IP packets, no frames, nonblocking. One worker reads it; any thread that holds it
/// may write.
class TunQueue {
 public:
  /// Creates device `name` with `count` queues; it is down and lives as long as one of them. Errc::invalid: not a
  /// device name; Errc::io: EBUSY when the device exists already, else what the kernel said. The detail names the
  /// device.
  [[nodiscard]] static Result<std::vector<TunQueue>> create_device(const std::string& name, unsigned count);

  /// Reads packets until there is none or all `buffers` are used; sets `lens` (same size). Returns the number read. A
  /// packet as long as its buffer may have been cut: give one byte more than the device's MTU.
  [[nodiscard]] std::size_t read_batch(std::span<const MutableByteView> buffers,
                                       std::span<std::size_t> lens) const noexcept;
  /// Writes IP packets in order and sets `written` (same size). The kernel refuses what is no IP packet, and all while
  /// the device is down. Returns the number written.
  std::size_t write_batch(std::span<const ByteView> packets, std::span<bool> written) const noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  explicit TunQueue(FileDescriptor fd) noexcept : fd_(std::move(fd)) {}

  FileDescriptor fd_;
};

/// What the kernel takes as the name of one certain device: 1…15 printable characters, no '/', ':', '%' or space, not
/// "." or "..".
[[nodiscard]] bool is_device_name(std::string_view name) noexcept;

}  // namespace culvert::tunnel

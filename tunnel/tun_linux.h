#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/tunnel/kept_descriptors.h"
#include "file_descriptor.h"
#include "offload.h"

namespace culvert::tunnel {

/// One queue of a TUN device: IP packets and super-packets, no frames, nonblocking. One worker reads it; any thread
/// that holds it may write.
class TunQueue {
 public:
  /// What the kernel may give us in one piece, and takes from us so. TCP: any Linux; UDP (USO): 6.2.
  struct Features {
    bool tcp = false, udp = false;
  };

  /// Creates device `name` with `count` queues; it is down and lives as long as one of them. Errc::invalid: not a
  /// device name; Errc::io: EBUSY when the device exists already, else what the kernel said. The detail names the
  /// device.
  [[nodiscard]] static Result<std::vector<TunQueue>> create_device(const std::string& name, unsigned count);
  /// The device that a daemon before us has left open, with its addresses and routes and as many queues as we want; the
  /// errors are as above. `kept` has it (KeptDescriptors::has_device).
  [[nodiscard]] static Result<std::vector<TunQueue>> take_device(const std::string& name, unsigned count,
                                                                 KeptDescriptors& kept);

  /// Makes the device of these queues anew, after somebody has deleted it: down, with nothing but its name. Those who
  /// watch the descriptors go on. Errc::io as create_device.
  [[nodiscard]] static Result<void> renew_device(const std::string& name, std::span<const TunQueue> queues);

  /// Reads one packet or super-packet, whose length is returned; 0: there is none. One as long as `room` may have been
  /// cut: give one byte more than an IP packet can have.
  [[nodiscard]] std::size_t read(MutableByteView room, Offload& offload) const noexcept;
  /// Writes one packet or super-packet: all parts but the first, which is used for the kernel's own header. false: the
  /// kernel refused: no IP packet, or the device is down.
  [[nodiscard]] bool write(std::span<iovec> parts, const Offload& offload) const noexcept;
  [[nodiscard]] bool write(ByteView packet) const noexcept;

  /// Nothing is there to be read. Any thread.
  [[nodiscard]] bool is_empty() const noexcept;
  [[nodiscard]] bool has_device() const noexcept;  ///< nobody has deleted it. Any thread

  [[nodiscard]] Features features() const noexcept { return features_; }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  [[nodiscard]] static Result<void> attach(std::vector<TunQueue>& queues, const std::string& name, unsigned count);
  TunQueue(FileDescriptor fd, Features features) noexcept : fd_(std::move(fd)), features_(features) {}

  FileDescriptor fd_;
  Features features_;
};

/// What the kernel takes as the name of one certain device: 1…15 printable characters, no '/', ':', '%' or space, not
/// "." or "..".
[[nodiscard]] bool is_device_name(std::string_view name) noexcept;

}  // namespace culvert::tunnel

#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/tunnel/kept_descriptors.h"
#include "file_descriptor.h"
#include "socket_batch.h"

namespace culvert::tunnel {

/// A raw socket for IP protocol 50 on one of our addresses. Every raw socket would get every packet, so there is one
/// for each address: worker 0 receives, all workers send.
class RawEspSocket {
 public:
  /// The one of a daemon before us where `kept` has it. Errc::io names the address.
  [[nodiscard]] static Result<RawEspSocket> open(const IpAddress& local, KeptDescriptors& kept);
  [[nodiscard]] static std::string name(const IpAddress& local);  ///< "esp.ADDRESS"

  /// At most socket_batch_size packets without waiting. Each slot's `buffer` is cut to the ESP packet, without the IP
  /// header that the kernel leaves before it on IPv4; a packet whose IP header does not fit has len 0. Remote port is
  /// 0.
  [[nodiscard]] std::size_t receive_batch(SocketBatch& batch, std::span<ReceiveSlot> slots) const noexcept;
  /// The kernel builds the IP header. See SocketBatch::send; ports are ignored.
  std::size_t send_batch(SocketBatch& batch, std::span<SendItem> items) const noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const IpAddress& local() const noexcept { return local_; }

 private:
  RawEspSocket(FileDescriptor fd, IpAddress local) noexcept : fd_(std::move(fd)), local_(local) {}

  FileDescriptor fd_;
  IpAddress local_;
};

/// How many bytes of an IPv4 packet its header takes, 0 when the packet does not hold it (RFC 791 §3.1: version, IHL ≥
/// 5).
[[nodiscard]] std::size_t ipv4_header_len(ByteView packet) noexcept;

}  // namespace culvert::tunnel

#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "file_descriptor.h"
#include "socket_batch.h"

namespace culvert::tunnel {

/// A nonblocking UDP socket on one of our addresses and ports. Every worker has its own for each (SO_REUSEPORT): the
/// kernel keeps the datagrams of one SA on one of them. UDP_ENCAP is not used: the kernel here has no ESP,
/// and we want its bytes.
class UdpSocket {
 public:
  /// One socket for each of `count` workers, all on `local`. Errc::io names address and port, e.g. "UDP 0.0.0.0:500:
  /// Address already in use; another IKE daemon?".
  [[nodiscard]] static Result<std::vector<UdpSocket>> open_group(const Endpoint& local, unsigned count);

  /// At most socket_batch_size slots, without waiting; a slot may hold several datagrams of one flow.
  [[nodiscard]] std::size_t receive_batch(SocketBatch& batch, std::span<ReceiveSlot> slots) const noexcept {
    return batch.receive(fd_.get(), slots);
  }
  /// Sends without waiting; see SocketBatch::send.
  std::size_t send_batch(SocketBatch& batch, std::span<SendItem> items) const noexcept {
    return batch.send(fd_.get(), local_.address.family(), Segmentation::udp, items);
  }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const Endpoint& local() const noexcept { return local_; }

 private:
  UdpSocket(FileDescriptor fd, Endpoint local) noexcept : fd_(std::move(fd)), local_(local) {}

  FileDescriptor fd_;
  Endpoint local_;
};

}  // namespace culvert::tunnel

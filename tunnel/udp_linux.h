#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/tunnel/kept_descriptors.h"
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
  /// The NAT port's sockets: those of the workers, and for IKE either two of its own (IKE SAs; what asks for a new one)
  /// or, where the kernel does not steer, none: then the workers get it with their ESP.
  struct NatGroup;
  /// `kept`: those of a daemon before us are taken from there when all of them are.
  [[nodiscard]] static Result<NatGroup> open_nat_group(const Endpoint& local, unsigned num_workers,
                                                       KeptDescriptors& kept);
  /// The IKE port's: two (IKE SAs; what asks for a new one), or one for all.
  [[nodiscard]] static Result<std::vector<UdpSocket>> open_ike_group(const Endpoint& local, KeptDescriptors& kept);
  /// "udp.PORT.INDEX.ADDRESS" for the sockets of one address and port, in their order.
  [[nodiscard]] static std::string name(const Endpoint& local, std::size_t index);

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
  enum class Joined : std::uint8_t { yes, no };  ///< UDP_GRO
  [[nodiscard]] static Result<std::vector<UdpSocket>> take(const Endpoint& local, unsigned num, KeptDescriptors& kept);
  [[nodiscard]] static Result<void> extend(std::vector<UdpSocket>& group, const Endpoint& local, unsigned num,
                                           Joined joined);

  FileDescriptor fd_;
  Endpoint local_;
};

struct UdpSocket::NatGroup {
  std::vector<UdpSocket> workers, ike;
};

}  // namespace culvert::tunnel

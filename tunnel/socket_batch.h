#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "file_descriptor.h"

namespace culvert::tunnel {

/// One datagram that came in, or several of one flow, joined by the kernel (UDP_GRO): the buffer is the caller's, the
/// rest is filled in.
struct ReceiveSlot {
  MutableByteView buffer;       ///< room, in
  std::size_t len = 0;          ///< bytes received
  std::size_t segment_len = 0;  ///< of each datagram in them but the last, which may be shorter; `len` when it is one
  Endpoint remote;
  IpAddress local;         ///< the address it was sent to (IP_PKTINFO)
  std::uint8_t tos = 0;    ///< TOS or traffic class byte of the outer header: DSCP and ECN
  bool truncated = false;  ///< longer than the buffer

  [[nodiscard]] std::size_t num_datagrams() const noexcept {
    return segment_len == 0 ? 1 : (len + segment_len - 1) / segment_len;
  }
};

/// Whether the kernel may cut what it sends (UDP_SEGMENT): UDP sockets yes, raw ones no.
enum class Segmentation : std::uint8_t { none, udp };

/// One datagram to send.
struct SendItem {
  ByteView bytes;
  Endpoint remote;
  IpAddress local;  ///< source address; unspecified: the kernel's choice
  std::uint8_t tos = 0;
  bool sent = false;  ///< result
};

inline constexpr std::size_t socket_batch_size = 64;

/// The message headers that recvmmsg and sendmmsg want, made once. One per worker; not shared.
class SocketBatch {
 public:
  SocketBatch();

  /// At most socket_batch_size datagrams without waiting; the number received. 0: nothing is there (or the kernel
  /// reported an error of an earlier send, which is of no interest here).
  [[nodiscard]] std::size_t receive(int fd, std::span<ReceiveSlot> slots) noexcept;
  /// Sends in order without waiting and sets `sent` of each. Neighbours of equal length to one remote leave as one
  /// message that the kernel or the NIC cuts (UDP_SEGMENT), where it can. A datagram that the kernel refuses is passed
  /// over, the next ones are still tried; when the socket's buffer is full the rest stays unsent. `family` is the
  /// socket's. Returns the number sent.
  std::size_t send(int fd, IpFamily family, Segmentation segmentation, std::span<SendItem> items) noexcept;
  /// One datagram, without waiting: 0 or errno.
  [[nodiscard]] int send_one(int fd, IpFamily family, const SendItem& item) noexcept;

 private:
  static constexpr std::size_t control_len = 128;  // room for pktinfo (v6: 20 bytes), the traffic class, the segment
  struct alignas(cmsghdr) Control {
    std::array<std::uint8_t, control_len> bytes;
  };
  /// Items that leave as one message.
  struct Run {
    std::uint8_t first = 0, count = 0;
  };
  void prepare_receive(std::size_t i, ReceiveSlot& slot) noexcept;
  void prepare_send(std::size_t message, IpFamily family, std::span<const SendItem> items, Run run) noexcept;
  std::size_t send_runs(int fd, IpFamily family, bool join, std::span<SendItem> items) noexcept;

  std::array<mmsghdr, socket_batch_size> headers_;
  std::array<iovec, socket_batch_size> vectors_;
  std::array<sockaddr_storage, socket_batch_size> addresses_;
  std::array<Control, socket_batch_size> controls_;
  std::array<Run, socket_batch_size> runs_;
  unsigned without_segmentation_ = 0;  ///< batches that are still to go one by one: the kernel refused
};

/// How many of `items`, from the first, may leave as one message: equal remote, source and TOS, equal lengths but for a
/// shorter last one, and what the kernel takes (64 segments, 65,507 bytes: linux/udp.h UDP_MAX_SEGMENTS, RFC 768).
[[nodiscard]] std::size_t run_length(std::span<const SendItem> items) noexcept;

/// `endpoint` as the kernel wants it; the length is returned.
socklen_t to_sockaddr(const Endpoint& endpoint, sockaddr_storage& out) noexcept;
[[nodiscard]] Endpoint from_sockaddr(const sockaddr_storage& from) noexcept;

/// What every socket of the data plane is told: to report the local address and the TOS byte, to leave DF clear, and to
/// have buffers for bursts. Errc::io names the option.
[[nodiscard]] Result<void> prepare_socket(int fd, IpFamily family);
/// Lets the kernel join datagrams of one flow before it hands them over (UDP_GRO, Linux 5.0). Where it cannot, they
/// come one by one.
void join_datagrams(int fd) noexcept;
/// DF, and no regard to what the kernel believes of the path; or neither, as prepare_socket has it.
void set_dont_fragment(int fd, IpFamily family, bool on) noexcept;

}  // namespace culvert::tunnel

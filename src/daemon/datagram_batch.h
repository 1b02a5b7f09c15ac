#pragma once
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"

namespace culvert::daemon {

/// A UDP socket at `at`, beside other sockets of this process on the same port, that hears `peer` alone. Does not
/// block.
[[nodiscard]] Result<int> open_datagram_socket(const Endpoint& at, const Endpoint& peer);

/// Sends all, as few system calls as equal sizes allow (UDP_SEGMENT). What does not fit into the socket is dropped, as
/// UDP does.
void send_datagrams(int fd, const std::vector<ByteView>& datagrams);

/// Calls `take(ByteView)` for each datagram that is there, until `max_len` bytes of them are read. Returns their bytes.
template <class Take>
std::size_t receive_datagrams(int fd, MutableByteView buffer, std::size_t max_len, Take take);

/// One recvmsg: bytes in `buffer` and how long each datagram in it is (UDP_GRO), the last may be shorter; len 0:
/// nothing is there.
struct Received {
  std::size_t len = 0, datagram_len = 0;
};
[[nodiscard]] Received receive_datagrams_once(int fd, MutableByteView buffer) noexcept;

template <class Take>
std::size_t receive_datagrams(int fd, MutableByteView buffer, std::size_t max_len, Take take) {
  std::size_t total = 0;
  while (total < max_len) {
    const Received got = receive_datagrams_once(fd, buffer);
    if (got.len == 0) break;
    total += got.len;
    for (std::size_t at = 0; at < got.len; at += got.datagram_len)
      take(ByteView(buffer).subspan(at, std::min(got.datagram_len, got.len - at)));
  }
  return total;
}

}  // namespace culvert::daemon

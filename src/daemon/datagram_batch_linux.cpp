#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "datagram_batch.h"

namespace culvert::daemon {
namespace {

constexpr int receive_buffer_len = 512 * 1024;    // what may wait for the TCP connection; more only makes it late
constexpr std::size_t max_segments = 64;          // UDP_MAX_SEGMENTS of Linux
constexpr std::size_t max_segmented_len = 65000;  // of one IP packet, less headers

sockaddr_in to_sockaddr(const Endpoint& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  std::memcpy(&address.sin_addr, endpoint.address.bytes().data(), sizeof address.sin_addr);
  return address;
}

/// How many from `first` on may leave by one call: all of one size, but that the last may be shorter.
std::size_t run_length(const std::vector<ByteView>& datagrams, std::size_t first) {
  const std::size_t size = datagrams[first].size();
  std::size_t total = size, count = 1;
  while (first + count < datagrams.size() && count < max_segments) {
    const std::size_t next = datagrams[first + count].size();
    if (next > size || total + next > max_segmented_len) break;
    total += next;
    ++count;
    if (next < size) break;
  }
  return count;
}

void send_run(int fd, const ByteView* datagrams, std::size_t count) {
  std::array<iovec, max_segments> pieces;
  for (std::size_t i = 0; i < count; ++i)
    pieces[i] = {const_cast<std::uint8_t*>(datagrams[i].data()), datagrams[i].size()};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(std::uint16_t))> control{};
  if (count > 1) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const auto size = static_cast<std::uint16_t>(datagrams[0].size());
    std::memcpy(CMSG_DATA(header), &size, sizeof size);
  }
  [[maybe_unused]] const ssize_t ignored = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

Result<int> open_datagram_socket(const Endpoint& at, const Endpoint& peer) {
  const auto failed = [&](int fd, const char* what) {
    const int error = errno;
    if (fd >= 0) ::close(fd);
    return fail(Errc::io, fmt::format("UDP {}: {}: {}", at.to_string(), what, std::strerror(error)), error);
  };
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failed(fd, "socket");
  const int one = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) return failed(fd, "SO_REUSEPORT");
  for (const auto& [level, name, value] :
       {std::tuple{SOL_UDP, UDP_GRO, 1}, std::tuple{SOL_SOCKET, SO_RCVBUF, receive_buffer_len}}) {
    [[maybe_unused]] const int ignored = ::setsockopt(fd, level, name, &value, sizeof value);  // it works without
  }
  const sockaddr_in own = to_sockaddr(at), other = to_sockaddr(peer);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) return failed(fd, "bind");
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&other), sizeof other) != 0) return failed(fd, "connect");
  return fd;
}

void send_datagrams(int fd, const std::vector<ByteView>& datagrams) {
  for (std::size_t first = 0; first < datagrams.size();) {
    const std::size_t count = run_length(datagrams, first);
    send_run(fd, &datagrams[first], count);
    first += count;
  }
}

Received receive_datagrams_once(int fd, MutableByteView buffer) noexcept {
  iovec piece{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t len = 0;
  // ECONNREFUSED and the like tell of what was sent before: what has come since is still there.
  for (int tries = 0; tries < 4; ++tries) {
    len = ::recvmsg(fd, &message, MSG_DONTWAIT);
    if (len >= 0 || errno == EAGAIN) break;
  }
  if (len <= 0) return {};
  Received got{static_cast<std::size_t>(len), static_cast<std::size_t>(len)};
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_UDP || header->cmsg_type != UDP_GRO) continue;
    int size = 0;
    std::memcpy(&size, CMSG_DATA(header), sizeof size);
    if (size > 0) got.datagram_len = static_cast<std::size_t>(size);
  }
  return got;
}

}  // namespace culvert::daemon

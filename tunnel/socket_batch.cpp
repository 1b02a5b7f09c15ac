#include "socket_batch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace culvert::tunnel {
namespace {

/// Reads local address and TOS from the control messages of one datagram.
void read_control(const msghdr& header, ReceiveSlot& slot) noexcept {
  for (auto* message = CMSG_FIRSTHDR(&header); message; message = CMSG_NXTHDR(const_cast<msghdr*>(&header), message)) {
    const std::uint8_t* data = CMSG_DATA(message);
    if (message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, data, sizeof info);
      slot.local = IpAddress::v4(ntohl(info.ipi_addr.s_addr));  // ipi_addr: what the header says, also for a broadcast
    } else if (message->cmsg_level == IPPROTO_IPV6 && message->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, data, sizeof info);
      slot.local = IpAddress::from_bytes({info.ipi6_addr.s6_addr, 16}).value_or(IpAddress{});
    } else if (message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_TOS) {
      slot.tos = data[0];
    } else if (message->cmsg_level == IPPROTO_IPV6 && message->cmsg_type == IPV6_TCLASS) {
      int traffic_class = 0;
      std::memcpy(&traffic_class, data, sizeof traffic_class);
      slot.tos = static_cast<std::uint8_t>(traffic_class);
    }
  }
}

template <class T>
void add_control(msghdr& header, int level, int type, const T& value) noexcept {
  auto* message = reinterpret_cast<cmsghdr*>(static_cast<std::uint8_t*>(header.msg_control) + header.msg_controllen);
  message->cmsg_level = level;
  message->cmsg_type = type;
  message->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(message), &value, sizeof value);
  header.msg_controllen += CMSG_SPACE(sizeof value);
}

Result<void> set_option(int fd, int level, int option, int value, const char* name) {
  if (::setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
  return fail(Errc::io, name, errno);
}

}  // namespace

SocketBatch::SocketBatch() : headers_{}, vectors_{}, addresses_{}, controls_{} {}

void SocketBatch::prepare_receive(std::size_t i, ReceiveSlot& slot) noexcept {
  vectors_[i] = {slot.buffer.data(), slot.buffer.size()};
  headers_[i].msg_hdr = msghdr{.msg_name = &addresses_[i],
                               .msg_namelen = sizeof addresses_[i],
                               .msg_iov = &vectors_[i],
                               .msg_iovlen = 1,
                               .msg_control = controls_[i].bytes.data(),
                               .msg_controllen = control_len,
                               .msg_flags = 0};
}

std::size_t SocketBatch::receive(int fd, std::span<ReceiveSlot> slots) noexcept {
  const std::size_t room = std::min(slots.size(), socket_batch_size);
  for (std::size_t i = 0; i < room; ++i) prepare_receive(i, slots[i]);
  const int received = ::recvmmsg(fd, headers_.data(), static_cast<unsigned>(room), MSG_DONTWAIT, nullptr);
  if (received <= 0) return 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i) {
    ReceiveSlot& slot = slots[i];
    slot.len = headers_[i].msg_len;
    slot.truncated = (headers_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    slot.remote = from_sockaddr(addresses_[i]);
    slot.local = IpAddress{};
    slot.tos = 0;
    read_control(headers_[i].msg_hdr, slot);
  }
  return static_cast<std::size_t>(received);
}

void SocketBatch::prepare_send(std::size_t i, IpFamily family, const SendItem& item) noexcept {
  vectors_[i] = {const_cast<std::uint8_t*>(item.bytes.data()), item.bytes.size()};
  msghdr& header = headers_[i].msg_hdr;
  header = msghdr{.msg_name = &addresses_[i],
                  .msg_namelen = to_sockaddr(item.remote, addresses_[i]),
                  .msg_iov = &vectors_[i],
                  .msg_iovlen = 1,
                  .msg_control = controls_[i].bytes.data(),
                  .msg_controllen = 0,
                  .msg_flags = 0};
  const bool choose_source = item.local.family() == family && !item.local.is_unspecified();
  if (family == IpFamily::v4) {
    if (choose_source) {
      in_pktinfo info{};
      std::memcpy(&info.ipi_spec_dst, item.local.bytes().data(), 4);
      add_control(header, IPPROTO_IP, IP_PKTINFO, info);
    }
    add_control(header, IPPROTO_IP, IP_TOS, int{item.tos});
  } else {
    if (choose_source) {
      in6_pktinfo info{};
      std::memcpy(&info.ipi6_addr, item.local.bytes().data(), 16);
      add_control(header, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
    add_control(header, IPPROTO_IPV6, IPV6_TCLASS, int{item.tos});
  }
}

std::size_t SocketBatch::send(int fd, IpFamily family, std::span<SendItem> items) noexcept {
  std::size_t num_sent = 0;
  while (!items.empty()) {
    const std::size_t count = std::min(items.size(), socket_batch_size);
    for (std::size_t i = 0; i < count; ++i) prepare_send(i, family, items[i]);
    for (std::size_t done = 0; done < count;) {
      const int sent = ::sendmmsg(fd, headers_.data() + done, static_cast<unsigned>(count - done), MSG_DONTWAIT);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return num_sent;
      if (sent <= 0) {
        ++done;  // refused (no route, source address gone, too long): the others may still go
        continue;
      }
      for (int i = 0; i < sent; ++i) items[done + static_cast<std::size_t>(i)].sent = true;
      done += static_cast<std::size_t>(sent);
      num_sent += static_cast<std::size_t>(sent);
    }
    items = items.subspan(count);
  }
  return num_sent;
}

int SocketBatch::send_one(int fd, IpFamily family, const SendItem& item) noexcept {
  prepare_send(0, family, item);
  for (;;) {
    if (::sendmsg(fd, &headers_[0].msg_hdr, MSG_DONTWAIT) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

socklen_t to_sockaddr(const Endpoint& endpoint, sockaddr_storage& out) noexcept {
  if (endpoint.address.is_v4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, endpoint.address.bytes().data(), 4);
    std::memcpy(&out, &address, sizeof address);
    return sizeof address;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  std::memcpy(&address.sin6_addr, endpoint.address.bytes().data(), 16);
  std::memcpy(&out, &address, sizeof address);
  return sizeof address;
}

Endpoint from_sockaddr(const sockaddr_storage& from) noexcept {
  if (from.ss_family == AF_INET) {
    sockaddr_in address;
    std::memcpy(&address, &from, sizeof address);
    return {IpAddress::v4(ntohl(address.sin_addr.s_addr)), ntohs(address.sin_port)};
  }
  sockaddr_in6 address;
  std::memcpy(&address, &from, sizeof address);
  return {IpAddress::from_bytes({address.sin6_addr.s6_addr, 16}).value_or(IpAddress{}), ntohs(address.sin6_port)};
}

Result<void> prepare_socket(int fd, IpFamily family) {
  struct Option {
    int level, name, value;
    const char* text;
  };
  // DF stays clear on the outer header (PMTUDISC_DONT), so that the kernel and routers may fragment what does not fit:
  // RFC 4301 §8.1 allows set, clear or copy. The MTU of the device keeps packets below the path's; where it does not (a
  // path that shrinks, a peer that lies in ICMP), fragments still arrive while black-holed packets would not.
  static constexpr Option v4_options[] = {
      {IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO"},
      {IPPROTO_IP, IP_RECVTOS, 1, "IP_RECVTOS"},
      {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT, "IP_MTU_DISCOVER"},
  };
  static constexpr Option v6_options[] = {
      {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"},
      {IPPROTO_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS"},
      {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT, "IPV6_MTU_DISCOVER"},
  };
  const auto options =
      family == IpFamily::v4 ? std::span<const Option>(v4_options) : std::span<const Option>(v6_options);
  for (const auto& option : options) {
    if (auto set = set_option(fd, option.level, option.name, option.value, option.text); !set) return set;
  }
  // Room for bursts: a batch of 64 that waits behind a busy core. With CAP_NET_ADMIN beyond rmem_max, else as much as
  // it allows.
  constexpr int buffer_len = 4 * 1024 * 1024;
  for (const auto& [force, plain] : {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}}) {
    if (::setsockopt(fd, SOL_SOCKET, force, &buffer_len, sizeof buffer_len) != 0) {
      [[maybe_unused]] const int ignored = ::setsockopt(fd, SOL_SOCKET, plain, &buffer_len, sizeof buffer_len);
    }
  }
  return {};
}

}  // namespace culvert::tunnel

#include "socket_batch.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace culvert::tunnel {
namespace {

constexpr std::size_t max_segments = 64;        // linux/include/linux/udp.h: UDP_MAX_SEGMENTS, later kernels take 128
constexpr std::size_t max_message_len = 65507;  // 65,535 bytes less the IPv4 and UDP headers
constexpr unsigned batches_without_segmentation = 1024;

/// What the kernel says when this message cannot be cut on its way: no checksum offload on the route's device (EIO), a
/// segment beyond the MTU (EINVAL, EMSGSIZE), no such option (ENOPROTOOPT, EOPNOTSUPP).
bool refuses_segmentation(int error) noexcept {
  return error == EIO || error == EINVAL || error == EMSGSIZE || error == ENOPROTOOPT || error == EOPNOTSUPP;
}

/// Reads local address, TOS and segment length from the control messages of one datagram.
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
    } else if (message->cmsg_level == SOL_UDP && message->cmsg_type == UDP_GRO) {
      int segment_len = 0;
      std::memcpy(&segment_len, data, sizeof segment_len);
      if (segment_len > 0) slot.segment_len = static_cast<std::size_t>(segment_len);
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

SocketBatch::SocketBatch() : headers_{}, vectors_{}, addresses_{}, controls_{}, runs_{} {}

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
    slot.len = slot.segment_len = headers_[i].msg_len;
    slot.truncated = (headers_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    slot.remote = from_sockaddr(addresses_[i]);
    slot.local = IpAddress{};
    slot.tos = 0;
    read_control(headers_[i].msg_hdr, slot);
  }
  return static_cast<std::size_t>(received);
}

/// The items of a run as one message; each keeps its own place in vectors_.
void SocketBatch::prepare_send(std::size_t message, IpFamily family, std::span<const SendItem> items,
                               Run run) noexcept {
  for (std::size_t i = run.first; i < std::size_t{run.first} + run.count; ++i) {
    vectors_[i] = {const_cast<std::uint8_t*>(items[i].bytes.data()), items[i].bytes.size()};
  }
  const SendItem& item = items[run.first];
  msghdr& header = headers_[message].msg_hdr;
  header = msghdr{.msg_name = &addresses_[message],
                  .msg_namelen = to_sockaddr(item.remote, addresses_[message]),
                  .msg_iov = &vectors_[run.first],
                  .msg_iovlen = run.count,
                  .msg_control = controls_[message].bytes.data(),
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
  if (run.count > 1) add_control(header, SOL_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(item.bytes.size()));
}

std::size_t run_length(std::span<const SendItem> items) noexcept {
  const SendItem& first = items[0];
  std::size_t total = first.bytes.size(), count = 1;
  for (; count < std::min(items.size(), max_segments); ++count) {
    const SendItem& next = items[count];
    if (next.bytes.size() > first.bytes.size() || next.tos != first.tos) break;
    if (total + next.bytes.size() > max_message_len) break;
    if (next.remote != first.remote || next.local != first.local) break;
    total += next.bytes.size();
    if (next.bytes.size() < first.bytes.size()) return count + 1;
  }
  return count;
}

std::size_t SocketBatch::send(int fd, IpFamily family, Segmentation segmentation, std::span<SendItem> items) noexcept {
  const bool join = segmentation == Segmentation::udp && without_segmentation_ == 0;
  if (segmentation == Segmentation::udp && !join) --without_segmentation_;
  std::size_t num_sent = 0;
  while (!items.empty()) {
    const auto batch = items.first(std::min(items.size(), socket_batch_size));
    num_sent += send_runs(fd, family, join, batch);
    items = items.subspan(batch.size());
  }
  return num_sent;
}

std::size_t SocketBatch::send_runs(int fd, IpFamily family, bool join, std::span<SendItem> items) noexcept {
  std::size_t num_runs = 0;
  for (std::size_t at = 0; at < items.size(); at += runs_[num_runs++].count) {
    const std::size_t count = join ? run_length(items.subspan(at)) : 1;
    runs_[num_runs] = {static_cast<std::uint8_t>(at), static_cast<std::uint8_t>(count)};
    prepare_send(num_runs, family, items, runs_[num_runs]);
  }
  std::size_t num_sent = 0;
  for (std::size_t done = 0; done < num_runs;) {
    const int sent = ::sendmmsg(fd, headers_.data() + done, static_cast<unsigned>(num_runs - done), MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return num_sent;
    if (sent <= 0) {
      if (runs_[done].count > 1 && refuses_segmentation(errno)) {
        if (errno == EIO) without_segmentation_ = batches_without_segmentation;
        return num_sent + send_runs(fd, family, false, items.subspan(runs_[done].first));
      }
      ++done;  // refused (no route, source address gone, too long): the others may still go
      continue;
    }
    for (const Run run : std::span(runs_).subspan(done, static_cast<std::size_t>(sent))) {
      for (SendItem& item : items.subspan(run.first, run.count)) item.sent = true;
      num_sent += run.count;
    }
    done += static_cast<std::size_t>(sent);
  }
  return num_sent;
}

int SocketBatch::send_one(int fd, IpFamily family, const SendItem& item) noexcept {
  prepare_send(0, family, {&item, 1}, {0, 1});
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
  // DF stays clear on the outer header (PMTUDISC_OMIT), so that the kernel and routers may fragment what does not fit:
  // RFC 4301 §8.1 allows set, clear or copy. The MTU of the device keeps packets below the path's; where it does not (a
  // path that shrinks, a peer that lies in ICMP), fragments still arrive while black-holed packets would not.
  // OMIT, and not DONT: the kernel's cache of path MTUs, which anybody's ICMP may fill, has no say in where it cuts.
  static constexpr Option v4_options[] = {
      {IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO"},
      {IPPROTO_IP, IP_RECVTOS, 1, "IP_RECVTOS"},
      {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT, "IP_MTU_DISCOVER"},
  };
  static constexpr Option v6_options[] = {
      {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"},
      {IPPROTO_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS"},
      {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT, "IPV6_MTU_DISCOVER"},
  };
  const auto options =
      family == IpFamily::v4 ? std::span<const Option>(v4_options) : std::span<const Option>(v6_options);
  for (const auto& option : options) {
    if (auto set = set_option(fd, option.level, option.name, option.value, option.text); !set) return set;
  }
  // Room for bursts: a batch of 64 that waits behind a busy core; the kernel doubles it. Not more: what queues here has
  // left the caches when its turn comes. With CAP_NET_ADMIN beyond rmem_max, else as much as it allows.
  constexpr int buffer_len = 2 * 1024 * 1024;
  for (const auto& [force, plain] : {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}}) {
    if (::setsockopt(fd, SOL_SOCKET, force, &buffer_len, sizeof buffer_len) != 0) {
      [[maybe_unused]] const int ignored = ::setsockopt(fd, SOL_SOCKET, plain, &buffer_len, sizeof buffer_len);
    }
  }
  return {};
}

void set_dont_fragment(int fd, IpFamily family, bool on) noexcept {
  const bool v4 = family == IpFamily::v4;
  const int value = v4 ? (on ? IP_PMTUDISC_PROBE : IP_PMTUDISC_OMIT) : (on ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_OMIT);
  [[maybe_unused]] const int ignored = ::setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
                                                    v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &value, sizeof value);
}

void join_datagrams(int fd) noexcept {
  const int one = 1;
  [[maybe_unused]] const int ignored = ::setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof one);
}

}  // namespace culvert::tunnel

#include "icmp_echo_linux.h"

#include <netinet/in.h>
// The kernel's own headers behind the C library's, or they would stand in their way.
#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "culvert/wire/checksum.h"
#include "culvert/wire/icmp.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/protocol.h"

namespace culvert::daemon {
namespace {

constexpr std::uint8_t icmp_echo_request = 8, icmpv6_echo_request = 128, icmpv6_echo_reply = 129;
constexpr int looks = 64;

template <class T>
bool set_option(int fd, int level, int name, const T& value) noexcept {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

bool attach(int fd, std::span<sock_filter> code) noexcept {
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  return set_option(fd, SOL_SOCKET, SO_ATTACH_FILTER, program) && set_option(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
}

/// Every raw socket sees every reply of the machine: those with another identifier do not wake us.
bool want_only(int fd, IpFamily family, std::uint16_t id) noexcept {
  if (family == IpFamily::v4) {
    std::array code{sock_filter{BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0},  // X: length of the IP header
                    sock_filter{BPF_LD | BPF_H | BPF_IND, 0, 0, 4}, sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, id},
                    sock_filter{BPF_RET | BPF_K, 0, 0, 0x40000}, sock_filter{BPF_RET | BPF_K, 0, 0, 0}};
    icmp_filter replies{};
    replies.data = ~(1U << ICMP_ECHOREPLY);
    return attach(fd, code) && set_option(fd, SOL_RAW, ICMP_FILTER, replies) &&
           set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  }
  std::array code{sock_filter{BPF_LD | BPF_H | BPF_ABS, 0, 0, 4}, sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, id},
                  sock_filter{BPF_RET | BPF_K, 0, 0, 0x40000}, sock_filter{BPF_RET | BPF_K, 0, 0, 0}};
  icmp6_filter replies{};
  ICMP6_FILTER_SETBLOCKALL(&replies);
  ICMP6_FILTER_SETPASS(icmpv6_echo_reply, &replies);
  return attach(fd, code) && set_option(fd, IPPROTO_ICMPV6, ICMP6_FILTER, replies) &&
         set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

int open_raw(IpFamily family, std::uint16_t id) noexcept {
  const bool v4 = family == IpFamily::v4;
  const int fd = ::socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                          v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6));
  if (fd < 0 || want_only(fd, family, id)) return fd;
  ::close(fd);
  return -1;
}

int came_in_by(msghdr& message) noexcept {
  for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
    if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      return info.ipi_ifindex;
    }
    if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      return static_cast<int>(info.ipi6_ifindex);
    }
  }
  return 0;
}

IpAddress came_from(const sockaddr_storage& from) noexcept {
  if (from.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &from, sizeof v4);
    return IpAddress::v4(ntohl(v4.sin_addr.s_addr));
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &from, sizeof v6);
  return IpAddress::from_bytes({v6.sin6_addr.s6_addr, 16}).value_or(IpAddress{});
}

}  // namespace

IcmpEcho IcmpEcho::open() {
  IcmpEcho echo;
  ::randombytes_buf(echo.key_.data(), echo.key_.size());
  ::randombytes_buf(&echo.id_, sizeof echo.id_);
  echo.v4_ = open_raw(IpFamily::v4, echo.id_);
  echo.v6_ = open_raw(IpFamily::v6, echo.id_);
  return echo;
}

IcmpEcho::IcmpEcho(IcmpEcho&& other) noexcept
    : v4_(std::exchange(other.v4_, -1)), v6_(std::exchange(other.v6_, -1)), id_(other.id_), key_(other.key_) {}

IcmpEcho::~IcmpEcho() {
  for (const int fd : {v4_, v6_})
    if (fd >= 0) ::close(fd);
}

Bytes IcmpEcho::question(const IpAddress& from, const IpAddress& to, wire::Echo echo, std::size_t len) const {
  const bool v4 = to.is_v4();
  const std::size_t header_len = v4 ? wire::ipv4_min_header_len : wire::ipv6_header_len;
  Bytes packet(std::clamp<std::size_t>(len, v4 ? least_v4 : least_v6, 65000));
  const auto icmp_len = static_cast<std::uint16_t>(packet.size() - header_len);
  std::uint8_t* icmp = packet.data() + header_len;
  icmp[0] = v4 ? icmp_echo_request : icmpv6_echo_request;
  store_be(icmp + 4, id_);
  store_be(icmp + 6, echo.sequence);
  sign(echo);
  echo.write(icmp + wire::icmp_header_len);
  if (v4) {
    wire::Ipv4Header header;
    header.total_len = static_cast<std::uint16_t>(packet.size());
    header.fragment_field = wire::ipv4_df;
    header.protocol = wire::proto_icmp;
    header.source = from;
    header.destination = to;
    header.write(packet.data());
    store_be(icmp + 2, wire::checksum({icmp, icmp_len}));
    return packet;
  }
  wire::Ipv6Header header;
  header.payload_len = icmp_len;
  header.next_header = wire::proto_icmpv6;
  header.hop_limit = 64;
  header.source = from;
  header.destination = to;
  header.write(packet.data());
  store_be(icmp + 2, wire::checksum({icmp, icmp_len}, wire::pseudo_header_sum(from, to, wire::proto_icmpv6, icmp_len)));
  return packet;
}

std::optional<IcmpEcho::Reply> IcmpEcho::receive(IpFamily family) {
  for (int look = 0; look < looks; ++look) {
    std::array<std::uint8_t, 256> bytes;  // the echo stands at the front; the rest is only counted
    alignas(cmsghdr) std::array<std::uint8_t, 128> control;
    sockaddr_storage from{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t len = ::recvmsg(fd(family), &message, MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0) return std::nullopt;
    ByteView there = ByteView(bytes).first(std::min<std::size_t>(static_cast<std::size_t>(len), bytes.size()));
    // IPv4 comes with its header (raw(7)), IPv6 without.
    const std::size_t header_len = family == IpFamily::v4 && !there.empty() ? (there[0] & 0x0FU) * 4U : 0;
    if (there.size() < header_len + wire::icmp_header_len) continue;
    const auto echo = wire::Echo::parse(there.subspan(header_len + wire::icmp_header_len));
    if (!echo || !is_ours(*echo)) continue;
    const std::size_t whole = static_cast<std::size_t>(len) + (family == IpFamily::v6 ? wire::ipv6_header_len : 0);
    return Reply{*echo, came_from(from), came_in_by(message), whole};
  }
  return std::nullopt;
}

/// The hash takes the place of what only answers of a culvert need.
void IcmpEcho::sign(wire::Echo& echo) const noexcept {
  echo.held_us = echo.question_len = 0;
  std::array<std::uint8_t, wire::echo_len> text;
  echo.write(text.data());
  std::array<std::uint8_t, crypto_shorthash_BYTES> hash;
  static_assert(crypto_shorthash_BYTES == 8 && crypto_shorthash_KEYBYTES == 16);
  crypto_shorthash(hash.data(), text.data(), text.size(), key_.data());
  echo.held_us = load_be<std::uint32_t>(hash.data());
  echo.question_len = load_be<std::uint32_t>(hash.data() + 4);
}

bool IcmpEcho::is_ours(const wire::Echo& echo) const noexcept {
  wire::Echo again = echo;
  sign(again);
  return again == echo && echo.type == wire::Echo::Type::question;
}

}  // namespace culvert::daemon

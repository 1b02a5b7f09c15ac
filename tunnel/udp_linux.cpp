#include "udp_linux.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "steering_linux.h"

namespace culvert::tunnel {
namespace {

std::unexpected<Error> fail_at(const Endpoint& local, const std::string& what, int error) {
  const char* hint = error == EADDRINUSE      ? "; another IKE daemon?"
                     : error == EADDRNOTAVAIL ? "; no interface has this address"
                     : error == EACCES        ? "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
                                              : "";
  return fail(Errc::io, "UDP " + local.to_string() + what + ": " + std::strerror(error) + hint, error);
}

Result<FileDescriptor> open_socket(const Endpoint& local) {
  const IpFamily family = local.address.family();
  FileDescriptor fd(
      ::socket(family == IpFamily::v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_at(local, "", errno);
  const int one = 1;
  if (family == IpFamily::v6 && ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0) {
    return fail_at(local, ": IPV6_V6ONLY", errno);
  }
  if (const auto prepared = prepare_socket(fd.get(), family); !prepared) {
    return fail_at(local, ": " + prepared.error().detail, prepared.error().system_error);
  }
  return fd;
}

}  // namespace

/// `num` sockets more, all on `local`.
Result<void> UdpSocket::extend(std::vector<UdpSocket>& group, const Endpoint& local, unsigned num, Joined joined) {
  for (unsigned i = 0; i < num; ++i) {
    auto fd = open_socket(local);
    if (!fd) return std::unexpected(fd.error());
    if (joined == Joined::yes) join_datagrams(fd->get());
    const auto share = [&] {
      const int one = 1;
      return ::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0;
    };
    // The first one binds alone and shares only afterwards: a second daemon of the same user would otherwise slip into
    // the group and silently take its part of the datagrams.
    const bool first = group.empty();
    if (!first && !share()) return fail_at(local, ": SO_REUSEPORT", errno);
    sockaddr_storage address;
    const socklen_t address_len = to_sockaddr(local, address);
    if (::bind(fd->get(), reinterpret_cast<const sockaddr*>(&address), address_len) != 0)
      return fail_at(local, "", errno);
    if (first && !share()) return fail_at(local, ": SO_REUSEPORT", errno);
    group.push_back(UdpSocket(std::move(*fd), local));
  }
  return {};
}

Result<std::vector<UdpSocket>> UdpSocket::open_group(const Endpoint& local, unsigned count) {
  std::vector<UdpSocket> group;
  if (auto opened = extend(group, local, count, Joined::yes); !opened) return std::unexpected(opened.error());
  if (count > 1) [[maybe_unused]]
    const bool ours = steer_by_spi(group[0].fd(), count);
  return group;
}

/// All of a group or none: which one a datagram goes to is a matter of their order. Empty: there are none of them.
Result<std::vector<UdpSocket>> UdpSocket::take(const Endpoint& local, unsigned num, KeptDescriptors& kept) {
  std::vector<UdpSocket> group;
  for (std::size_t i = 0; kept.has(name(local, i)); ++i)
    group.push_back(UdpSocket(FileDescriptor(kept.take(name(local, i))), local));
  if (group.size() != num) return std::vector<UdpSocket>{};
  const int none = 0;
  for (const UdpSocket& socket : group) {
    // What a daemon before us kept back in a flood is not ours to keep back. There may be no filter.
    [[maybe_unused]] const int detached = ::setsockopt(socket.fd(), SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
    if (auto prepared = prepare_socket(socket.fd(), local.address.family()); !prepared)
      return fail_at(local, ": " + prepared.error().detail, prepared.error().system_error);
  }
  return group;
}

std::string UdpSocket::name(const Endpoint& local, std::size_t index) {
  std::string address = local.address.to_string();
  std::ranges::replace(address, ':', '_');
  return "udp." + std::to_string(local.port) + "." + std::to_string(index) + "." + address;
}

Result<UdpSocket::NatGroup> UdpSocket::open_nat_group(const Endpoint& local, unsigned num_workers,
                                                      KeptDescriptors& kept) {
  NatGroup group;
  auto taken = take(local, num_workers + 2, kept);
  if (!taken) return std::unexpected(taken.error());
  group.workers = std::move(*taken);
  if (group.workers.empty()) {
    if (auto opened = extend(group.workers, local, num_workers, Joined::yes); !opened)
      return std::unexpected(opened.error());
    if (auto opened = extend(group.workers, local, 2, Joined::no); !opened) return std::unexpected(opened.error());
  }
  const bool steered = steer_nat_port(group.workers[0].fd(), num_workers);
  if (steered) {
    for (std::size_t i = num_workers; i < group.workers.size(); ++i) group.ike.push_back(std::move(group.workers[i]));
  }
  group.workers.erase(group.workers.begin() + num_workers, group.workers.end());
  if (!steered && num_workers > 1) [[maybe_unused]]
    const bool ours = steer_by_spi(group.workers[0].fd(), num_workers);
  return group;
}

Result<std::vector<UdpSocket>> UdpSocket::open_ike_group(const Endpoint& local, KeptDescriptors& kept) {
  auto group = take(local, 2, kept);
  if (!group) return group;
  if (group->empty())
    if (auto opened = extend(*group, local, 2, Joined::no); !opened) return std::unexpected(opened.error());
  if (!steer_ike_port((*group)[0].fd())) group->pop_back();
  return group;
}

}  // namespace culvert::tunnel

#include "lab_namespace.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/ipv6.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace culvert::lab {
namespace {

[[noreturn]] void fail_with(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

class ConfigSocket {
 public:
  explicit ConfigSocket(int family) : fd_(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}
  ~ConfigSocket() { ::close(fd_); }
  void bring_up(const std::string& device) const {
    ifreq request{};
    device.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(fd_, SIOCGIFFLAGS, &request) != 0) fail_with("flags of " + device);
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (::ioctl(fd_, SIOCSIFFLAGS, &request) != 0) fail_with("up " + device);
  }
  void add_ipv6(const char* device, const char* address) const {
    in6_ifreq request{};
    ::inet_pton(AF_INET6, address, &request.ifr6_addr);
    request.ifr6_prefixlen = 128;
    request.ifr6_ifindex = static_cast<int>(::if_nametoindex(device));
    if (::ioctl(fd_, SIOCSIFADDR, &request) != 0 && errno != EEXIST) fail_with(std::string("address ") + address);
  }

 private:
  int fd_;
};

socklen_t to_kernel(const Endpoint& endpoint, sockaddr_storage& out) {
  std::memset(&out, 0, sizeof out);
  if (endpoint.address.is_v4()) {
    auto& address = reinterpret_cast<sockaddr_in&>(out);
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, endpoint.address.bytes().data(), 4);
    return sizeof address;
  }
  auto& address = reinterpret_cast<sockaddr_in6&>(out);
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  std::memcpy(&address.sin6_addr, endpoint.address.bytes().data(), 16);
  return sizeof address;
}

bool wait_readable(int fd, std::chrono::milliseconds patience) {
  pollfd poll{fd, POLLIN, 0};
  return ::poll(&poll, 1, static_cast<int>(patience.count())) == 1;
}

}  // namespace

bool enter_namespace() {
  static const bool entered = [] {
    if (::geteuid() != 0) return false;
    if (::unshare(CLONE_NEWNET) != 0) fail_with("unshare");
    const ConfigSocket v4(AF_INET), v6(AF_INET6);
    v4.bring_up("lo");
    v6.add_ipv6("lo", "fd00::1");
    v6.add_ipv6("lo", "fd00::2");
    return true;
  }();
  return entered;
}

void set_up(const std::string& device) {
  std::ofstream("/proc/sys/net/ipv6/conf/" + device + "/disable_ipv6") << "1\n";
  ConfigSocket(AF_INET).bring_up(device);
}

bool device_exists(const std::string& device) {
  return ::if_nametoindex(device.c_str()) != 0;
}

void delete_device(const std::string& device) {
  if (std::system(("ip link del dev " + device).c_str()) != 0) throw std::runtime_error("ip link del " + device);
}

DeviceEnd::DeviceEnd(const std::string& device)
    : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))),
      index_(static_cast<int>(::if_nametoindex(device.c_str()))) {
  if (fd_ < 0) fail_with("AF_PACKET");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = index_;
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail_with("AF_PACKET on " + device);
  const int len = 8 * 1024 * 1024;
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &len, sizeof len);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &len, sizeof len);
  const int one = 1;
  if (::setsockopt(fd_, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0) fail_with("PACKET_VNET_HDR");
}

DeviceEnd::~DeviceEnd() {
  ::close(fd_);
}

void DeviceEnd::send(ByteView ip_packet) const {
  send({}, ip_packet);
}

void DeviceEnd::send(const OffloadedPacket& packet) const {
  send(packet.offload, packet.bytes);
}

void DeviceEnd::send(KernelOffload offload, ByteView ip_packet) const {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ip_packet[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6);
  address.sll_ifindex = index_;
  std::array<iovec, 2> parts{
      {{&offload, sizeof offload}, {const_cast<std::uint8_t*>(ip_packet.data()), ip_packet.size()}}};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  while (::sendmsg(fd_, &message, 0) < 0) {
    if (errno != ENOBUFS && errno != EAGAIN) fail_with("send into the device");
    std::this_thread::yield();
  }
}

std::optional<Bytes> DeviceEnd::receive(std::chrono::milliseconds patience) const {
  auto packet = receive_offloaded(patience);
  if (!packet) return std::nullopt;
  return std::move(packet->bytes);
}

std::optional<OffloadedPacket> DeviceEnd::receive_offloaded(std::chrono::milliseconds patience) const {
  const auto until = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() < 0 || !wait_readable(fd_, left)) return std::nullopt;
    OffloadedPacket packet;
    packet.bytes.resize(65536);
    std::array<iovec, 2> parts{{{&packet.offload, sizeof packet.offload}, {packet.bytes.data(), packet.bytes.size()}}};
    sockaddr_ll from{};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t len = ::recvmsg(fd_, &message, MSG_DONTWAIT);
    if (len < static_cast<ssize_t>(sizeof packet.offload)) continue;
    if (from.sll_pkttype == PACKET_OUTGOING) continue;  // what we sent ourselves
    packet.bytes.resize(static_cast<std::size_t>(len) - sizeof packet.offload);
    return packet;
  }
}

std::vector<Bytes> DeviceEnd::receive_cut(std::size_t num, std::chrono::milliseconds patience) const {
  std::vector<Bytes> packets;
  while (packets.size() < num) {
    const auto packet = receive_offloaded(patience);
    if (!packet) break;
    for (Bytes& segment : cut_by_the_book(*packet)) packets.push_back(std::move(segment));
  }
  return packets;
}

UdpEnd::UdpEnd(const Endpoint& local)
    : fd_(::socket(local.address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  sockaddr_storage address;
  const socklen_t len = to_kernel(local, address);
  if (fd_ < 0 || ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), len) != 0)
    fail_with("UDP " + local.to_string());
  const int one = 1;
  ::setsockopt(fd_, IPPROTO_IP, IP_RECVTOS, &one, sizeof one);
}

UdpEnd::~UdpEnd() {
  ::close(fd_);
}

void UdpEnd::send(const Endpoint& remote, ByteView bytes, std::uint8_t tos) const {
  const int value = tos;
  ::setsockopt(fd_, IPPROTO_IP, IP_TOS, &value, sizeof value);
  sockaddr_storage address;
  const socklen_t len = to_kernel(remote, address);
  if (::sendto(fd_, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&address), len) < 0)
    fail_with("sendto");
}

void UdpEnd::send_joined(const Endpoint& remote, const std::vector<Bytes>& datagrams) const {
  Bytes bytes;
  for (const Bytes& datagram : datagrams) append(bytes, datagram);
  const int segment_len = static_cast<int>(datagrams[0].size()), none = 0;
  if (::setsockopt(fd_, SOL_UDP, UDP_SEGMENT, &segment_len, sizeof segment_len) != 0) fail_with("UDP_SEGMENT");
  send(remote, bytes);
  ::setsockopt(fd_, SOL_UDP, UDP_SEGMENT, &none, sizeof none);
}

std::optional<UdpEnd::Received> UdpEnd::receive(std::chrono::milliseconds patience) const {
  if (!wait_readable(fd_, patience)) return std::nullopt;
  Received received;
  received.bytes.resize(65536);
  sockaddr_storage from{};
  iovec vector{received.bytes.data(), received.bytes.size()};
  alignas(cmsghdr) std::array<std::uint8_t, 64> control;
  msghdr header{};
  header.msg_name = &from;
  header.msg_namelen = sizeof from;
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t len = ::recvmsg(fd_, &header, 0);
  if (len < 0) return std::nullopt;
  received.bytes.resize(static_cast<std::size_t>(len));
  for (auto* message = CMSG_FIRSTHDR(&header); message; message = CMSG_NXTHDR(&header, message)) {
    if (message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_TOS) received.tos = *CMSG_DATA(message);
  }
  if (from.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
    received.remote = {IpAddress::v4(ntohl(v4.sin_addr.s_addr)), ntohs(v4.sin_port)};
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
    received.remote = {*IpAddress::from_bytes({v6.sin6_addr.s6_addr, 16}), ntohs(v6.sin6_port)};
  }
  return received;
}

Bytes udp_packet(const IpAddress& source, const IpAddress& destination, std::uint32_t number, std::size_t len,
                 bool dont_fragment) {
  Bytes packet;
  Writer writer(packet);
  const auto udp_len = static_cast<std::uint16_t>(8 + len);
  if (source.is_v4()) {
    writer.u16(0x4500);
    writer.u16(static_cast<std::uint16_t>(20 + udp_len));
    writer.u16(static_cast<std::uint16_t>(number));
    writer.u16(dont_fragment ? 0x4000 : 0);
    writer.u16(0x4011);  // TTL 64, UDP
    writer.u16(0);
    writer.bytes(source.bytes());
    writer.bytes(destination.bytes());
    store_be(&packet[10], internet_checksum(packet));
  } else {
    writer.u32(0x60000000);
    writer.u16(udp_len);
    writer.u16(0x1140);  // UDP, hop limit 64
    writer.bytes(source.bytes());
    writer.bytes(destination.bytes());
  }
  writer.u16(static_cast<std::uint16_t>(1024 + number % 1000));
  writer.u16(7);
  writer.u16(udp_len);
  writer.u16(0);  // no checksum: nobody here looks at it
  const std::size_t payload_at = packet.size();
  for (std::size_t i = 0; i < len; ++i) writer.u8(static_cast<std::uint8_t>(number * 31 + i));
  if (len >= 4) store_be(&packet[payload_at], number);
  return packet;
}

Bytes with_tos(Bytes ipv4_packet, std::uint8_t tos) {
  ipv4_packet[1] = tos;
  store_be(&ipv4_packet[10], std::uint16_t{0});
  store_be(&ipv4_packet[10], internet_checksum(ByteView(ipv4_packet).first(20)));
  return ipv4_packet;
}

Bytes with_ports(Bytes packet, std::uint16_t source, std::uint16_t destination) {
  const std::size_t at = packet[0] >> 4 == 4 ? 20 : 40;
  store_be(&packet[at], source);
  store_be(&packet[at + 2], destination);
  return packet;
}

std::uint32_t number_of(ByteView ip_packet) {
  const std::size_t payload_at = (ip_packet[0] >> 4 == 4 ? 20 : 40) + 8;
  return ip_packet.size() >= payload_at + 4 ? load_be<std::uint32_t>(&ip_packet[payload_at]) : 0xFFFFFFFF;
}

}  // namespace culvert::lab

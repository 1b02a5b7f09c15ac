#include "segmentation_path.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "super_packet.h"

namespace culvert::lab {
namespace {

using tunnel::Offload;

// Linux 6.2; Debian 12's headers are of 6.1.
constexpr unsigned tun_f_uso4 = 0x20, tun_f_uso6 = 0x40;

constexpr std::uint8_t gso_ecn = 0x80;  // VIRTIO_NET_HDR_GSO_ECN

[[noreturn]] void fail_with(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void run(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error(command);
}

void set(const std::string& name, int value) {
  std::ofstream file("/proc/sys/net/" + name);
  file << value << "\n";
}

std::uint8_t gso_type(const SuperPacket& packet) {
  std::uint8_t type = KernelOffload::none;
  if (packet.offload.kind == Offload::Kind::udp) type = KernelOffload::udp;
  if (packet.offload.kind == Offload::Kind::tcp) {
    type = packet.packet[0] >> 4 == 4 ? KernelOffload::tcp4 : KernelOffload::tcp6;
  }
  return packet.ecn ? type | gso_ecn : type;
}

}  // namespace

OffloadTun::OffloadTun(const char* name) : fd_(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
  if (fd_ < 0) fail_with("/dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd_, TUNSETIFF, &request) != 0) fail_with(name);
  const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  takes_udp_ = ::ioctl(fd_, TUNSETOFFLOAD, tcp | tun_f_uso4 | tun_f_uso6) == 0;
  if (!takes_udp_ && ::ioctl(fd_, TUNSETOFFLOAD, tcp) != 0) fail_with("TUNSETOFFLOAD");
}

OffloadTun::~OffloadTun() {
  ::close(fd_);
}

void OffloadTun::write(const SuperPacket& packet) const {
  KernelOffload header;
  header.gso_type = gso_type(packet);
  if (packet.offload.kind != Offload::Kind::none) header.gso_size = packet.offload.segment_len;
  header.hdr_len = packet.offload.header_len;
  if (packet.offload.needs_checksum) {
    header.flags = KernelOffload::needs_csum;
    header.csum_start = packet.offload.checksum_start;
    header.csum_offset = packet.offload.checksum_offset;
  }
  iovec parts[2] = {{&header, sizeof header}, {const_cast<std::uint8_t*>(packet.packet.data()), packet.packet.size()}};
  if (::writev(fd_, parts, 2) < 0) fail_with("a super-packet into the TUN device");
}

std::optional<SuperPacket> OffloadTun::read(std::chrono::milliseconds patience) const {
  pollfd poll{fd_, POLLIN, 0};
  if (::poll(&poll, 1, static_cast<int>(patience.count())) != 1) return std::nullopt;
  KernelOffload header;
  SuperPacket result;
  result.packet.resize(70000);
  iovec parts[2] = {{&header, sizeof header}, {result.packet.data(), result.packet.size()}};
  const ssize_t len = ::readv(fd_, parts, 2);
  if (len < static_cast<ssize_t>(sizeof header)) return std::nullopt;
  result.packet.resize(static_cast<std::size_t>(len) - sizeof header);
  result.ecn = (header.gso_type & gso_ecn) != 0;
  switch (header.gso_type & ~gso_ecn) {
    case KernelOffload::tcp4:
    case KernelOffload::tcp6:
      result.offload.kind = Offload::Kind::tcp;
      break;
    case KernelOffload::udp:
      result.offload.kind = Offload::Kind::udp;
      break;
    default:
      break;
  }
  result.offload.needs_checksum = (header.flags & KernelOffload::needs_csum) != 0;
  result.offload.segment_len = header.gso_size;
  result.offload.header_len = header.hdr_len;
  result.offload.checksum_start = header.csum_start;
  result.offload.checksum_offset = header.csum_offset;
  return result;
}

// SOCK_DGRAM: without the frame's header.
DeviceTap::DeviceTap(const char* device) : fd_(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  if (fd_ < 0) fail_with("AF_PACKET");
  const int len = 16 * 1024 * 1024;
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &len, sizeof len);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(device));
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail_with(device);
}

DeviceTap::~DeviceTap() {
  ::close(fd_);
}

std::optional<Bytes> DeviceTap::receive(std::chrono::milliseconds patience) const {
  pollfd poll{fd_, POLLIN, 0};
  if (::poll(&poll, 1, static_cast<int>(patience.count())) != 1) return std::nullopt;
  Bytes packet(65536);
  const ssize_t len = ::recv(fd_, packet.data(), packet.size(), MSG_DONTWAIT);
  packet.resize(len < 0 ? 0 : static_cast<std::size_t>(len));
  return packet;
}

SegmentationPath::EnterNamespace::EnterNamespace() {
  if (::unshare(CLONE_NEWNET) != 0) fail_with("unshare");
  // No link-local addresses: their chatter would mix with the packets of the test.
  set("ipv6/conf/default/addr_gen_mode", 1);
  set("ipv6/conf/default/accept_dad", 0);
  set("ipv6/conf/default/router_solicitations", 0);
}

SegmentationPath::SegmentationPath() {
  run("ip link add sgveth type veth peer name sgend");
  // Without scatter-gather and checksums there is no offload that the device could keep.
  run("ethtool -K sgveth tx off sg off tso off gso off >/dev/null 2>&1");
  for (const char* device : {"sgin", "sgout", "sgveth", "sgend"}) {
    const std::string name = device;
    run("ip link set " + name + " mtu 65535 up");
    set("ipv4/conf/" + name + "/rp_filter", 0);
    set("ipv4/conf/" + name + "/accept_source_route", 1);
  }
  set("ipv4/conf/all/rp_filter", 0);
  set("ipv4/conf/all/accept_source_route", 1);
  set("ipv4/ip_forward", 1);
  set("ipv6/conf/all/forwarding", 1);
  run("ip address add 192.0.2.1/30 dev sgveth");
  run("ip -6 address add 2001:db8::1/126 dev sgveth");
  run("ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev sgveth nud permanent");
  run("ip -6 neighbour add 2001:db8::2 lladdr 02:00:00:00:00:02 dev sgveth nud permanent");
  veth_tap_.emplace("sgveth");
}

void SegmentationPath::route_by(Exit exit) const {
  const bool veth = exit == Exit::veth;
  run(std::string("ip route replace 10.0.0.0/8 ") + (veth ? "via 192.0.2.2" : "dev sgout"));
  run(std::string("ip -6 route replace fd00::/8 ") + (veth ? "via 2001:db8::2" : "dev sgout"));
}

namespace {

constexpr std::chrono::milliseconds patience(5000);

/// Not the neighbour discovery of the namespace itself.
bool is_inner(ByteView packet) {
  if (packet.size() < 20) return false;
  return packet[0] >> 4 == 4 ? packet[12] == 10 : packet[8] == 0xFD;
}

}  // namespace

std::vector<Bytes> SegmentationPath::cut_by_the_kernel(std::size_t count) const {
  std::vector<Bytes> packets;
  while (packets.size() < count) {
    auto packet = veth_tap_->receive(patience);
    if (!packet) break;
    if (is_inner(*packet)) packets.push_back(std::move(*packet));
  }
  return packets;
}

std::optional<SuperPacket> SegmentationPath::in_one_piece() const {
  for (;;) {
    auto packet = out_.read(patience);
    if (!packet || is_inner(packet->packet)) return packet;
  }
}

}  // namespace culvert::lab

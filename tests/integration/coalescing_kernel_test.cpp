// Joined by us, cut again by the kernel: TUN with IFF_VNET_HDR → routed → TUN without offloads.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <system_error>

#include "coalescing_streams.h"
#include "super_packet.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::lab;

namespace {

// <linux/if_tun.h> of Linux 6.2, which older headers do not have.
constexpr unsigned tun_f_uso4 = 0x20, tun_f_uso6 = 0x40;

int check(int result, const std::string& what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

void write_setting(const std::string& path, const char* value) {
  std::ofstream file("/proc/sys/net/" + path);
  file << value << std::flush;
  if (!file) throw std::runtime_error("cannot set " + path);
}

/// A network namespace for one test, that routes. The thread is back in the one before afterwards.
class RoutingNamespace {
 public:
  RoutingNamespace() : before_(check(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "namespace")) {
    check(::unshare(CLONE_NEWNET), "unshare");
    write_setting("ipv4/ip_forward", "1");
    write_setting("ipv6/conf/all/forwarding", "1");
    for (const char* which : {"all", "default"}) {
      write_setting(std::string("ipv4/conf/") + which + "/rp_filter", "0");
      write_setting(std::string("ipv6/conf/") + which + "/accept_dad", "0");
    }
    write_setting("ipv6/conf/default/addr_gen_mode", "1");  // no link-local address, and so hardly any chatter
  }
  ~RoutingNamespace() {
    (void)::setns(before_, CLONE_NEWNET);
    ::close(before_);
  }
  RoutingNamespace(const RoutingNamespace&) = delete;
  RoutingNamespace& operator=(const RoutingNamespace&) = delete;

 private:
  int before_;
};

class Tun {
 public:
  Tun(const char* name, bool vnet_header) : fd_(check(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), "tun")) {
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | (vnet_header ? IFF_VNET_HDR : 0));
    check(::ioctl(fd_, TUNSETIFF, &request), name);
    const std::string command = std::string("ip link set ") + name + " mtu 9100 up txqueuelen 5000";
    if (std::system(command.c_str()) != 0) throw std::runtime_error(command);
  }
  ~Tun() { ::close(fd_); }
  Tun(const Tun&) = delete;
  Tun& operator=(const Tun&) = delete;

  /// Whether the kernel cuts UDP super-packets (Linux ≥ 6.2).
  [[nodiscard]] bool takes_udp() const {
    const bool takes = ::ioctl(fd_, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | tun_f_uso4 | tun_f_uso6) == 0;
    check(::ioctl(fd_, TUNSETOFFLOAD, 0), "TUNSETOFFLOAD");
    return takes;
  }

  /// errno, or 0.
  [[nodiscard]] int write(const JoinedPacket& joined) const {
    KernelOffload header;
    const Offload& offload = joined.offload;
    if (offload.kind != Offload::Kind::none) {
      const bool v6 = *static_cast<const std::uint8_t*>(joined.parts[1].iov_base) >> 4 == 6;
      header.gso_type = offload.kind == Offload::Kind::udp ? KernelOffload::udp
                        : v6                               ? KernelOffload::tcp6
                                                           : KernelOffload::tcp4;
      header.gso_size = offload.segment_len;
      header.hdr_len = offload.header_len;
    }
    if (offload.needs_checksum) {
      header.flags = KernelOffload::needs_csum;
      header.csum_start = offload.checksum_start;
      header.csum_offset = offload.checksum_offset;
    }
    joined.parts[0] = {&header, sizeof header};
    const ssize_t written = ::writev(fd_, joined.parts.data(), static_cast<int>(joined.parts.size()));
    if (written < 0) return errno;
    return written == static_cast<ssize_t>(sizeof header + joined.len) ? 0 : EIO;
  }

  /// Waits a while for `num` packets, and takes all that is there, but what the kernel says of its own accord.
  [[nodiscard]] std::vector<Bytes> read_all(std::size_t num) const {
    std::vector<Bytes> packets;
    for (Bytes packet(65536);; packet.resize(65536)) {
      pollfd poll{fd_, POLLIN, 0};
      if (packets.size() < num && ::poll(&poll, 1, 2000) != 1) return packets;
      const ssize_t len = ::read(fd_, packet.data(), packet.size());
      if (len < 0) return packets;
      packet.resize(static_cast<std::size_t>(len));
      const bool ours = packet[0] >> 4 == 4 ? packet[16] == 10 : packet[24] == 0xFD;
      if (ours) packets.push_back(packet);
    }
  }

 private:
  int fd_;
};

struct Lab {
  RoutingNamespace routing;
  Tun in{"coalin", true}, out{"coalout", false};
  std::unique_ptr<Coalescer> coalescer = std::make_unique<Coalescer>();
  Coalescer::Accepts accepts{.tcp = true, .udp = in.takes_udp()};
  std::size_t num_in = 0, num_written = 0;

  Lab() {
    for (const char* command : {"ip route add 10.2.0.0/16 dev coalout", "ip -6 route add fd00:2::/32 dev coalout"}) {
      if (std::system(command) != 0) throw std::runtime_error(command);
    }
    if (!accepts.udp) MESSAGE("this kernel does not cut UDP super-packets: UDP passes unjoined");
  }

  void pass(const std::vector<Bytes>& batch) {
    std::vector<Bytes> copies = batch, expected;
    const std::vector<MutableByteView> views(copies.begin(), copies.end());
    for (const JoinedPacket& joined : coalescer->join(views, accepts)) {
      const int error = in.write(joined);
      REQUIRE(error == 0);
      ++num_written;
    }
    num_in += batch.size();
    for (const Bytes& packet : batch) {
      if (router_forwards(packet)) expected.push_back(one_hop_further(packet));
    }
    REQUIRE(compare_by_flow(expected, out.read_all(expected.size())) == "");
  }

  void pass(std::uint32_t seed, const Streams::Shape& shape, int num_batches) {
    CAPTURE(seed);
    Streams streams(seed, shape);
    for (int i = 0; i < num_batches; ++i) pass(streams.next_batch());
  }
};

}  // namespace

TEST_CASE("coalescing: random streams come out of a routing kernel as they went in") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: not root");
    return;
  }
  Lab lab;
  for (std::uint32_t seed = 100; seed < 140; ++seed) {
    lab.pass(seed, {.num_flows = 1 + seed % 8, .trouble_per_mille = 50}, 5);
    lab.pass(seed, {.num_flows = 1 + seed % 4, .trouble_per_mille = 500, .max_payload_len = 40}, 20);
    lab.pass(seed, {.num_flows = 30, .switch_per_mille = 900, .max_payload_len = 200}, 10);
    lab.pass(seed, {.num_flows = 2, .trouble_per_mille = 5, .max_payload_len = 9000}, 3);
  }
  CHECK(lab.num_written < lab.num_in * 2 / 3);
}

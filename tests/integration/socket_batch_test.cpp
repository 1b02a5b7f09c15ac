// Datagrams that leave as one and come as one, over a loopback whose MTU makes the kernel cut.
#include <doctest/doctest.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "file_descriptor.h"

#include "lab_namespace.h"
#include "udp_linux.h"

using namespace culvert;
using namespace culvert::lab;
using namespace culvert::tunnel;

namespace {

const Endpoint here{*IpAddress::parse("127.0.0.1"), 4700}, there{*IpAddress::parse("127.0.0.2"), 4700};

/// The loopback has another MTU meanwhile.
class MtuOfLoopback {
 public:
  explicit MtuOfLoopback(int mtu) : before_(change(SIOCGIFMTU, 0)) { change(SIOCSIFMTU, mtu); }
  ~MtuOfLoopback() { change(SIOCSIFMTU, before_); }
  MtuOfLoopback(const MtuOfLoopback&) = delete;
  MtuOfLoopback& operator=(const MtuOfLoopback&) = delete;

 private:
  static int change(unsigned long what, int mtu) {
    const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_mtu = mtu;
    CHECK(::ioctl(socket.get(), what, &request) == 0);
    return request.ifr_mtu;
  }
  int before_;
};

struct Sockets {
  UdpSocket from = std::move((*UdpSocket::open_group(here, 1))[0]);
  UdpSocket to = std::move((*UdpSocket::open_group(there, 1))[0]);
  SocketBatch batch;

  std::size_t send(std::span<const Bytes> datagrams) {
    std::vector<SendItem> items;
    for (const Bytes& datagram : datagrams) items.push_back({datagram, there, here.address, 0, false});
    const std::size_t num_sent = from.send_batch(batch, items);
    for (const SendItem& item : items) CHECK(item.sent);
    return num_sent;
  }

  /// What arrived, taken apart, and in how many pieces it came.
  std::vector<Bytes> receive(std::size_t expected, std::size_t& pieces) {
    std::vector<Bytes> received;
    std::vector<Bytes> rooms(socket_batch_size, Bytes(65536));
    pieces = 0;
    [[maybe_unused]] const bool all = eventually([&] {
      std::vector<ReceiveSlot> slots(socket_batch_size);
      for (std::size_t i = 0; i < slots.size(); ++i) slots[i].buffer = rooms[i];
      const std::size_t num = to.receive_batch(batch, slots);
      for (const ReceiveSlot& slot : std::span(slots).first(num)) {
        ++pieces;
        CHECK(slot.remote == here);
        for (ByteView rest = slot.buffer.first(slot.len); !rest.empty();) {
          const ByteView one = rest.first(std::min(rest.size(), slot.segment_len));
          received.emplace_back(one.begin(), one.end());
          rest = rest.subspan(one.size());
        }
      }
      return received.size() >= expected;
    });
    return received;
  }
};

std::vector<Bytes> datagrams_of(std::initializer_list<std::size_t> lens) {
  std::vector<Bytes> all;
  for (const std::size_t len : lens) all.emplace_back(len, static_cast<std::uint8_t>(all.size() + 1));
  return all;
}

}  // namespace

TEST_CASE("datagrams of equal length leave and arrive as one, with a shorter last one, and are the same in the end") {
  NEEDS_ROOT();
  Sockets sockets;
  const auto sent = datagrams_of({1000, 1000, 1000, 400});
  CHECK(sockets.send(sent) == 4);
  std::size_t pieces = 0;
  CHECK(sockets.receive(4, pieces) == sent);
  CHECK(pieces == 1);  // linux/Documentation/networking/segmentation-offloads.rst: loopback keeps UDP GSO whole
}

TEST_CASE("datagrams of different lengths and remotes keep their order and stay apart") {
  NEEDS_ROOT();
  Sockets sockets;
  const auto sent = datagrams_of({100, 1000, 1000, 500, 500, 700});
  CHECK(sockets.send(sent) == 6);
  std::size_t pieces = 0;
  CHECK(sockets.receive(6, pieces) == sent);
  CHECK(pieces == 4);
}

TEST_CASE("what the kernel refuses to cut, because a piece is longer than the MTU, leaves one by one, in fragments") {
  NEEDS_ROOT();
  const MtuOfLoopback small(1500);
  Sockets sockets;
  const auto sent = datagrams_of({3000, 3000, 3000, 200, 200});
  CHECK(sockets.send(sent) == 5);
  std::size_t pieces = 0;
  CHECK(sockets.receive(5, pieces) == sent);
  CHECK(pieces == 5);
}

// Which queue and which socket the kernel chooses, in a network namespace of this process's own.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <set>
#include <vector>

#include "gateway_pair.h"
#include "steering_linux.h"
#include "tun_linux.h"
#include "udp_linux.h"

using namespace culvert;
using namespace culvert::lab;
using namespace culvert::tunnel;

namespace {

constexpr unsigned num_queues = 4;

/// A device whose queues the test reads itself.
struct Device {
  explicit Device(const std::string& name)
      : queues(*TunQueue::create_device(name, num_queues)), steering(queues[0].fd(), num_queues) {
    set_up(name);
    end.emplace(name);
  }

  /// Sends the packet into the device and returns the queue that it comes out of.
  unsigned queue_of(const Bytes& packet) {
    end->send(packet);
    std::array<pollfd, num_queues> waiting{};
    for (unsigned i = 0; i < num_queues; ++i) waiting[i] = {queues[i].fd(), POLLIN, 0};
    REQUIRE(::poll(waiting.data(), waiting.size(), 5000) == 1);
    Bytes room(65536);
    Offload offload;
    for (unsigned i = 0; i < num_queues; ++i) {
      if (waiting[i].revents == 0) continue;
      REQUIRE(queues[i].read(room, offload) == packet.size());
      return i;
    }
    return num_queues;
  }

  std::vector<TunQueue> queues;
  FlowSteering steering;
  std::optional<DeviceEnd> end;
};

}  // namespace

TEST_CASE("spread: flows go to all queues, each flow to one, of either family") {
  NEEDS_ROOT();
  Device device("cvt-s1");
  REQUIRE(device.steering.is_ours());
  CHECK_FALSE(device.steering.home());
  for (const Bytes& packet : {udp_packet(host_a, host_b, 1, 100), udp_packet(host_a6, host_b6, 1, 100)}) {
    std::set<unsigned> seen;
    for (std::uint16_t port = 1000; port < 1064; ++port) {
      const unsigned first = device.queue_of(with_ports(packet, port, 443));
      seen.insert(first);
      CHECK(device.queue_of(with_ports(packet, port, 443)) == first);
    }
    CHECK(seen.size() == num_queues);  // 64 flows miss one of 4 queues once in 25 million tries
  }
}

TEST_CASE("spread: fragments go where the others of their packet go, whatever stands in the place of ports") {
  NEEDS_ROOT();
  Device device("cvt-s2");
  Bytes fragment = udp_packet(host_a, host_b, 1, 96, false);
  const auto as_fragment = [](Bytes packet, std::uint16_t field) {
    store_be(&packet[6], field);  // RFC 791 §3.1: flags and offset; TUN does not look at the header's checksum
    return packet;
  };
  const unsigned first = device.queue_of(as_fragment(fragment, 0x2000));
  for (std::uint16_t i = 1; i < 64; ++i) {
    const std::uint16_t more = i == 63 ? 0 : 0x2000;
    CHECK(device.queue_of(as_fragment(with_ports(fragment, i, i), static_cast<std::uint16_t>(more | i))) == first);
  }
}

TEST_CASE("at home every packet goes to the one queue, and spread again flows go to all others") {
  NEEDS_ROOT();
  Device device("cvt-s3");
  const Bytes packet = udp_packet(host_a, host_b, 1, 100);
  for (const unsigned home : {2u, 0u, 3u}) {
    device.steering.send_home(home);
    CHECK(device.steering.home() == home);
    for (std::uint16_t port = 0; port < 16; ++port) CHECK(device.queue_of(with_ports(packet, port, 443)) == home);
  }
  for (const unsigned home : {3u, 0u, 1u}) {
    device.steering.send_home(home);
    device.steering.spread();
    CHECK_FALSE(device.steering.home());
    std::set<unsigned> seen;
    for (std::uint16_t port = 0; port < 64; ++port) {
      const unsigned queue = device.queue_of(with_ports(packet, port, 443));
      CHECK(device.queue_of(with_ports(packet, port, 443)) == queue);
      seen.insert(queue);
    }
    CHECK(seen.size() == num_queues - 1);
    CHECK_FALSE(seen.contains(home));
  }
}

TEST_CASE(
    "lent, every packet goes to one other queue, and spread from there flows go to all but the one that was home") {
  NEEDS_ROOT();
  Device device("cvt-s5");
  const Bytes packet = udp_packet(host_a, host_b, 1, 100);
  device.steering.lend();  // from nowhere: nothing to lend
  CHECK_FALSE(device.steering.home());
  for (const unsigned home : {2u, 3u, 0u}) {
    device.steering.send_home(home);
    device.steering.lend();
    const auto lent_to = device.steering.home();
    REQUIRE(lent_to);
    CHECK(*lent_to != home);
    for (std::uint16_t port = 0; port < 16; ++port) CHECK(device.queue_of(with_ports(packet, port, 443)) == *lent_to);
    device.steering.spread();
    CHECK_FALSE(device.steering.home());
    std::set<unsigned> seen;
    for (std::uint16_t port = 0; port < 64; ++port) seen.insert(device.queue_of(with_ports(packet, port, 443)));
    CHECK(seen.size() == num_queues - 1);
    CHECK_FALSE(seen.contains(home));
  }
}

TEST_CASE("a packet too short for ports still goes somewhere") {
  NEEDS_ROOT();
  Device device("cvt-s4");
  Bytes packet = udp_packet(host_a, host_b, 1, 100);
  packet.resize(21);
  store_be(&packet[2], std::uint16_t{21});
  CHECK(device.queue_of(packet) < num_queues);
}

TEST_CASE("datagrams of one SPI go to one socket of a group, whoever sends them, those of several to several") {
  NEEDS_ROOT();
  const Endpoint local{*IpAddress::parse("127.0.0.1"), 4600};
  const auto group = UdpSocket::open_group(local, num_queues);
  REQUIRE(group);
  const auto socket_of = [&](std::uint32_t spi, std::uint16_t source_port) {
    const UdpEnd sender({*IpAddress::parse("127.0.0.2"), source_port});
    Bytes datagram(40);
    store_be(datagram.data(), spi);
    sender.send(local, datagram);
    std::array<pollfd, num_queues> waiting{};
    for (unsigned i = 0; i < num_queues; ++i) waiting[i] = {(*group)[i].fd(), POLLIN, 0};
    REQUIRE(::poll(waiting.data(), waiting.size(), 5000) == 1);
    for (unsigned i = 0; i < num_queues; ++i) {
      if (waiting[i].revents == 0) continue;
      std::array<std::uint8_t, 64> room;
      CHECK(::recv((*group)[i].fd(), room.data(), room.size(), 0) == 40);
      return i;
    }
    return num_queues;
  };
  std::set<unsigned> seen;
  for (std::uint32_t spi = 0x1000; spi < 0x1008; ++spi) {
    const unsigned first = socket_of(spi, 5000);
    seen.insert(first);
    for (std::uint16_t port = 5001; port < 5004; ++port) CHECK(socket_of(spi, port) == first);
  }
  CHECK(seen.size() == num_queues);
  CHECK(socket_of(0, 5000) == 0);  // the non-ESP marker
}

TEST_CASE("a flood whose flows are sent home and spread again keeps each of them in order and brings nothing twice") {
  NEEDS_ROOT();
  GatewayPair pair({.workers = num_queues});
  pair.install(1);
  constexpr std::uint32_t num_flows = 4, num_packets = 30000, home_after = 1000;
  std::array<std::uint32_t, num_flows> last{};
  std::uint32_t received = 0, late = 0;
  const auto take = [&](std::chrono::milliseconds patience) {
    const auto packets = pair.b.device->receive_cut(1, patience);
    for (const Bytes& packet : packets) {
      const std::uint32_t number = number_of(packet);
      std::uint32_t& before = last[number % num_flows];
      if (number < before) ++late;
      before = number;
      ++received;
    }
    return !packets.empty();
  };
  for (std::uint32_t number = num_flows; number < num_packets; ++number) {
    const auto flow = static_cast<std::uint16_t>(2000 + number % num_flows);
    Bytes packet = udp_packet(host_a, host_b, number, 64);
    pair.a.device->send(with_ports(packet, flow, 443));
    if (number == home_after) pair.b.device->send(udp_packet(host_b, host_a, 0, 100));  // sends the flows of a home
    // As many on their way as the queues hold.
    while (take(std::chrono::milliseconds(0))) {
    }
    while (number + 1 - num_flows - received >= 200) REQUIRE(take(std::chrono::milliseconds(2000)));
  }
  while (take(std::chrono::milliseconds(300))) {
  }
  CHECK(received == num_packets - num_flows);
  // A processor that stands still between choosing a queue and filling it makes a packet late: one each time that the
  // flows move, not a burst.
  CHECK(late <= 2);
}

TEST_CASE("the NAT port: ESP to the workers, IKE to a socket of its own, and what asks for a new IKE SA to another") {
  NEEDS_ROOT();
  const Endpoint local{IpAddress::v4(0x7F000001), 14500};
  tunnel::KeptDescriptors none;
  auto group = UdpSocket::open_nat_group(local, 3, none);
  REQUIRE(group);
  REQUIRE(group->workers.size() == 3);
  REQUIRE(group->ike.size() == 2);
  const auto arrives = [&](const Bytes& bytes) {
    const auto from = UdpSocket::open_group({IpAddress::v4(0x7F000001), 0}, 1);
    SocketBatch io;
    REQUIRE(io.send_one((*from)[0].fd(), IpFamily::v4, {.bytes = bytes, .remote = local, .local = {}}) == 0);
    std::array<pollfd, 5> waiting{};
    for (std::size_t i = 0; i < 5; ++i)
      waiting[i] = {i < 3 ? group->workers[i].fd() : group->ike[i - 3].fd(), POLLIN, 0};
    REQUIRE(::poll(waiting.data(), waiting.size(), 5000) == 1);
    std::size_t at = 0;
    while (waiting[at].revents == 0) ++at;
    Bytes room(100);
    REQUIRE(::recv(waiting[at].fd, room.data(), room.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return at;
  };
  // RFC 7296 §3.1 behind RFC 3948 §2.2's marker: SPIi, SPIr, next payload, version, exchange, flags, …
  const auto ike = [](std::uint64_t spi_r, std::uint8_t flags) {
    Bytes message(32);
    message[4] = 0x11;
    store_be(&message[12], spi_r);
    message[23] = flags;
    return message;
  };
  CHECK(arrives(ike(0x99, 0x08)) == 3);
  CHECK(arrives(ike(std::uint64_t{0x99} << 32, 0x08)) == 3);
  CHECK(arrives(ike(0, 0x20)) == 3);  // a COOKIE for us
  CHECK(arrives(ike(0, 0x08)) == 4);
  for (std::uint32_t spi = 0x1000; spi < 0x1010; ++spi) {
    Bytes esp(40);
    store_be(esp.data(), spi);
    CHECK(arrives(esp) == spi % 3);
  }
  CHECK(arrives({0xFF}) == 0);     // a keepalive
  CHECK(arrives(Bytes(10)) == 0);  // too short to say
}

TEST_CASE("the IKE port: what asks for a new IKE SA is kept apart") {
  NEEDS_ROOT();
  const Endpoint local{IpAddress::v4(0x7F000001), 10500};
  tunnel::KeptDescriptors none;
  auto group = UdpSocket::open_ike_group(local, none);
  REQUIRE(group);
  REQUIRE(group->size() == 2);
  const auto from = UdpSocket::open_group({IpAddress::v4(0x7F000001), 0}, 1);
  SocketBatch io;
  for (const bool asks : {true, false, true}) {
    Bytes message(28);
    message[0] = 0x11;
    message[15] = asks ? 0 : 1;  // the responder's SPI
    message[19] = 0x08;
    REQUIRE(io.send_one((*from)[0].fd(), IpFamily::v4, {.bytes = message, .remote = local, .local = {}}) == 0);
    std::array<pollfd, 2> waiting{{{(*group)[0].fd(), POLLIN, 0}, {(*group)[1].fd(), POLLIN, 0}}};
    REQUIRE(::poll(waiting.data(), waiting.size(), 5000) == 1);
    CHECK((waiting[1].revents != 0) == asks);
    Bytes room(100);
    REQUIRE(::recv((*group)[asks ? 1 : 0].fd(), room.data(), room.size(), 0) == 28);
  }
}

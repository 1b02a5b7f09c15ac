// Law 6 of the data path: nothing is allocated per packet. Two data planes carry traffic both ways while every
// allocation of every thread but the test's own is counted.
#include <doctest/doctest.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include "count_allocations.h"
#include "integration/gateway_pair.h"

using namespace culvert;
using namespace culvert::lab;

namespace {

struct Load {
  std::vector<OffloadedPacket> there, back;  ///< one round: what is on the way at a time, less than any queue holds
  std::uint64_t num_packets = 0;             ///< of a round, both ways, super-packets cut
};

/// Super-packets of TCP and UDP with large and small segments, and single packets, IPv4 and IPv6.
Load make_load() {
  Load load;
  const auto add = [&](bool v6, bool tcp, std::uint16_t segment_len, std::size_t num) {
    PacketShape shape{.source = v6 ? host_a6 : host_a,
                      .destination = v6 ? host_b6 : host_b,
                      .tcp = tcp,
                      .payload_len = num * segment_len - num / 2,
                      .segment_len = segment_len};
    load.there.push_back(make_packet(shape));
    std::swap(shape.source, shape.destination);
    load.back.push_back(make_packet(shape));
    load.num_packets += 2 * num_segments(load.back.back());
  };
  for (const bool v6 : {false, true}) {
    for (int i = 0; i < 4; ++i) {
      add(v6, true, 1300, 48);
      add(v6, true, 100, 200);
      add(v6, false, 500, 60);
      add(v6, true, 900, 1);
      add(v6, false, 40, 1);
    }
  }
  return load;
}

/// Sends the load round by round until `num` packets have crossed; how many did.
std::uint64_t carry(const GatewayPair& pair, const Load& load, std::uint64_t num) {
  std::uint64_t crossed = 0;
  while (crossed < num) {
    for (std::size_t i = 0; i < load.there.size(); ++i) {
      pair.a.device->send(load.there[i]);
      pair.b.device->send(load.back[i]);
    }
    const std::uint64_t round_end = crossed + load.num_packets;
    for (const Gateway* to : {&pair.b, &pair.a}) {
      for (std::uint64_t left = load.num_packets / 2; left > 0;) {
        const auto arrived = to->device->receive_offloaded();
        if (!arrived) return crossed;  // lost: the caller sees that it is too few
        const std::size_t here = num_segments(*arrived);
        crossed += here;
        left -= std::min<std::uint64_t>(left, here);
      }
    }
    if (crossed != round_end) return crossed;
  }
  return crossed;
}

}  // namespace

TEST_CASE("the counter counts: other threads' malloc, new and what libraries allocate, and not the test's own") {
  const AllocationCount count;
  void* volatile memory = ::operator new(100);  // volatile: or the compiler leaves the pair out
  ::operator delete(memory);
  CHECK(count.so_far() == 0);
  std::uint64_t before = 0, after = 0;
  std::thread([&] {
    before = count.so_far();
    memory = ::operator new(100);
    ::operator delete(memory);
    memory = OPENSSL_malloc(100);
    OPENSSL_free(memory);
    memory = std::malloc(100);
    std::free(memory);
    after = count.so_far();
  }).join();
  CHECK(after - before == 3);
}

TEST_CASE("a million packets both ways cost the workers no allocation") {
  NEEDS_ROOT();
  const std::uint64_t num = is_sanitized ? 100'000 : 1'000'000;
  GatewayPair pair({.workers = 2});
  pair.install(1);
  const Load load = make_load();
  REQUIRE(carry(pair, load, 2 * load.num_packets) == 2 * load.num_packets);  // until everyone is warm
  const AllocationCount count;
  CHECK(carry(pair, load, num) >= num);
  CHECK(count.so_far() == 0);
}

TEST_CASE("nor does it with other suites, carriers and raw ESP") {
  NEEDS_ROOT();
  using enum crypto::CipherSuite;
  const std::uint64_t num = is_sanitized ? 5'000 : 50'000;
  const Load load = make_load();
  for (const auto suite : {aes_gcm_16_128, chacha20_poly1305, aes_cbc_256_sha2_256_128}) {
    for (const auto encapsulation : {EspEncapsulation::udp, EspEncapsulation::raw}) {
      CAPTURE(crypto::info(suite).name);
      CAPTURE(static_cast<int>(encapsulation));
      const bool gre = encapsulation == EspEncapsulation::udp;
      GatewayPair pair({.carry = gre ? tunnel::Carry::gre : tunnel::Carry::ip,
                        .mode = EspMode::tunnel,
                        .encapsulation = encapsulation,
                        .suite = suite,
                        .gre_checksum = true,
                        .gre_sequence = true});
      pair.install(1);
      REQUIRE(carry(pair, load, load.num_packets) == load.num_packets);
      const AllocationCount count;
      CHECK(carry(pair, load, num) >= num);
      CHECK(count.so_far() == 0);
    }
  }
}

TEST_CASE(
    "packets that are dropped cost no allocation either: replays, forgeries, unknown SPIs, too big, without policy") {
  NEEDS_ROOT();
  GatewayPair pair({.carry = tunnel::Carry::ip, .mode = EspMode::tunnel});
  pair.install(1);
  const Endpoint wire_address{*IpAddress::parse("127.0.0.9"), 4500};
  const UdpEnd wire(wire_address);
  pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), wire_address, pair.encapsulation());
  pair.a.device->send(udp_packet(host_a, host_b, 1, 500));
  const auto esp = wire.receive();
  REQUIRE(esp);
  Bytes forged = esp->bytes, unknown = esp->bytes;
  forged.back() ^= 1;
  forged[7] += 1;  // a number that was not seen yet
  unknown[1] ^= 0x40;
  const std::vector<Bytes> datagrams{esp->bytes, forged, unknown};
  const Bytes too_big = udp_packet(host_a, host_b, 2, 1450), stray = udp_packet(host_b, host_b, 3, 100);
  const std::uint64_t num = is_sanitized ? 500 : 5'000;
  const auto offend = [&](std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i) {
      for (const Bytes& datagram : datagrams) wire.send(pair.endpoint_b(), datagram);
      pair.a.device->send(too_big);
      pair.a.device->send(stray);
    }
  };
  const auto dropped = [&](std::uint64_t times) {
    return eventually([&] {
      return pair.b.drops(DropReason::replay) == times - 1 && pair.b.drops(DropReason::icv_failed) == times &&
             pair.b.drops(DropReason::unknown_spi) == times && pair.a.drops(DropReason::too_big) == times &&
             pair.a.drops(DropReason::no_policy) == times;
    });
  };
  offend(10);
  REQUIRE(dropped(10));
  const AllocationCount count;
  for (std::uint64_t sent = 10; sent < num; sent += 10) {
    offend(10);
    if (sent % 100 == 0) REQUIRE(dropped(sent + 10));  // no more on the way than the queues hold
  }
  REQUIRE(dropped(num));
  CHECK(count.so_far() == 0);
}

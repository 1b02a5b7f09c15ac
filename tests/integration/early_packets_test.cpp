// ESP that comes before its SA (tunnel/early_packets.h), between two data planes.
#include <doctest/doctest.h>

#include <thread>

#include "gateway_pair.h"

using namespace culvert;
using namespace culvert::lab;

// RFC 7296 §2.8: the peer may send on a new SA before we have read the answer that makes it.
TEST_CASE(
    "what comes before its SA is delivered once that is installed, in order; what is too much or too early is not") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  pair.install_a(2, true);
  const auto arrives = [&](std::uint32_t number) {
    const auto packet = pair.b.device->receive();
    REQUIRE(packet);
    CHECK(number_of(*packet) == number);
  };
  SUBCASE("a few") {
    for (std::uint32_t i = 0; i < 10; ++i) pair.a.device->send(udp_packet(host_a, host_b, i, 100));
    REQUIRE(pair.b.next<tunnel::UnknownSpiEvent>());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pair.install_b(2, false);
    for (std::uint32_t i = 0; i < 10; ++i) arrives(i);
    CHECK(pair.b.drops(DropReason::unknown_spi) == 0);
  }
  SUBCASE("more than are held") {
    for (std::uint32_t i = 0; i < 80; ++i) pair.a.device->send(udp_packet(host_a, host_b, i, 100));
    REQUIRE(eventually([&] { return pair.b.drops(DropReason::unknown_spi) == 16; }));
    pair.install_b(2, false);
    for (std::uint32_t i = 0; i < 64; ++i) arrives(i);
  }
  SUBCASE("too early") {
    pair.a.device->send(udp_packet(host_a, host_b, 1, 100));
    REQUIRE(eventually([&] { return pair.b.drops(DropReason::unknown_spi) == 1; }));
    pair.install_b(2, false);
    pair.a.device->send(udp_packet(host_a, host_b, 2, 100));
    arrives(2);
  }
}

TEST_CASE("raw ESP that comes before its SA is delivered, too") {
  NEEDS_ROOT();
  GatewayPair pair({.encapsulation = EspEncapsulation::raw});
  pair.install_a(1, true);
  pair.a.device->send(udp_packet(host_a, host_b, 7, 1300));
  REQUIRE(pair.b.next<tunnel::UnknownSpiEvent>());
  pair.install_b(1, false);
  REQUIRE(pair.b.device->receive());
  CHECK(pair.b.drops(DropReason::unknown_spi) == 0);
}

// Two data planes in a network namespace of this process's own: what becomes of packets when SAs come, go, move, run
// out and hear nothing, and while there are none.
#include <doctest/doctest.h>

#include <vector>

#include "gateway_pair.h"

using namespace culvert;
using namespace culvert::lab;
using tunnel::Carry;

TEST_CASE("the first inbound packet and a hard limit are reported once each, and beyond the limit nothing passes") {
  NEEDS_ROOT();
  GatewayPair pair({.hard_packets = 4, .soft_packets = 2});
  pair.install(1);
  for (std::uint32_t i = 0; i < 6; ++i) pair.a.device->send(udp_packet(host_a, host_b, i, 100));
  for (std::uint32_t i = 0; i < 4; ++i) REQUIRE(pair.b.device->receive());
  CHECK(eventually([&] { return pair.a.drops(DropReason::sa_expired) == 2; }));
  const auto first = pair.b.next<tunnel::SaEvent>();
  REQUIRE(first);
  CHECK(first->inbound_spi == GatewayPair::spi_b(1));
  CHECK(first->event == ChildEvent::first_inbound);
  const auto soft = pair.a.next<tunnel::SaEvent>();
  REQUIRE(soft);
  CHECK(soft->inbound_spi == GatewayPair::spi_a(1));
  CHECK(soft->event == ChildEvent::soft_limit);
  const auto hard = pair.a.next<tunnel::SaEvent>();
  REQUIRE(hard);
  CHECK(hard->event == ChildEvent::hard_limit);
  CHECK(pair.a.plane->poll_events(10).empty());
}

TEST_CASE(
    "without an SA nothing leaves: it is dropped, or with a trap it waits, asks for an SA once, and leaves in order") {
  NEEDS_ROOT();
  SUBCASE("no trap") {
    GatewayPair pair;
    pair.a.device->send(udp_packet(host_a, host_b, 1, 100));
    CHECK(eventually([&] { return pair.a.drops(DropReason::no_sa) == 1; }));
    pair.install(1);
    check_both_ways(pair, 2);
  }
  SUBCASE("trap") {
    GatewayPair pair({.carry = Carry::ip, .mode = EspMode::tunnel, .trap = true});
    for (std::uint32_t i = 0; i < 70; ++i) pair.a.device->send(udp_packet(host_a, host_b, i, 100));
    // 64 wait (DataPlaneOptions::wait_queue), the newest six find no place.
    CHECK(eventually([&] { return pair.a.drops(DropReason::wait_queue_full) == 6; }));
    const auto acquire = pair.a.next<tunnel::AcquireEvent>();
    REQUIRE(acquire);
    CHECK(acquire->child == the_child);
    CHECK(acquire->source.first == host_a);
    CHECK(acquire->source.last == host_a);
    CHECK(acquire->source.protocol == 17);
    CHECK(acquire->source.start_port == 1024);
    CHECK(acquire->source.end_port == 1024);
    CHECK(acquire->destination.first == host_b);
    CHECK(acquire->destination.start_port == 7);
    CHECK(pair.a.plane->poll_events(10).empty());  // 70 packets in a moment, one event
    pair.install(1);
    for (std::uint32_t i = 0; i < 64; ++i) {
      const auto arrived = pair.b.device->receive();
      REQUIRE(arrived);
      CHECK(number_of(*arrived) == i);
    }
    check_both_ways(pair, 100);
  }
  SUBCASE("trap, and the peer cannot be reached") {
    GatewayPair pair({.trap = true});
    for (std::uint32_t i = 0; i < 3; ++i) pair.a.device->send(udp_packet(host_a, host_b, i, 100));
    const auto acquire = pair.a.next<tunnel::AcquireEvent>();
    REQUIRE(acquire);
    CHECK(acquire->source.protocol == 47);  // what ESP would carry
    CHECK(eventually([&] {
      pair.a.plane->flush_waiting(the_child);
      return pair.a.drops(DropReason::wait_expired) == 3;
    }));
    pair.install(1);
    check_both_ways(pair, 10);  // what was flushed does not come first
  }
  SUBCASE("trap, and nobody ever comes") {
    GatewayPair pair({.trap = true, .workers = 2, .max_wait = std::chrono::milliseconds(500)});
    for (std::uint32_t i = 0; i < 3; ++i) pair.a.device->send(udp_packet(host_a, host_b, i, 100));
    CHECK(eventually([&] { return pair.a.drops(DropReason::wait_expired) == 3; }));
    pair.install(1);
    check_both_ways(pair, 10);
  }
}

TEST_CASE("removing the current SA falls back to the other active one, and with the last one nothing leaves any more") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  pair.install(2);
  check_both_ways(pair, 1);
  CHECK(pair.a.plane->traffic(GatewayPair::spi_a(2))->outbound_packets == 2);  // the newest is used
  pair.a.plane->remove(GatewayPair::spi_a(2));
  pair.a.device->send(udp_packet(host_a, host_b, 9, 100));
  REQUIRE(pair.b.device->receive());
  CHECK(pair.a.plane->traffic(GatewayPair::spi_a(1))->outbound_packets == 1);
  pair.a.plane->remove(GatewayPair::spi_a(1));
  pair.a.device->send(udp_packet(host_a, host_b, 10, 100));
  CHECK(eventually([&] { return pair.a.drops(DropReason::no_sa) == 1; }));
}

TEST_CASE("an SA installed without outbound receives at once and sends only when it is activated") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  pair.install_b(2, false);
  pair.install_a(2, true);
  check_both_ways(pair, 1);
  CHECK(pair.b.plane->traffic(GatewayPair::spi_b(2))->inbound_packets == 2);
  CHECK(pair.b.plane->traffic(GatewayPair::spi_b(2))->outbound_packets == 0);
  CHECK(pair.b.plane->traffic(GatewayPair::spi_b(1))->outbound_packets == 2);
  pair.b.plane->activate_outbound(GatewayPair::spi_b(2));
  check_both_ways(pair, 5);
  CHECK(pair.b.plane->traffic(GatewayPair::spi_b(2))->outbound_packets == 2);
}

TEST_CASE("installing an SPI twice is refused and changes nothing") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  const auto again = pair.a.plane->install(pair.keys_a(1), true);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == Errc::invalid);
  check_both_ways(pair, 1);
}

TEST_CASE("a moved SA sends to the new address from then on") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  check_both_ways(pair, 1);
  const Endpoint elsewhere{*IpAddress::parse("127.0.0.9"), 34567};
  const UdpEnd nat(elsewhere);
  pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), elsewhere, pair.encapsulation());
  pair.a.device->send(udp_packet(host_a, host_b, 5, 100));
  const auto seen = nat.receive();
  REQUIRE(seen);
  CHECK(seen->remote == pair.endpoint_a());
  REQUIRE(seen->bytes.size() > 8);
  CHECK(load_be<std::uint32_t>(seen->bytes.data()) == GatewayPair::spi_b(1).value());
  nat.send(pair.endpoint_b(), seen->bytes);  // the SA is found by its SPI, whatever address it comes from
  REQUIRE(pair.b.device->receive());
}

// RFC 7296 §2.23: only what authenticates, and is newer than all before it, says that a NAT has a new mapping.
TEST_CASE(
    "ESP from another endpoint is reported when it is authentic and the newest, and not when it is forged or late") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  check_both_ways(pair, 1);
  const Endpoint wire_address{*IpAddress::parse("127.0.0.9"), 34567};
  const UdpEnd wire(wire_address), mapping({*IpAddress::parse("127.0.0.10"), 45678}),
      attacker({*IpAddress::parse("127.0.0.66"), 4500});
  pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), wire_address, pair.encapsulation());
  std::vector<Bytes> esp;
  for (std::uint32_t n = 0; n < 3; ++n) {
    pair.a.device->send(udp_packet(host_a, host_b, 100 + n, 100));
    const auto seen = wire.receive();
    REQUIRE(seen);
    esp.push_back(seen->bytes);
  }
  const auto reported = [&]() -> std::optional<tunnel::PathEvent> {
    for (const auto& event : pair.b.plane->poll_events(100)) {
      if (const auto* moved = std::get_if<tunnel::PathEvent>(&event)) return *moved;
    }
    return std::nullopt;
  };
  Bytes forged = esp[2];
  forged.back() ^= 1;
  attacker.send(pair.endpoint_b(), forged);
  REQUIRE(eventually([&] { return pair.b.drops(DropReason::icv_failed) == 1; }));
  CHECK_FALSE(reported());

  mapping.send(pair.endpoint_b(), esp[1]);
  REQUIRE(pair.b.device->receive());
  auto moved = pair.b.next<tunnel::PathEvent>();
  REQUIRE(moved);
  CHECK(moved->inbound_spi == GatewayPair::spi_b(1));
  CHECK(moved->local == pair.endpoint_b());
  CHECK(moved->remote == Endpoint{*IpAddress::parse("127.0.0.10"), 45678});

  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // it may be reported again
  attacker.send(pair.endpoint_b(), esp[1]);                     // a copy
  REQUIRE(eventually([&] { return pair.b.drops(DropReason::replay) == 1; }));
  attacker.send(pair.endpoint_b(), esp[0]);  // genuine, late, and held back by somebody
  REQUIRE(pair.b.device->receive());
  CHECK_FALSE(reported());

  // Once the control plane has moved the pair, what comes from there is no news.
  pair.b.plane->move(GatewayPair::spi_b(1), pair.endpoint_b(), moved->remote, pair.encapsulation());
  mapping.send(pair.endpoint_b(), esp[2]);
  REQUIRE(pair.b.device->receive());
  CHECK_FALSE(reported());
}

TEST_CASE("a pair that sends and hears nothing that authenticates says so; one that hears does not") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  check_both_ways(pair, 1);
  const UdpEnd wire({*IpAddress::parse("127.0.0.9"), 34567});
  const Endpoint wire_address{*IpAddress::parse("127.0.0.9"), 34567};
  pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), wire_address, pair.encapsulation());
  const auto reported = [&] {
    bool found = false;
    for (const auto& event : pair.a.plane->poll_events(100))
      found |= std::holds_alternative<tunnel::SilenceEvent>(event);
    return found;
  };
  const auto send_for = [&](int rounds, bool answered) {
    for (int i = 0; i < rounds; ++i) {
      pair.a.device->send(udp_packet(host_a, host_b, 500, 100));
      const auto seen = wire.receive();
      REQUIRE(seen);
      Bytes forged = seen->bytes;  // a's own, with the SPI that it receives on: nothing that authenticates
      store_be(forged.data(), GatewayPair::spi_a(1).value());
      wire.send(pair.endpoint_a(), forged);
      if (answered) {
        pair.b.device->send(udp_packet(host_b, host_a, 500, 100));
        REQUIRE(pair.a.device->receive());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  };
  send_for(14, true);
  CHECK_FALSE(reported());
  send_for(14, false);
  CHECK(reported());
}

TEST_CASE("a moved SA may change between UDP and raw ESP") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), pair.endpoint_b(), EspEncapsulation::raw);
  pair.b.plane->move(GatewayPair::spi_b(1), pair.endpoint_b(), pair.endpoint_a(), EspEncapsulation::raw);
  check_both_ways(pair, 1);
  pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), pair.endpoint_b(), EspEncapsulation::udp);
  check_both_ways(pair, 2);
}

// Two data planes in a network namespace of this process's own. What goes in at one device must come out of the other,
// byte by byte; what must not come out is counted under its reason.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <random>
#include <vector>

#include "gateway_pair.h"

using namespace culvert;
using namespace culvert::lab;
using tunnel::Carry;

namespace {

/// Sends one packet each way and of each family, and expects it unchanged at the other end.
void check_both_ways(GatewayPair& pair, std::uint32_t number, std::size_t len = 200) {
  const Bytes packets_a[] = {udp_packet(host_a, host_b, number, len), udp_packet(host_a6, host_b6, number + 1, len)};
  const Bytes packets_b[] = {udp_packet(host_b, host_a, number + 2, len),
                             udp_packet(host_b6, host_a6, number + 3, len)};
  for (const Bytes& packet : packets_a) {
    pair.a.device->send(packet);
    const auto arrived = pair.b.device->receive();
    REQUIRE(arrived);
    CHECK(*arrived == packet);
  }
  for (const Bytes& packet : packets_b) {
    pair.b.device->send(packet);
    const auto arrived = pair.a.device->receive();
    REQUIRE(arrived);
    CHECK(*arrived == packet);
  }
}

}  // namespace

TEST_CASE(
    "GRE with IPv4 and IPv6 inside crosses, whatever is outside, in both modes, in UDP and raw, with every kind of "
    "suite") {
  NEEDS_ROOT();
  using enum crypto::CipherSuite;
  struct Outside {
    const char *a, *b;
  };
  for (const Outside& outside : {Outside{"127.0.0.1", "127.0.0.2"}, Outside{"fd00::1", "fd00::2"}}) {
    for (const auto mode : {EspMode::transport, EspMode::tunnel}) {
      for (const auto encapsulation : {EspEncapsulation::udp, EspEncapsulation::raw}) {
        for (const auto suite : {aes_gcm_16_256, chacha20_poly1305, aes_cbc_256_sha2_256_128}) {
          CAPTURE(outside.a);
          CAPTURE(static_cast<int>(mode));
          CAPTURE(static_cast<int>(encapsulation));
          CAPTURE(crypto::info(suite).name);
          GatewayPair pair(
              {.a = outside.a, .b = outside.b, .mode = mode, .encapsulation = encapsulation, .suite = suite});
          pair.install(1);
          check_both_ways(pair, 1);
          check_both_ways(pair, 5, 1300);
        }
      }
    }
  }
}

TEST_CASE("plain tunnel mode carries what its selectors own, and drops and counts the rest") {
  NEEDS_ROOT();
  GatewayPair pair({.carry = Carry::ip, .mode = EspMode::tunnel, .esn = false});
  pair.install(1);
  check_both_ways(pair, 1);
  pair.a.device->send(udp_packet(host_a, *IpAddress::parse("10.3.0.1"), 9, 100));
  CHECK(eventually([&] { return pair.a.drops(DropReason::no_policy) == 1; }));
  check_both_ways(pair, 10);
}

TEST_CASE("the counters of SA and tunnel say what passed") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  check_both_ways(pair, 1, 200);  // 228 bytes of IPv4 and 248 of IPv6 each way
  // A tunnel's packet is counted just after it has left, so the last one may be here before its count.
  CHECK(eventually([&] { return pair.a.plane->counters(the_tunnel).inbound_packets == 2; }));
  const auto counters = pair.a.plane->counters(the_tunnel);
  CHECK(counters.outbound_packets == 2);
  CHECK(counters.outbound_bytes == 228 + 248);
  CHECK(counters.inbound_packets == 2);
  CHECK(counters.inbound_bytes == 228 + 248);
  const auto traffic = pair.a.plane->traffic(GatewayPair::spi_a(1));
  REQUIRE(traffic);
  CHECK(traffic->inbound_packets == 2);
  CHECK(traffic->outbound_packets == 2);
  CHECK_FALSE(pair.a.plane->traffic(Spi{0x4242}));
  CHECK(pair.a.plane->worker_counters().tun_read_batches >= 1);
  CHECK(pair.a.plane->worker_counters().udp_receive_batches >= 1);
}

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

TEST_CASE("what is too long for the tunnel comes back as Packet Too Big, or is fragmented where IPv4 allows it") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  pair.a.plane->set_mtu(the_tunnel, 1000);
  SUBCASE("IPv4 with DF: ICMP type 3 code 4 with the MTU (RFC 1191 §4)") {
    pair.a.device->send(udp_packet(host_a, host_b, 1, 1100));
    const auto answer = pair.a.device->receive();
    REQUIRE(answer);
    REQUIRE(answer->size() >= 28);
    CHECK((*answer)[9] == 1);
    CHECK((*answer)[20] == 3);
    CHECK((*answer)[21] == 4);
    CHECK(load_be<std::uint16_t>(&(*answer)[26]) == 1000);
    CHECK(*IpAddress::from_bytes(ByteView(*answer).subspan(16, 4)) == host_a);
    CHECK(pair.a.drops(DropReason::too_big) == 1);
  }
  SUBCASE("IPv6: ICMPv6 type 2 with the MTU (RFC 4443 §3.2)") {
    pair.a.plane->set_mtu(the_tunnel, 1280);
    pair.a.device->send(udp_packet(host_a6, host_b6, 1, 1290));
    const auto answer = pair.a.device->receive();
    REQUIRE(answer);
    REQUIRE(answer->size() >= 48);
    CHECK((*answer)[6] == 58);
    CHECK((*answer)[40] == 2);
    CHECK(load_be<std::uint32_t>(&(*answer)[44]) == 1280);
    CHECK(*IpAddress::from_bytes(ByteView(*answer).subspan(24, 16)) == host_a6);
  }
  SUBCASE("IPv4 without DF: fragments that hold the same bytes (RFC 791 §3.2)") {
    pair.a.plane->set_mtu(the_tunnel, 576);
    const Bytes packet = udp_packet(host_a, host_b, 1, 1300, false);
    pair.a.device->send(packet);
    Bytes payload;
    for (bool more = true; more;) {
      const auto fragment = pair.b.device->receive();
      REQUIRE(fragment);
      CHECK(fragment->size() <= 576);
      const auto field = load_be<std::uint16_t>(&(*fragment)[6]);
      CHECK((field & 0x1FFF) * 8u == payload.size());
      append(payload, ByteView(*fragment).subspan(20));
      more = (field & 0x2000) != 0;
    }
    CHECK(payload == Bytes(packet.begin() + 20, packet.end()));
  }
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

TEST_CASE("replayed, changed, cut and unknown datagrams are counted, one reason each, and nothing comes out") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  const Endpoint wire_address{*IpAddress::parse("127.0.0.9"), 4500};
  const UdpEnd wire(wire_address);
  pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), wire_address, pair.encapsulation());
  pair.a.device->send(udp_packet(host_a, host_b, 1, 100));
  const auto esp = wire.receive();
  REQUIRE(esp);

  const auto counted = [&](DropReason reason, ByteView datagram) {
    const auto before = pair.b.drops(reason);
    wire.send(pair.endpoint_b(), datagram);
    return eventually([&] { return pair.b.drops(reason) == before + 1; });
  };
  Bytes changed = esp->bytes;
  changed[changed.size() - 20] ^= 1;
  CHECK(counted(DropReason::icv_failed, changed));
  CHECK(counted(DropReason::outer_malformed, ByteView(esp->bytes).first(20)));
  CHECK(counted(DropReason::outer_malformed, ByteView(esp->bytes).first(7)));
  CHECK(counted(DropReason::outer_malformed, Bytes{0, 0, 0, 0}));
  CHECK(counted(DropReason::keepalive, Bytes{0xFF}));
  Bytes unknown = esp->bytes;
  unknown[3] ^= 0x80;
  CHECK(counted(DropReason::unknown_spi, unknown));
  CHECK(counted(DropReason::unknown_spi, unknown));

  wire.send(pair.endpoint_b(), esp->bytes);
  const auto arrived = pair.b.device->receive();
  REQUIRE(arrived);
  CHECK(number_of(*arrived) == 1);  // the first thing to come out, and the forgeries before it did not spoil it
  CHECK(counted(DropReason::replay, esp->bytes));
  CHECK_FALSE(pair.b.device->receive(std::chrono::milliseconds(20)));

  const auto report = pair.b.next<tunnel::UnknownSpiEvent>();
  REQUIRE(report);
  CHECK(report->remote == wire_address);
  CHECK(report->local == pair.endpoint_b());
  CHECK(report->spi == Spi{GatewayPair::spi_b(1).value() ^ 0x80});
  for (const auto& event : pair.b.plane->poll_events(10))
    CHECK_FALSE(std::holds_alternative<tunnel::UnknownSpiEvent>(event));
}

TEST_CASE(
    "DSCP and ECN go to the outer header, and congestion on the way comes back inside (RFC 2983 §3, RFC 6040 §4)") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  const Endpoint wire_address{*IpAddress::parse("127.0.0.9"), 4500};
  const UdpEnd wire(wire_address);
  pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), wire_address, pair.encapsulation());
  const std::uint8_t ef_ect0 = 0xB8 | 2, ef_ce = 0xB8 | 3, ef_not_ect = 0xB8;
  const Bytes inner = udp_packet(host_a, host_b, 1, 100);

  pair.a.device->send(with_tos(inner, ef_ect0));
  auto esp = wire.receive();
  REQUIRE(esp);
  CHECK(esp->tos == ef_ect0);
  wire.send(pair.endpoint_b(), esp->bytes, ef_ce);  // a router on the way was congested
  auto arrived = pair.b.device->receive();
  REQUIRE(arrived);
  CHECK(*arrived == with_tos(inner, ef_ce));

  pair.a.device->send(with_tos(inner, ef_not_ect));
  esp = wire.receive();
  REQUIRE(esp);
  CHECK(esp->tos == ef_not_ect);
  wire.send(pair.endpoint_b(), esp->bytes, ef_ce);  // CE where nothing was capable of it: dropped (RFC 6040 figure 4)
  CHECK(eventually([&] { return pair.b.drops(DropReason::ecn_invalid) == 1; }));
}

TEST_CASE("of thousands of random datagrams each is counted or handed to IKE, none comes out, and the tunnel goes on") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  const UdpEnd attacker({*IpAddress::parse("127.0.0.9"), 5555});
  std::mt19937 random(20240607);
  std::uint64_t num_sent = 0, num_control = 0;
  const auto num_counted = [&] {
    for (const auto& event : pair.b.plane->poll_events(10'000)) {
      if (std::holds_alternative<tunnel::ControlDatagram>(event)) ++num_control;
    }
    std::uint64_t sum = num_control;
    for (const std::uint64_t drops : pair.b.plane->drops()) sum += drops;
    return sum;
  };
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 100; ++i) {
      Bytes datagram(random() % 4 == 0 ? random() % 40 : random() % 1500);
      for (auto& byte : datagram) byte = static_cast<std::uint8_t>(random());
      // A third of them with a known SPI, a sixth with the non-ESP marker.
      const auto kind = random() % 6;
      if (datagram.size() >= 4 && kind < 3) store_be(datagram.data(), kind < 2 ? GatewayPair::spi_b(1).value() : 0U);
      const std::uint16_t port = random() % 8 == 0 ? 500 : 4500;
      attacker.send({pair.endpoint_b().address, port}, datagram);
      ++num_sent;
    }
    REQUIRE(eventually([&] { return num_counted() == num_sent; }));
  }
  CHECK(pair.b.drops(DropReason::icv_failed) > 100);
  CHECK(pair.b.drops(DropReason::unknown_spi) > 100);
  CHECK(num_control > 100);
  CHECK_FALSE(pair.b.device->receive(std::chrono::milliseconds(10)));
  check_both_ways(pair, 1);
}

TEST_CASE("a device that someone else removes stops its tunnel, and neither the worker nor the other tunnels") {
  NEEDS_ROOT();
  GatewayPair pair({.workers = 2});
  pair.install(1);
  REQUIRE(pair.a.plane->add_tunnel(gre_tunnel(TunnelId{2}, ChildId{8}, "cvt-c")));
  set_up("cvt-c");
  delete_device("cvt-c");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto before = pair.a.plane->worker_counters().wakeups;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(pair.a.plane->worker_counters().wakeups - before < 10);  // it does not spin on the dead queue
  check_both_ways(pair, 1);
  pair.a.plane->remove_tunnel(TunnelId{2});
  REQUIRE(pair.a.plane->add_tunnel(gre_tunnel(TunnelId{2}, ChildId{8}, "cvt-c")));
  CHECK(device_exists("cvt-c"));
}

TEST_CASE("control messages cross on both ports with their addresses, and the non-ESP marker stays on the wire") {
  NEEDS_ROOT();
  for (const auto& [a, b] : {std::pair{"127.0.0.1", "127.0.0.2"}, std::pair{"fd00::1", "fd00::2"}}) {
    GatewayPair pair({.a = a, .b = b});
    for (const std::uint16_t port : {std::uint16_t{500}, std::uint16_t{4500}}) {
      const Endpoint local{pair.endpoint_a().address, port}, remote{pair.endpoint_b().address, port};
      const Bytes message{1, 2, 3, 4, 5};
      REQUIRE(pair.a.plane->send_control(local, remote, message, false));
      const auto datagram = pair.b.next<tunnel::ControlDatagram>();
      REQUIRE(datagram);
      CHECK(datagram->bytes == message);
      CHECK(datagram->remote == local);
      CHECK(datagram->local == remote);
    }
    REQUIRE(pair.a.plane->send_control(pair.endpoint_a(), pair.endpoint_b(), Bytes{0xFF}, true));
    CHECK(eventually([&] { return pair.b.drops(DropReason::keepalive) == 1; }));
    const Endpoint not_ours{pair.endpoint_a().address, 4711};
    const auto refused = pair.a.plane->send_control(not_ours, pair.endpoint_b(), Bytes{1}, false);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::not_found);
  }
  GatewayPair pair;
  const UdpEnd peer({*IpAddress::parse("127.0.0.9"), 4500});
  REQUIRE(pair.a.plane->send_control(pair.endpoint_a(), {*IpAddress::parse("127.0.0.9"), 4500}, Bytes{7, 8}, false));
  CHECK(peer.receive()->bytes == Bytes{0, 0, 0, 0, 7, 8});
  CHECK(pair.a.plane->send_control(pair.endpoint_a(), {*IpAddress::parse("127.0.0.9"), 4500}, Bytes{0xFF}, true));
  CHECK(peer.receive()->bytes == Bytes{0xFF});
}

TEST_CASE("a flood of IKE that nobody takes fills its bounded queue, is counted, and ESP goes on beside it") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  const UdpEnd attacker({*IpAddress::parse("127.0.0.9"), 5555});
  const Bytes junk(300, 0xAA);
  CHECK(eventually([&] {
    for (int i = 0; i < 100; ++i) attacker.send({pair.endpoint_b().address, 500}, junk);
    return pair.b.drops(DropReason::control_queue_full) > 1000;
  }));
  check_both_ways(pair, 1);
  // Beside 1024 datagrams the notice that the peer uses the SA still got through.
  const auto first = pair.b.next<tunnel::SaEvent>();
  REQUIRE(first);
  CHECK(first->event == ChildEvent::first_inbound);
}

TEST_CASE("devices come and go with their tunnels, and one that exists already is not taken over") {
  NEEDS_ROOT();
  GatewayPair pair;
  CHECK(device_exists("cvt-a"));
  tunnel::TunnelConfig second = gre_tunnel(TunnelId{2}, ChildId{8}, "cvt-b");
  const auto taken = pair.a.plane->add_tunnel(second);
  REQUIRE_FALSE(taken);
  CHECK(taken.error().system_error == EBUSY);
  CHECK(taken.error().detail.find("cvt-b") != std::string::npos);

  for (const char* bad : {"", "a/b", "sixteen-letters!", "cv%d", "..", "with space"}) {
    second.device = bad;
    const auto refused = pair.a.plane->add_tunnel(second);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid);
  }
  second.device = "cvt-c";
  for (int i = 0; i < 20; ++i) {
    REQUIRE(pair.a.plane->add_tunnel(second));
    CHECK(device_exists("cvt-c"));
    pair.a.plane->remove_tunnel(second.id);
    CHECK_FALSE(device_exists("cvt-c"));
  }
  second.child = the_child;  // the pair's tunnel has key 42; without a key this is another one, twice is not
  REQUIRE(pair.a.plane->add_tunnel(second));
  const tunnel::TunnelConfig third = gre_tunnel(TunnelId{3}, the_child, "cvt-d");
  const auto ambiguous = pair.a.plane->add_tunnel(third);
  REQUIRE_FALSE(ambiguous);
  CHECK(ambiguous.error().code == Errc::invalid);
  CHECK_FALSE(device_exists("cvt-d"));
  pair.a = {};
  CHECK_FALSE(device_exists("cvt-a"));
  CHECK_FALSE(device_exists("cvt-c"));
}

TEST_CASE("a port in use, an address we do not have and a senseless option are errors that name what is wrong") {
  NEEDS_ROOT();
  const auto error_of = [](tunnel::DataPlaneOptions options) {
    auto plane = tunnel::DataPlane::create(std::move(options));
    REQUIRE_FALSE(plane);
    return plane.error();
  };
  const IpAddress address = *IpAddress::parse("127.0.0.1");
  const auto other = tunnel::DataPlane::create({.workers = 2, .listen = {address}});
  REQUIRE(other);
  const Error in_use = error_of({.workers = 2, .listen = {address}});
  CHECK(in_use.code == Errc::io);
  CHECK(in_use.system_error == EADDRINUSE);
  CHECK(in_use.detail.find("127.0.0.1:500") != std::string::npos);
  const Error wildcard = error_of({.workers = 1, .listen = {*IpAddress::parse("0.0.0.0")}});
  CHECK(wildcard.system_error == EADDRINUSE);
  const Error not_here = error_of({.workers = 1, .listen = {*IpAddress::parse("192.0.2.77")}});
  CHECK(not_here.system_error == EADDRNOTAVAIL);
  CHECK(error_of({.workers = 0, .listen = {address}}).code == Errc::invalid);
  CHECK(error_of({.workers = 1, .listen = {}}).code == Errc::invalid);
  CHECK(error_of({.workers = 1, .listen = {address}, .ike_port = 4500}).code == Errc::invalid);
}

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

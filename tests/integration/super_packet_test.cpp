// Super-packets through two data planes: what goes in at one device as one piece must come out of the other as the same
// stream, segment for segment, as a kernel without offload would have sent it (cut_by_the_book).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "culvert/wire/flow.h"
#include "gateway_pair.h"
#include "tun_linux.h"

using namespace culvert;
using namespace culvert::lab;
using tunnel::Carry;

namespace {

constexpr std::uint8_t ack = 0x10, psh = 0x08, fin = 0x01, cwr = 0x80;

/// As long as segments may be with the pair's MTU of 1400.
std::uint16_t full_segment(const PacketShape& shape) {
  const std::size_t header = (shape.source.is_v4() ? 20 : 40) + (shape.tcp ? 20 + shape.tcp_options_len : 8);
  return static_cast<std::uint16_t>(1400 - header);
}

/// `num` full segments, the last one `missing` bytes shorter.
PacketShape segments(bool v6, bool tcp, std::size_t num, std::size_t missing, std::uint8_t flags = ack) {
  PacketShape shape{
      .source = v6 ? host_a6 : host_a, .destination = v6 ? host_b6 : host_b, .tcp = tcp, .tcp_flags = flags};
  shape.segment_len = full_segment(shape);
  shape.payload_len = num * shape.segment_len - missing;
  shape.id = 0xFFF0;
  shape.sequence = 0xFFFFF000;  // both wrap on the way
  shape.fill = static_cast<std::uint8_t>(num);
  return shape;
}

/// Where the two first differ; "" when they are the same.
std::string difference(const std::vector<Bytes>& wanted, const std::vector<Bytes>& found) {
  for (std::size_t i = 0; i < std::min(wanted.size(), found.size()); ++i) {
    if (wanted[i] == found[i]) continue;
    const auto at = std::ranges::mismatch(wanted[i], found[i]).in1 - wanted[i].begin();
    return fmt::format("packet {} of {}: {} bytes instead of {}, differs from byte {}", i, wanted.size(),
                       found[i].size(), wanted[i].size(), at);
  }
  return wanted.size() == found.size() ? "" : fmt::format("{} packets instead of {}", found.size(), wanted.size());
}

/// Sends a super-packet from A to B and expects its segments there.
void check_crosses(const GatewayPair& pair, const PacketShape& shape) {
  CAPTURE(shape.source.is_v4());
  CAPTURE(shape.tcp);
  CAPTURE(shape.payload_len);
  const OffloadedPacket packet = make_packet(shape);
  const auto wanted = cut_by_the_book(packet);
  pair.a.device->send(packet);
  CHECK(difference(wanted, pair.b.device->receive_cut(wanted.size())) == "");
}

void check_nothing_dropped(const GatewayPair& pair) {
  for (const Gateway* gateway : {&pair.a, &pair.b}) {
    const auto drops = gateway->plane->drops();
    for (std::size_t i = 0; i < drops.size(); ++i) {
      CAPTURE(drop_reason_name(static_cast<DropReason>(i)));
      CHECK(drops[i] == 0);
    }
  }
}

/// A kernel without USO cuts before it hands over; then there is nothing to be tested here.
bool kernel_has_uso() {
  const auto queues = tunnel::TunQueue::create_device("cvt-uso", 1);
  REQUIRE(queues);
  if ((*queues)[0].features().udp) return true;
  MESSAGE("skipped: this kernel has no USO (Linux 6.2)");
  return false;
}

const std::vector<Agreement>& all_agreements() {
  static const std::vector<Agreement> all = [] {
    using enum crypto::CipherSuite;
    std::vector<Agreement> agreements;
    for (const auto encapsulation : {EspEncapsulation::udp, EspEncapsulation::raw}) {
      for (const auto suite : {aes_gcm_16_256, chacha20_poly1305, aes_cbc_256_sha2_256_128}) {
        for (const bool v6 : {false, true}) {
          Agreement base{.encapsulation = encapsulation, .suite = suite};
          if (v6) base.a = "fd00::1", base.b = "fd00::2";
          for (const bool gre_extras : {false, true}) {
            for (const auto mode : {EspMode::transport, EspMode::tunnel}) {
              Agreement gre = base;
              gre.mode = mode;
              gre.gre_checksum = gre.gre_sequence = gre_extras;
              agreements.push_back(gre);
            }
          }
          Agreement ip = base;
          ip.carry = Carry::ip;
          ip.mode = EspMode::tunnel;
          agreements.push_back(ip);
        }
      }
    }
    return agreements;
  }();
  return all;
}

std::string describe(const Agreement& agreement) {
  return fmt::format("{} {} {} {} {}{}", agreement.a, crypto::info(agreement.suite).name,
                     agreement.carry == Carry::gre ? "gre" : "ip",
                     agreement.mode == EspMode::tunnel ? "tunnel" : "transport",
                     agreement.encapsulation == EspEncapsulation::udp ? "UDP" : "raw",
                     agreement.gre_checksum ? " with checksum and sequence" : "");
}

}  // namespace

TEST_CASE("super-packets cross as the same stream, whatever is outside, with every kind of suite and carrier") {
  NEEDS_ROOT();
  const bool uso = kernel_has_uso();
  for (const Agreement& agreement : all_agreements()) {
    INFO(describe(agreement));
    GatewayPair pair(agreement);
    pair.install(1);
    for (const bool v6 : {false, true}) {
      check_crosses(pair, segments(v6, true, 2, 0));
      check_crosses(pair, segments(v6, true, 3, 1327, ack | psh));  // the last segment has 1 or 21 bytes
      check_crosses(pair, segments(v6, true, 17, 555, ack | psh | fin));
      check_crosses(pair, segments(v6, true, 48, 77, ack | cwr));
      if (!uso) continue;
      check_crosses(pair, segments(v6, false, 2, 0));
      check_crosses(pair, segments(v6, false, 3, 1351));  // the last datagram has 1 or 21 bytes
      check_crosses(pair, segments(v6, false, 46, 77));
    }
    check_nothing_dropped(pair);
  }
}

TEST_CASE("super-packets of every number of segments and of small ones cross") {
  NEEDS_ROOT();
  const bool uso = kernel_has_uso();
  GatewayPair pair;
  pair.install(1);
  for (const bool v6 : {false, true}) {
    for (const bool tcp : {false, true}) {
      if (!tcp && !uso) continue;
      for (std::size_t num = 1; num <= 48; ++num) {
        PacketShape shape = segments(v6, tcp, num, num % 7, num % 2 == 0 ? ack | psh : ack);
        if (shape.payload_len <= 65000) check_crosses(pair, shape);
        shape.segment_len = static_cast<std::uint16_t>(8 + num);  // more of them than a batch or a message takes
        shape.payload_len = std::size_t{100} * shape.segment_len - 3;
        check_crosses(pair, shape);
      }
    }
  }
  check_nothing_dropped(pair);
}

TEST_CASE("jumbo super-packets cross whole, and so does one segment of the largest size") {
  NEEDS_ROOT();
  GatewayPair pair({.mtu = 65000});
  pair.install(1);
  for (const bool v6 : {false, true}) {
    for (const std::uint16_t segment_len : {std::uint16_t{8900}, std::uint16_t{16000}, std::uint16_t{33000}}) {
      PacketShape shape = segments(v6, true, 1, 0);
      shape.segment_len = segment_len;
      shape.payload_len = 65000;
      check_crosses(pair, shape);
    }
  }
  check_nothing_dropped(pair);
}

TEST_CASE("a super-packet leaves as one message and comes back as one: the offloads are used, not only right") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  const auto before = pair.b.plane->worker_counters().udp_receive_batches;
  pair.a.device->send(make_packet(segments(false, true, 40, 0)));
  const auto arrived = pair.b.device->receive_offloaded();
  REQUIRE(arrived);
  CHECK(arrived->offload.gso_type == KernelOffload::tcp4);
  CHECK(arrived->offload.gso_size == 1348);
  CHECK(arrived->bytes.size() == 52 + 40 * 1348);
  CHECK(pair.b.plane->worker_counters().udp_receive_batches - before == 1);
}

TEST_CASE("a super-packet that waited for its SA leaves whole, and so does a packet that waited for its checksum") {
  NEEDS_ROOT();
  for (const Carry carry : {Carry::gre, Carry::ip}) {
    GatewayPair pair({.carry = carry, .mode = carry == Carry::ip ? EspMode::tunnel : EspMode::transport, .trap = true});
    const OffloadedPacket first = make_packet(segments(false, true, 30, 99, ack | psh));
    const OffloadedPacket second = make_packet({.source = host_a6, .destination = host_b6, .payload_len = 333});
    pair.a.device->send(first);
    pair.a.device->send(second);
    const auto acquire = pair.a.next<tunnel::AcquireEvent>();
    REQUIRE(acquire);
    if (carry == Carry::ip) {
      CHECK(acquire->source.first == host_a);
      CHECK(acquire->source.start_port == 40000);
      CHECK(acquire->destination.first == host_b);
    }
    CHECK_FALSE(pair.b.device->receive(std::chrono::milliseconds(20)));
    pair.install(1);
    auto wanted = cut_by_the_book(first);
    wanted.push_back(cut_by_the_book(second)[0]);
    CHECK(difference(wanted, pair.b.device->receive_cut(wanted.size())) == "");
    check_nothing_dropped(pair);
  }
}

TEST_CASE("more super-packets than may wait are dropped and counted, those that wait leave in order") {
  NEEDS_ROOT();
  GatewayPair pair({.trap = true});
  std::vector<Bytes> wanted;
  for (std::size_t i = 0; i < 20; ++i) {
    PacketShape shape = segments(false, true, 30, 0);
    shape.sequence = static_cast<std::uint32_t>(i * shape.payload_len);
    const OffloadedPacket packet = make_packet(shape);
    pair.a.device->send(packet);
    if (i < 3) {
      for (Bytes& segment : cut_by_the_book(packet)) wanted.push_back(std::move(segment));
    }
  }
  CHECK(eventually([&] { return pair.a.drops(DropReason::wait_queue_full) == 17; }));  // 128 KiB: WaitQueue
  pair.install(1);
  CHECK(difference(wanted, pair.b.device->receive_cut(wanted.size())) == "");
  CHECK_FALSE(pair.b.device->receive(std::chrono::milliseconds(20)));
}

TEST_CASE("a super-packet whose segments no longer fit is answered once with the MTU (RFC 1191 §4, RFC 4443 §3.2)") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  for (const bool v6 : {false, true}) {
    CAPTURE(v6);
    const std::uint16_t mtu = v6 ? 1280 : 1000;
    pair.a.plane->set_mtu(the_tunnel, mtu);
    const auto dropped_before = pair.a.drops(DropReason::too_big);
    const OffloadedPacket packet = make_packet(segments(v6, true, 20, 0));
    pair.a.device->send(packet);
    const auto answer = pair.a.device->receive();
    REQUIRE(answer);
    const std::size_t icmp = v6 ? 40 : 20;
    REQUIRE(answer->size() > icmp + 8);
    if (v6) {
      CHECK((*answer)[40] == 2);
      CHECK(load_be<std::uint32_t>(&(*answer)[44]) == 1280);
      CHECK(answer->size() == 1280);  // RFC 4443 §2.4 (c): as much as fits the minimum MTU
    } else {
      CHECK((*answer)[20] == 3);
      CHECK((*answer)[21] == 4);
      CHECK(load_be<std::uint16_t>(&(*answer)[26]) == 1000);
      CHECK(answer->size() == 576);  // RFC 1812 §4.3.2.3
    }
    // It quotes the first segment, so that the sender finds its connection and the sequence number in its window.
    const Bytes first = cut_by_the_book(packet)[0];
    const ByteView quoted = ByteView(*answer).subspan(icmp + 8);
    CHECK(std::ranges::equal(quoted, ByteView(first).first(quoted.size())));
    CHECK_FALSE(pair.a.device->receive(std::chrono::milliseconds(20)));
    CHECK_FALSE(pair.b.device->receive(std::chrono::milliseconds(20)));
    CHECK(pair.a.drops(DropReason::too_big) - dropped_before == 20);
  }
}

TEST_CASE("a super-packet without DF whose segments no longer fit leaves in fragments of each (RFC 791 §3.2)") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  pair.a.plane->set_mtu(the_tunnel, 1000);
  PacketShape shape = segments(false, true, 20, 700);
  shape.dont_fragment = false;
  const OffloadedPacket packet = make_packet(shape);
  pair.a.device->send(packet);
  auto wanted = cut_by_the_book(packet);
  std::vector<Bytes> found;
  for (std::vector<Bytes> fragments; found.size() < wanted.size();) {
    auto arrived = pair.b.device->receive();
    REQUIRE(arrived);
    REQUIRE(arrived->size() <= 1000);
    const bool is_last = (load_be<std::uint16_t>(&(*arrived)[6]) & 0x2000) == 0;
    fragments.push_back(std::move(*arrived));
    if (!is_last) continue;
    found.push_back(fragments.size() == 1 ? fragments[0] : reassemble(fragments));
    fragments.clear();
  }
  CHECK(difference(wanted, found) == "");  // the last one is short enough to pass as it is
  check_nothing_dropped(pair);
}

TEST_CASE("a packet whose checksum was left to us leaves with the right one") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  for (const bool v6 : {false, true}) {
    for (const bool tcp : {false, true}) {
      for (std::size_t len = 0; len <= 1300; len += len < 70 ? 1 : 41) {
        PacketShape shape = segments(v6, tcp, 1, 0);
        shape.payload_len = len;
        check_crosses(pair, shape);
      }
    }
  }
  // The checksum of a datagram that sums up to nothing is 0xFFFF (RFC 768).
  const auto sum_of = [](const Bytes& packet) { return load_be<std::uint16_t>(&packet[26]); };
  OffloadedPacket packet = make_packet({.source = host_a, .destination = host_b, .tcp = false, .payload_len = 2});
  store_be(&packet.bytes[28], std::uint16_t{0});
  store_be(&packet.bytes[28], sum_of(cut_by_the_book(packet)[0]));
  REQUIRE(sum_of(cut_by_the_book(packet)[0]) == 0xFFFF);
  pair.a.device->send(packet);
  CHECK(pair.b.device->receive() == cut_by_the_book(packet)[0]);
  check_nothing_dropped(pair);
}

TEST_CASE("where a checksum goes is believed before the policy is asked: it cannot change what the policy saw") {
  NEEDS_ROOT();
  GatewayPair pair({.carry = Carry::ip, .mode = EspMode::tunnel});
  pair.install(1);
  OffloadedPacket packet = make_packet({.source = host_a6, .destination = host_b6, .payload_len = 100});
  packet.offload.csum_start = 20;  // no less: the kernel wants an IPv4 header before it, whatever the packet is
  packet.offload.csum_offset = 4;  // the first word of the destination: fd02, which the selectors want
  pair.a.device->send(packet);
  CHECK(eventually([&] { return pair.a.drops(DropReason::no_policy) == 1; }));
  CHECK_FALSE(pair.b.device->receive(std::chrono::milliseconds(20)));
}

TEST_CASE(
    "what the kernel says of a packet may be wrong: it is refused, dropped and counted, or set right, and no more") {
  NEEDS_ROOT();
  using Change = void (*)(OffloadedPacket&);
  struct Lie {
    const char* what;
    Change change;
    bool v6 = false, tcp = true;
  };
  // Linux 6.18 refuses most of these itself (EINVAL), cuts some itself and loses some; others may not.
  static const Lie lies[] = {
      {"segments of no length", [](auto& p) { p.offload.gso_size = 0; }},
      {"a checksum behind the end", [](auto& p) { p.offload.csum_start = 65000; }},
      {"a checksum in the TCP header's middle", [](auto& p) { p.offload.csum_start = 24; }},
      {"a UDP checksum in a TCP packet", [](auto& p) { p.offload.csum_offset = 6; }},
      {"no checksum to fill in", [](auto& p) { p.offload.flags = 0; }},
      {"TCP that is UDP", [](auto& p) { p.offload.gso_type = KernelOffload::tcp4; }, false, false},
      {"UDP that is TCP", [](auto& p) { p.offload.gso_type = KernelOffload::udp, p.offload.csum_offset = 6; }},
      {"IPv6 that is IPv4", [](auto& p) { p.offload.gso_type = KernelOffload::tcp6; }},
      {"IPv4 that is IPv6", [](auto& p) { p.offload.gso_type = KernelOffload::tcp4; }, true},
      {"a kind nobody knows", [](auto& p) { p.offload.gso_type = 7; }},
      {"no total length", [](auto& p) { store_be(&p.bytes[2], std::uint16_t{0}); }},
      {"a total length beyond the end", [](auto& p) { store_be(&p.bytes[2], std::uint16_t{65535}); }},
      {"a total length inside the headers", [](auto& p) { store_be(&p.bytes[2], std::uint16_t{30}); }},
      {"a payload length beyond the end", [](auto& p) { store_be(&p.bytes[4], std::uint16_t{65000}); }, true},
      {"an IPv4 header that is too short", [](auto& p) { p.bytes[0] = 0x44; }},
      {"an IPv4 header that is longer", [](auto& p) { p.bytes[0] = 0x4F; }},
      {"a TCP header that is too short", [](auto& p) { p.bytes[32] = 0x40; }},
      {"a protocol that nobody cuts", [](auto& p) { p.bytes[9] = 47; }},
      {"a version that there is not", [](auto& p) { p.bytes[0] = 0x55; }},
  };
  GatewayPair pair;
  pair.install(1);
  for (const Lie& lie : lies) {
    CAPTURE(lie.what);
    OffloadedPacket packet = make_packet(segments(lie.v6, lie.tcp, 4, 10));
    lie.change(packet);
    try {
      pair.a.device->send(packet);
    } catch (const std::system_error& refused) {
      CHECK(refused.code().value() == EINVAL);
    }
    while (const auto arrived = pair.b.device->receive(std::chrono::milliseconds(10))) {
      CHECK(wire::Flow::parse(*arrived));
      CHECK(arrived->size() <= packet.bytes.size());
    }
  }
  const auto dropped_before = pair.a.drops(DropReason::inner_malformed);
  OffloadedPacket fragment = make_packet(segments(false, true, 4, 10));
  store_be(&fragment.bytes[6], std::uint16_t{0x2000});
  pair.a.device->send(fragment);  // this one Linux hands over as it is
  CHECK(eventually([&] { return pair.a.drops(DropReason::inner_malformed) == dropped_before + 1; }));
  check_crosses(pair, segments(false, true, 30, 10));
  check_crosses(pair, segments(true, true, 30, 10));
}

TEST_CASE("joined datagrams are taken apart: ESP of two SAs, IKE, garbage, a replay and a keepalive in one piece") {
  NEEDS_ROOT();
  GatewayPair pair;
  const Endpoint wire_address{*IpAddress::parse("127.0.0.9"), 4500};
  const UdpEnd wire(wire_address);
  std::vector<Bytes> esp;
  for (const std::uint32_t sa : {1U, 2U}) {  // the newest is used
    pair.install(sa);
    pair.a.plane->move(GatewayPair::spi_a(sa), pair.endpoint_a(), wire_address, pair.encapsulation());
    for (std::uint32_t i = 0; i < 2; ++i) {
      pair.a.device->send(udp_packet(host_a, host_b, sa * 10 + i, 200));
      const auto seen = wire.receive();
      REQUIRE(seen);
      esp.push_back(seen->bytes);
    }
  }
  const std::size_t len = esp[0].size();
  Bytes ike(len, 0x77), unknown = esp[0], changed = esp[1];
  std::fill_n(ike.begin(), 4, std::uint8_t{0});  // the non-ESP marker
  unknown[1] ^= 0x40;
  changed[len - 1] ^= 1;
  const auto batches_before = pair.b.plane->worker_counters().udp_receive_batches;
  wire.send_joined(pair.endpoint_b(),
                   {esp[0], ike, esp[2], unknown, changed, esp[1], Bytes(len, 0xFF), esp[0], esp[3], Bytes{0xFF}});
  for (const std::uint32_t number : {10U, 20U, 11U, 21U}) {
    const auto arrived = pair.b.device->receive();
    REQUIRE(arrived);
    CHECK(number_of(*arrived) == number);
  }
  const auto message = pair.b.next<tunnel::ControlDatagram>();
  REQUIRE(message);
  CHECK(message->bytes == Bytes(ike.begin() + 4, ike.end()));
  CHECK(message->remote == wire_address);
  CHECK(pair.b.plane->worker_counters().udp_receive_batches - batches_before == 1);
  CHECK(eventually([&] { return pair.b.drops(DropReason::keepalive) == 1; }));
  CHECK(eventually([&] { return pair.b.drops(DropReason::unknown_spi) == 2; }));
  CHECK(pair.b.drops(DropReason::icv_failed) == 1);
  CHECK(pair.b.drops(DropReason::replay) == 1);
  CHECK_FALSE(pair.b.device->receive(std::chrono::milliseconds(20)));
}

TEST_CASE("a joined message of the most datagrams, of ones without content, and of ones too short for ESP") {
  NEEDS_ROOT();
  GatewayPair pair;
  pair.install(1);
  const UdpEnd wire({*IpAddress::parse("127.0.0.9"), 4500});
  const auto sent = [&](const std::vector<Bytes>& datagrams, DropReason reason, std::uint64_t num) {
    const auto before = pair.b.drops(reason);
    wire.send_joined(pair.endpoint_b(), datagrams);
    return eventually([&] { return pair.b.drops(reason) - before == num; });
  };
  CHECK(sent(std::vector<Bytes>(64, Bytes(1000, 0xAB)), DropReason::unknown_spi, 64));
  CHECK(sent(std::vector<Bytes>(64, Bytes{0xFF}), DropReason::keepalive, 64));
  CHECK(sent(std::vector<Bytes>(64, Bytes(7, 0xAB)), DropReason::outer_malformed, 64));
  wire.send(pair.endpoint_b(), {});
  CHECK(eventually([&] { return pair.b.drops(DropReason::outer_malformed) == 65; }));
  check_crosses(pair, segments(false, true, 30, 10));
}

TEST_CASE("flows side by side stay in order, each for itself, also when they wait together for one batch") {
  NEEDS_ROOT();
  for (const bool wait : {false, true}) {
    for (const unsigned workers : {1U, 3U}) {
      CAPTURE(wait);
      CAPTURE(workers);
      GatewayPair pair({.trap = true, .workers = workers});
      if (!wait) pair.install(1);
      constexpr std::uint16_t first_port = 40000, num_flows = 3;
      std::vector<std::vector<Bytes>> wanted(num_flows), found(num_flows);
      std::size_t num_wanted = 0;
      for (std::size_t i = 0; i < 36; ++i) {  // super-packets and single ones, v4, v6 and UDP beside each other
        const std::size_t flow = i * 7 % num_flows;
        PacketShape shape = segments(flow == 1, flow != 2, i % 4 == 3 ? 4 : 1, i % 5);
        shape.source_port = static_cast<std::uint16_t>(first_port + flow);
        shape.sequence = static_cast<std::uint32_t>(i * 10'000);
        shape.id = static_cast<std::uint16_t>(0xFFF0 + wanted[flow].size());
        if (flow == 2) shape.segment_len = 0, shape.payload_len = 500;
        const OffloadedPacket packet = make_packet(shape);
        pair.a.device->send(packet);
        for (Bytes& segment : cut_by_the_book(packet)) wanted[flow].push_back(std::move(segment)), ++num_wanted;
      }
      if (wait) {
        const auto acquire = pair.a.next<tunnel::AcquireEvent>();
        REQUIRE(acquire);
        pair.install(1);
      }
      for (Bytes& packet : pair.b.device->receive_cut(num_wanted)) {
        const std::size_t ports_at = packet[0] >> 4 == 4 ? 20 : 40;
        const std::size_t flow = static_cast<std::size_t>(load_be<std::uint16_t>(&packet[ports_at]) - first_port);
        REQUIRE(flow < num_flows);
        found[flow].push_back(std::move(packet));
      }
      for (std::size_t flow = 0; flow < num_flows; ++flow) CHECK(difference(wanted[flow], found[flow]) == "");
      check_nothing_dropped(pair);
    }
  }
}

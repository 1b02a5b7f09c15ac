#include "coalescer.h"

#include <doctest/doctest.h>

#include <functional>
#include <random>

#include "coalescer_packets.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {

const Groups together2{{0, 1}}, apart2{{0}, {1}}, apart3{{0}, {1}, {2}}, around{{0, 2}, {1}};

std::vector<Spec> all_kinds() {
  return {
      {.v6 = false, .tcp = true}, {.v6 = true, .tcp = true}, {.v6 = false, .tcp = false}, {.v6 = true, .tcp = false}};
}

/// A changed second packet, its checksums right again.
Groups with_second(const Spec& spec, const std::function<void(Bytes&)>& change) {
  std::vector<Bytes> packets = make_run(spec, 2);
  change(packets[1]);
  fix_checksums(packets[1]);
  return groups(packets);
}
Groups with_byte(const Spec& spec, std::size_t at, std::uint8_t flipped_bits = 1) {
  return with_second(spec, [&](Bytes& packet) { packet[at] ^= flipped_bits; });
}

/// Two packets that belong together but for a change of both, their checksums right again.
Groups with_both(const Spec& spec, const std::function<void(Bytes&)>& change) {
  std::vector<Bytes> packets = make_run(spec, 2);
  for (Bytes& packet : packets) {
    change(packet);
    fix_checksums(packet);
  }
  return groups(packets);
}

/// Packets 0 and 2 belong together; 1 is another one that comes between them.
Groups with_between(const Spec& spec, const Bytes& between) {
  std::vector<Bytes> packets = make_run(spec, 2);
  packets.insert(packets.begin() + 1, between);
  return groups(packets);
}

Bytes changed(Bytes packet, std::size_t at, std::uint8_t flipped_bits, bool fix = true) {
  packet[at] ^= flipped_bits;
  if (fix) fix_checksums(packet);
  return packet;
}

/// With 8 bytes of IPv4 NOP options, or an IPv6 Destination Options header of 8 bytes of padding.
Bytes with_ip_options(Bytes packet) {
  const bool v4 = packet[0] >> 4 == 4;
  Bytes options = hex("0101010101010101");
  if (v4) {
    packet[0] += 2;
  } else {
    options = hex("0000010400000000");
    options[0] = packet[6];
    packet[6] = 60;
  }
  const std::size_t upper = v4 ? 20 : 40;
  packet.insert(packet.begin() + static_cast<std::ptrdiff_t>(upper), options.begin(), options.end());
  std::uint8_t* len = &packet[v4 ? 2 : 4];
  store_be(len, static_cast<std::uint16_t>(load_be<std::uint16_t>(len) + 8));
  if (v4) {
    fix_checksums(packet, upper + 8);
  }
  return packet;
}

}  // namespace

TEST_CASE("coalescer: packets of one flow become what scapy makes of their whole payload") {
  for (const Known& k : known) {
    CAPTURE(k.spec.v6);
    CAPTURE(k.spec.tcp);
    const Outcome outcome = join(k.packets);
    REQUIRE(outcome.groups == Groups{{0, 1, 2}});
    CHECK(outcome.packets[0] == k.joined);
    const Offload& offload = outcome.offloads[0];
    CHECK(offload.kind == (k.spec.tcp ? Offload::Kind::tcp : Offload::Kind::udp));
    CHECK(offload.needs_checksum);
    CHECK(offload.segment_len == 8);
    const std::size_t ip_len = k.spec.v6 ? 40 : 20;
    CHECK(offload.header_len == ip_len + (k.spec.tcp ? 32 : 8));
    CHECK(offload.checksum_start == ip_len);
    CHECK(offload.checksum_offset == (k.spec.tcp ? 16 : 6));
  }
}

TEST_CASE("coalescer: the packets that these tests make are scapy's") {
  for (const Known& k : known) {
    std::vector<Bytes> packets = make_run(k.spec, 2);
    packets.push_back(
        make({.v6 = k.spec.v6, .tcp = k.spec.tcp, .id = 0, .sequence = 8, .flags = 0x18, .len = 5, .first = 16}));
    CHECK(packets == k.packets);
  }
}

TEST_CASE("coalescer: only what the device takes is joined") {
  for (const Spec& spec : all_kinds()) {
    const std::vector<Bytes> packets = make_run(spec, 2);
    CHECK(groups(packets, {.tcp = spec.tcp, .udp = !spec.tcp}) == together2);
    CHECK(groups(packets, {.tcp = !spec.tcp, .udp = spec.tcp}) == apart2);
    CHECK(groups(packets, {}) == apart2);
  }
  // What it does not take leaves the runs of the other kind open.
  std::vector<Bytes> packets = make_run({}, 2);
  packets.insert(packets.begin() + 1, make({.tcp = false}));
  CHECK(groups(packets, {.tcp = true}) == around);
  CHECK(groups({}).empty());
}

TEST_CASE("coalescer: a header field that differs keeps packets apart") {
  for (const bool tcp : {true, false}) {
    for (const std::size_t at : {1, 8, 14, 15, 18, 19, 20, 21, 22, 23}) {  // TOS, TTL, addresses, ports
      CAPTURE(at);
      CHECK(with_byte({.tcp = tcp}, at) == apart2);
    }
    CHECK(with_byte({.tcp = tcp}, 1, 3) == apart2);     // ECN CE
    CHECK(with_byte({.tcp = tcp}, 6, 0x40) == apart2);  // DF
    CHECK(with_byte({.tcp = tcp}, 6, 0x80) == apart2);  // the reserved bit
    for (std::size_t at = 0; at < 44; ++at) {
      if (at == 4 || at == 5) continue;  // length
      CAPTURE(at);
      if (at == 0) {
        CHECK(with_byte({.v6 = true, .tcp = tcp}, at, 0x04) == apart2);  // traffic class
      } else if (at != 6) {
        CHECK(with_byte({.v6 = true, .tcp = tcp}, at) == apart2);
      }
    }
  }
  for (const bool v6 : {false, true}) {
    const std::size_t upper = v6 ? 40 : 20;
    for (std::size_t at = 8; at < 32; ++at) {  // ack, offset and reserved bits, flags, window, urgent pointer, options
      if (at == 12 || at == 16 || at == 17) continue;
      CAPTURE(at);
      CHECK(with_byte({.v6 = v6}, upper + at) == apart2);
    }
    CHECK(with_byte({.v6 = v6}, upper + 12, 0x01) == apart2);
    CHECK(with_byte({.v6 = v6}, upper + 12, 0x10) == apart2);  // another header length
  }
}

TEST_CASE("coalescer: sequence numbers are consecutive") {
  for (const bool v6 : {false, true}) {
    for (const std::uint32_t sequence : {1U, 0xFFFFFFFFU, 0xFFFFFFF8U, 0xFFFFFFF0U, 0x80000000U}) {
      CHECK(groups({make({.v6 = v6}), make({.v6 = v6, .id = 0xFFFF, .sequence = sequence})}) == apart2);
    }
    CHECK(groups({make({.v6 = v6}), make({.v6 = v6, .id = 0xFFFF, .sequence = 0})}) == together2);
  }
  // A gap ends the run for good: what would have followed has been overtaken.
  const std::vector<Bytes> run = make_run({}, 4);
  CHECK(groups({run[0], run[2], run[1], run[3]}) == Groups{{0}, {1}, {2}, {3}});
  CHECK(groups({run[0], run[1], run[0], run[1]}) == Groups{{0, 1}, {2, 3}});
}

TEST_CASE("coalescer: no flags but ACK and PSH") {
  for (const bool v6 : {false, true}) {
    for (unsigned flags = 0; flags < 256; ++flags) {
      CAPTURE(flags);
      const auto f = static_cast<std::uint8_t>(flags);
      const Bytes first = make({.v6 = v6}), second = make({.v6 = v6, .id = 0xFFFF, .sequence = 0, .flags = f});
      CHECK(groups({first, second}) == (f == 0x10 || f == 0x18 ? together2 : apart2));
      CHECK(groups({make({.v6 = v6, .flags = f}), make({.v6 = v6, .id = 0xFFFF, .sequence = 0, .flags = f})}) ==
            (f == 0x10 ? together2 : apart2));
    }
    // All with the reserved bits of AccECN set alike.
    std::vector<Bytes> run = make_run({.v6 = v6}, 2);
    for (Bytes& packet : run) packet = changed(packet, (v6 ? 40 : 20) + 12, 1);
    CHECK(groups(run) == apart2);
  }
}

TEST_CASE("coalescer: PSH may be on the last one, and ends it") {
  for (const bool v6 : {false, true}) {
    const std::size_t flags = (v6 ? 40 : 20) + 13;
    std::vector<Bytes> run = make_run({.v6 = v6}, 6);
    run[2] = changed(run[2], flags, 0x08);
    const Outcome outcome = join(run);
    CHECK(outcome.groups == Groups{{0, 1, 2}, {3, 4, 5}});
    CHECK(outcome.packets[0][flags] == 0x18);
    CHECK(outcome.packets[1][flags] == 0x10);
    run[0] = changed(run[0], flags, 0x08);
    CHECK(groups(run) == Groups{{0}, {1, 2}, {3, 4, 5}});
  }
}

TEST_CASE("coalescer: all payloads are as long as the first, the last may be shorter") {
  for (Spec spec : all_kinds()) {
    const auto second = [&](std::size_t first_len, std::size_t second_len) {
      Spec next = spec;
      spec.len = first_len;
      next.len = second_len;
      next.id = 0xFFFF;
      next.sequence = spec.sequence + static_cast<std::uint32_t>(first_len);
      return groups({make(spec), make(next)});
    };
    CHECK(second(8, 8) == together2);
    CHECK(second(8, 7) == together2);
    CHECK(second(8, 1) == together2);
    CHECK(second(1, 1) == together2);
    CHECK(second(8, 9) == apart2);
    CHECK(second(8, 0) == apart2);
    CHECK(second(0, 8) == apart2);
    CHECK(second(0, 0) == apart2);

    Spec third = spec;
    third.len = 3;
    std::vector<Bytes> packets = make_run({.v6 = spec.v6, .tcp = spec.tcp}, 2);
    third.id = 0;
    third.sequence = 8;
    packets.push_back(make(third));
    third.id = 1;
    third.sequence = 11;
    packets.push_back(make(third));
    CHECK(groups(packets) == Groups{{0, 1, 2}, {3}});
  }
}

TEST_CASE("coalescer: what cannot be joined ends the run of its flow, but not of others") {
  for (const Spec& spec : all_kinds()) {
    CAPTURE(spec.v6);
    CAPTURE(spec.tcp);
    const std::size_t upper = spec.v6 ? 40 : 20;
    const Bytes second = make_run(spec, 2)[1];
    Spec empty = spec;
    empty.len = 0;
    CHECK(with_between(spec, make(empty)) == apart3);  // a pure ACK, an empty datagram
    CHECK(with_between(spec, with_ip_options(second)) == apart3);
    CHECK(with_between(spec, changed(second, second.size() - 1, 1, false)) == apart3);  // wrong checksum
    Bytes padded = second;
    padded.push_back(0);
    CHECK(with_between(spec, padded) == apart3);
    Bytes cut = second;
    cut.pop_back();
    CHECK(with_between(spec, cut) == apart3);
    if (spec.v6) {
      Bytes fragment = second;  // RFC 8200 §4.5: offset 1480, more
      fragment.insert(fragment.begin() + 40, {fragment[6], 0, 0x05, 0xC9, 0, 0, 0, 1});
      fragment[6] = 44;
      store_be(&fragment[4], static_cast<std::uint16_t>(fragment.size() - 40));
      CHECK(with_between(spec, fragment) == apart3);
    } else {
      CHECK(with_between(spec, changed(second, 6, 0x60)) == apart3);       // the first fragment
      CHECK(with_between(spec, changed(second, 7, 0x05)) == apart3);       // a later one
      CHECK(with_between(spec, changed(second, 11, 1, false)) == apart3);  // wrong IPv4 checksum
    }
    if (spec.tcp) {
      for (const std::uint8_t flag : {0x01, 0x02, 0x04, 0x20, 0x40, 0x80}) {
        CHECK(with_between(spec, changed(second, upper + 13, flag)) == apart3);
      }
    } else {
      Bytes unsummed = second;
      store_be(&unsummed[upper + 6], std::uint16_t{0});
      CHECK(with_between(spec, unsummed) == apart3);
      CHECK(with_between(spec, changed(second, upper + 5, 1)) == apart3);  // UDP length
    }

    const auto other = [&](std::size_t at) { return with_between(spec, changed(second, at, 1)); };
    CHECK(other(upper + 1) == around);  // ports
    CHECK(other(upper + 3) == around);
    CHECK(other(upper - 1) == around);  // addresses
    CHECK(other(spec.v6 ? 20 : 15) == around);
    Spec different = spec;
    different.tcp = !spec.tcp;
    CHECK(with_between(spec, make(different)) == around);
    different = spec;
    different.v6 = !spec.v6;
    CHECK(with_between(spec, make(different)) == around);
    Bytes other_fragment = changed(second, upper - 1, 1);
    other_fragment[spec.v6 ? 6 : 9] = spec.v6 ? 44 : 1;
    CHECK(with_between(spec, other_fragment) == around);
  }
}

TEST_CASE("coalescer: packets that are alike are still not joined when they are not plain TCP or UDP") {
  for (const Spec& spec : all_kinds()) {
    const std::size_t upper = spec.v6 ? 40 : 20;
    CHECK(with_both(spec, [](Bytes&) {}) == together2);
    if (spec.v6) {
      CHECK(with_both(spec, [](Bytes& packet) { packet[0] = 0x72; }) == apart2);  // version 7
    } else {
      std::vector<Bytes> version5 = make_run(spec, 2);
      for (Bytes& packet : version5) {
        packet[0] = 0x55;
        store_be(&packet[10], std::uint16_t{0});
        store_be(&packet[10], checksum_of(ByteView(packet).first(20)));
      }
      CHECK(groups(version5) == apart2);
      for (const std::uint16_t fragment : {0x2000, 0x6000, 0x0001, 0x2001, 0x8000, 0xC000}) {
        CHECK(with_both(spec, [&](Bytes& packet) { store_be(&packet[6], fragment); }) == apart2);
      }
    }
    CHECK(groups({with_ip_options(make(spec)), with_ip_options(make_run(spec, 2)[1])}) == apart2);
    if (!spec.tcp) continue;
    for (const std::uint8_t offset : {0x00, 0x40, 0x81, 0x88, 0xF0}) {  // too short, reserved bits, beyond the packet
      std::vector<Bytes> run = make_run(spec, 2);
      store_be(&run[1][upper + 4], spec.sequence + 40 - offset / 16 * 4U);  // what the header says of the length
      for (Bytes& packet : run) {
        packet[upper + 12] = offset;
        fix_checksums(packet);
      }
      CHECK(groups(run) == apart2);
    }
  }
}

TEST_CASE("coalescer: a length that is not the packet's keeps it apart, though the checksums hold") {
  for (const Spec& spec : all_kinds()) {
    CAPTURE(spec.v6);
    CAPTURE(spec.tcp);
    const auto wrong_len = [&](std::size_t which, std::size_t at, int by) {
      std::vector<Bytes> packets = make_run(spec, 3);
      std::uint8_t* len = &packets[which][at];
      store_be(len, static_cast<std::uint16_t>(load_be<std::uint16_t>(len) + by));
      fix_checksums(packets[which]);
      return groups(packets);
    };
    const Groups expected[] = {{{0}, {1, 2}}, apart3, {{0, 1}, {2}}};
    for (std::size_t which = 0; which < 3; ++which) {
      for (const int by : {-1, 1}) {
        CHECK(wrong_len(which, spec.v6 ? 4 : 2, by) == expected[which]);
        if (!spec.tcp) CHECK(wrong_len(which, spec.v6 ? 44 : 24, by) == expected[which]);
      }
    }
  }
}

TEST_CASE("coalescer: a wrong checksum keeps a packet apart, wherever it stands") {
  for (const Spec& spec : all_kinds()) {
    const std::vector<Bytes> run = make_run(spec, 4);
    for (std::size_t wrong = 0; wrong < 4; ++wrong) {
      for (const std::size_t at : {std::size_t{4}, std::size_t{9}, run[0].size() - 1}) {
        if (spec.v6 && at < 20) continue;  // no checksum over these
        CAPTURE(wrong);
        CAPTURE(at);
        std::vector<Bytes> packets = run;
        packets[wrong] = changed(packets[wrong], at, 0x10, false);
        const Groups expected[] = {{{0}, {1, 2, 3}}, {{0}, {1}, {2, 3}}, {{0, 1}, {2}, {3}}, {{0, 1, 2}, {3}}};
        CHECK(groups(packets) == expected[wrong]);
      }
    }
    if (spec.tcp) continue;
    for (std::size_t unsummed = 0; unsummed < 2; ++unsummed) {
      std::vector<Bytes> packets{run[0], run[1]};
      store_be(&packets[unsummed][(spec.v6 ? 40 : 20) + 6], std::uint16_t{0});
      CHECK(groups(packets) == apart2);
    }
  }
}

TEST_CASE("coalescer: a UDP checksum of 0xFFFF, which stands for 0, holds") {
  for (const bool v6 : {false, true}) {
    std::vector<Bytes> run = make_run({.v6 = v6, .tcp = false}, 2);
    const std::size_t upper = v6 ? 40 : 20;
    // With the checksum of the rest as its last word, the sum of all is 0xFFFF.
    run[1][upper + 14] = run[1][upper + 15] = 0;
    fix_checksums(run[1]);
    store_be(&run[1][upper + 14], load_be<std::uint16_t>(&run[1][upper + 6]));
    store_be(&run[1][upper + 6], std::uint16_t{0xFFFF});
    CHECK(groups(run) == together2);
    CHECK(groups({run[1], run[1]}) == together2);  // the same identification, with DF
    // A field of 0 says that there is none, even where 0 is what the sum is.
    store_be(&run[1][upper + 6], std::uint16_t{0});
    CHECK(groups(run) == apart2);
    CHECK(groups({run[1], run[1]}) == apart2);
    CHECK(groups({run[1], make_run({.v6 = v6, .tcp = false}, 2)[1]}) == apart2);
  }
}

TEST_CASE("coalescer: IPv4 identifications count up, or are all the same with DF") {
  const auto with_ids = [](const std::vector<int>& ids, std::uint16_t df, bool tcp) {
    std::vector<Bytes> packets;
    Spec spec{.tcp = tcp, .df = df};
    for (const int id : ids) {
      spec.id = static_cast<std::uint16_t>(id);
      packets.push_back(make(spec));
      spec.sequence += 8;
    }
    return groups(packets);
  };
  for (const bool tcp : {true, false}) {
    for (const std::uint16_t df : {std::uint16_t{0x4000}, std::uint16_t{0}}) {
      CHECK(with_ids({65534, 65535, 0, 1}, df, tcp) == Groups{{0, 1, 2, 3}});
      CHECK(with_ids({7, 9}, df, tcp) == apart2);
      CHECK(with_ids({7, 6}, df, tcp) == apart2);
      CHECK(with_ids({7, 8, 8}, df, tcp) == Groups{{0, 1}, {2}});
      CHECK(with_ids({7, 8, 10}, df, tcp) == Groups{{0, 1}, {2}});
    }
    CHECK(with_ids({0, 0, 0}, 0x4000, tcp) == Groups{{0, 1, 2}});
    CHECK(with_ids({7, 7, 8}, 0x4000, tcp) == Groups{{0, 1}, {2}});
    CHECK(with_ids({7, 7, 7}, 0, tcp) == apart3);
  }
}

TEST_CASE("coalescer: 64 packets are one, if they are no longer than 65535 bytes") {
  for (const Spec& kind : all_kinds()) {
    Spec spec = kind;
    spec.len = 100;
    CHECK(groups(make_run(spec, 64)).size() == 1);

    const std::size_t header_len = (spec.v6 ? 40 : 20) + (spec.tcp ? 32 : 8);
    spec.len = 1400;
    const Outcome outcome = join(make_run(spec, 64));
    REQUIRE(outcome.groups.size() == 2);
    CHECK(outcome.groups[0].size() == (65535 - header_len) / 1400);

    // 46 of them and a last one that fills it to the byte, or is one longer.
    spec.len = 1400;
    std::vector<Bytes> packets = make_run(spec, 46);
    Spec last = spec;
    last.len = 65535 - header_len - 46 * 1400;
    last.id = static_cast<std::uint16_t>(spec.id + 46);
    last.sequence = spec.sequence + 46 * 1400;
    packets.push_back(make(last));
    CHECK(join(packets).packets[0].size() == 65535);
    ++last.len;
    packets.back() = make(last);
    CHECK(groups(packets).size() == 2);
  }
}

TEST_CASE("coalescer: flows that interleave are joined each, in order") {
  for (const std::size_t num_flows : {2U, 8U, 16U, 17U, 32U}) {
    std::vector<Bytes> packets;
    for (std::size_t i = 0; i < 64; ++i) {
      Spec spec{.v6 = i % num_flows % 2 == 1, .tcp = i % num_flows % 4 < 2};
      const auto turn = static_cast<std::uint32_t>(i / num_flows);
      spec.port = static_cast<std::uint16_t>(1000 + i % num_flows);
      spec.id = static_cast<std::uint16_t>(turn);
      spec.sequence = turn * 8;
      packets.push_back(make(spec));
    }
    const Groups result = groups(packets);
    if (num_flows > Coalescer::max_flows) {
      CHECK(result.size() == 64);  // each makes room for the next, before its own comes again
      continue;
    }
    REQUIRE(result.size() == num_flows);
    for (std::size_t flow = 0; flow < num_flows; ++flow) {
      REQUIRE(result[flow].size() == 64 / num_flows);
      for (std::size_t turn = 0; turn < result[flow].size(); ++turn)
        CHECK(result[flow][turn] == flow + turn * num_flows);
    }
  }
}

TEST_CASE("coalescer: nothing is read behind a packet, and garbage comes out as it went in") {
  std::mt19937 random(5);
  for (const Spec& spec : all_kinds()) {
    const std::vector<Bytes> run = make_run(spec, 2);
    for (std::size_t len = 0; len < run[1].size(); ++len) {
      const Bytes cut(run[1].begin(), run[1].begin() + static_cast<std::ptrdiff_t>(len));
      CHECK(groups({run[0], cut}) == apart2);
      CHECK(groups({cut, run[1]}) == apart2);
      // The same with lengths that say that this is all.
      Bytes whole = cut;
      if (len >= 20) store_be(&whole[spec.v6 ? 4 : 2], static_cast<std::uint16_t>(len - (spec.v6 ? 40 : 0)));
      (void)groups({run[0], whole, whole});
      (void)groups({whole, run[1], run[1]});
    }
    for (int round = 0; round < 2000; ++round) {
      std::vector<Bytes> packets = make_run(spec, 4);
      for (int flips = 0; flips < 3; ++flips) {
        Bytes& packet = packets[random() % 4];
        packet[random() % packet.size()] = static_cast<std::uint8_t>(random());
      }
      (void)groups(packets);
    }
  }
}

#include <doctest/doctest.h>

#include "carrier.h"
#include "culvert/wire/gre.h"
#include "packets.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {

// scapy: GRE(…)/inner4, the arguments beside each
const Bytes gre_plain =
    hex("000008004500002412340000401154870a0100050a020007045708ae0010353b63756c7665727421");  // proto=0x800
const Bytes gre_key0 =  // key_present=1,key=0,proto=0x800
    hex("20000800000000004500002412340000401154870a0100050a020007045708ae0010353b63756c7665727421");
const Bytes gre_key_seq =  // key_present=1,key=42,seqnum_present=1,sequence_number=7,proto=0x800
    hex("300008000000002a000000074500002412340000401154870a0100050a020007045708ae0010353b63756c7665727421");
const Bytes gre_checksum =  // chksum_present=1,proto=0x800
    hex("800008008c2f00004500002412340000401154870a0100050a020007045708ae0010353b63756c7665727421");
const Bytes
    gre_all =  // chksum_present=1,key_present=1,key=0xdeadbeef,seqnum_present=1,sequence_number=3,proto=0x86dd; inner6
    hex("b00086ddba510000deadbeef000000036000000000181140fd000001000000000000000000000005fd0000020000000000000000000000"
        "070457"
        "08ae0018f05563756c76657274206f76657220736978");
// inner4 with tos=0xb8, and
// IP(src='198.51.100.1',dst='198.51.100.2',ttl=64,flags='DF',id=0,tos=0xb8)/GRE(key_present=1,key=42, proto=0x800)/that
const Bytes inner4_ef = hex("45b8002412340000401153cf0a0100050a020007045708ae0010353b63756c7665727421");
const Bytes delivered4 =
    hex("45b8004000004000402fe56cc6336401c6336402200008000000002a45b8002412340000401153cf0a0100050a020007045708ae001035"
        "3b6375"
        "6c7665727421");
// IPv6(src='2001:db8::1',dst='2001:db8::2',hlim=64)/GRE(proto=0x86dd)/inner6
const Bytes delivered6 =
    hex("6000000000442f4020010db800000000000000000000000120010db8000000000000000000000002000086dd6000000000181140fd0000"
        "010000"
        "00000000000000000005fd000002000000000000000000000007045708ae0018f05563756c76657274206f76657220736978");

TunnelConfig gre_config(std::optional<std::uint32_t> key = std::nullopt) {
  TunnelConfig config;
  config.carry = Carry::gre;
  config.gre_key = key;
  return config;
}

std::shared_ptr<OutboundSa> sa_in(EspMode mode) {
  ChildSaKeys keys = make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000);
  keys.mode = mode;
  return outbound_at(std::move(keys), 1);
}

struct Pushed {
  std::optional<DropReason> wrong;
  Bytes bytes;
  std::uint8_t next_header = 0, outer_tos = 0;
};
Pushed push_one(const Bytes& inner, Tunnel& tunnel, OutboundSa* sa) {
  Batch batch;
  Packet& packet = batch.packets[batch.add(inner, sa, nullptr)];
  packet.tunnel = &tunnel;
  const auto wrong = push(packet);
  return {wrong, to_bytes(packet.view()), packet.next_header, packet.outer_tos};
}

struct Popped {
  std::optional<DropReason> wrong;
  Bytes bytes;
  Tunnel* tunnel = nullptr;
};
Popped pop_one(ByteView bytes, const ChildTunnels& child, std::uint8_t next_header = 47, std::uint8_t tos = 0) {
  Batch batch;
  Packet& packet = batch.packets[batch.add(bytes, nullptr, nullptr)];
  packet.child = &child;
  packet.next_header = next_header;
  packet.outer_tos = tos;
  const auto wrong = pop(packet);
  return {wrong, to_bytes(packet.view()), packet.tunnel};
}

ChildTunnels child_of(std::initializer_list<Tunnel*> tunnels) {
  return ChildTunnels(std::vector<Tunnel*>(tunnels));
}

}  // namespace

TEST_CASE("the GRE that we make in transport mode is scapy's, to the byte") {
  const auto sa = sa_in(EspMode::transport);
  const auto check = [&](const TunnelConfig& config, const Bytes& inner, const Bytes& expected,
                         std::uint32_t sequence = 0) {
    Tunnel tunnel(config);
    for (std::uint32_t i = 0; i < sequence; ++i) CHECK(tunnel.next_gre_sequence() == i);  // RFC 2890 §2.2: from 0
    const Pushed pushed = push_one(inner, tunnel, sa.get());
    CHECK_FALSE(pushed.wrong.has_value());
    CHECK(pushed.bytes == expected);
    CHECK(pushed.next_header == 47);
  };
  check(gre_config(), inner4, gre_plain);
  check(gre_config(0), inner4, gre_key0);
  TunnelConfig config = gre_config(42);
  config.gre_sequence = true;
  check(config, inner4, gre_key_seq, 7);
  config = gre_config();
  config.gre_checksum = true;
  check(config, inner4, gre_checksum);
  config = gre_config(0xDEADBEEF);
  config.gre_sequence = config.gre_checksum = true;
  check(config, inner6, gre_all, 3);
}

TEST_CASE("in tunnel mode GRE stands behind a delivery header of its own: scapy's, over IPv4 and IPv6") {
  const auto sa = sa_in(EspMode::tunnel);
  TunnelConfig config = gre_config(42);
  config.gre_source = ip("198.51.100.1");
  config.gre_destination = ip("198.51.100.2");
  Tunnel four(config);
  Pushed pushed = push_one(inner4_ef, four, sa.get());
  CHECK_FALSE(pushed.wrong.has_value());
  CHECK(pushed.bytes == delivered4);
  CHECK(pushed.next_header == 4);
  CHECK(pushed.outer_tos == 0xB8);

  config = gre_config();
  config.gre_source = ip("2001:db8::1");
  config.gre_destination = ip("2001:db8::2");
  Tunnel six(config);
  pushed = push_one(inner6, six, sa.get());
  CHECK(pushed.bytes == delivered6);
  CHECK(pushed.next_header == 41);
}

TEST_CASE("delivery addresses that nobody configured are the selectors' one address, else the outer ones") {
  ChildSaKeys keys = make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000);
  Tunnel tunnel(gre_config());
  const auto by_outer = outbound_at(make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000), 1);
  Pushed pushed = push_one(inner4, tunnel, by_outer.get());
  CHECK(to_bytes(ByteView(pushed.bytes).subspan(12, 8)) == hex("c0000201c0000202"));
  keys.local = {selector("10.99.0.1/32", 47)};
  keys.remote = {selector("10.99.0.2/32", 47)};
  const auto by_selector = outbound_at(std::move(keys), 1);
  pushed = push_one(inner4, tunnel, by_selector.get());
  CHECK(to_bytes(ByteView(pushed.bytes).subspan(12, 8)) == hex("0a6300010a630002"));
}

TEST_CASE("a delivery header outside the SA's selectors never leaves") {
  ChildSaKeys keys = make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000);
  keys.local = {selector("198.51.100.1/32", 47)};
  keys.remote = {selector("198.51.100.2/32", 47)};
  const auto sa = outbound_at(std::move(keys), 1);
  TunnelConfig config = gre_config();
  config.gre_source = ip("198.51.100.1");
  config.gre_destination = ip("198.51.100.3");
  Tunnel tunnel(config);
  CHECK(push_one(inner4, tunnel, sa.get()).wrong == DropReason::no_policy);
}

TEST_CASE("a packet bound for the tunnel's own end is refused: it would come back longer") {
  ChildSaKeys keys = make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000);
  keys.remote_endpoint.address = ip("10.2.0.7");  // where inner4 goes
  keys.mode = EspMode::transport;
  const auto outer = outbound_at(std::move(keys), 1);
  Tunnel tunnel(gre_config());
  CHECK(push_one(inner4, tunnel, outer.get()).wrong == DropReason::gre_recursion);
  CHECK_FALSE(push_one(inner6, tunnel, outer.get()).wrong.has_value());

  keys = make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000);
  keys.remote_endpoint.address = ip("10.2.0.7");
  keys.remote = {selector("198.51.100.9/32", 47)};  // as the peer behind a NAT calls itself
  keys.mode = EspMode::transport;
  const auto natted = outbound_at(std::move(keys), 1);
  CHECK(push_one(inner4, tunnel, natted.get()).wrong == DropReason::gre_recursion);

  TunnelConfig config = gre_config();
  config.gre_source = ip("fd00:1::5");
  config.gre_destination = ip("fd00:2::7");  // where inner6 goes
  Tunnel delivery(config);
  const auto sa = sa_in(EspMode::tunnel);
  CHECK(push_one(inner6, delivery, sa.get()).wrong == DropReason::gre_recursion);
  CHECK_FALSE(push_one(inner4, delivery, sa.get()).wrong.has_value());
}

TEST_CASE("plain ESP tunnel mode adds nothing, says what it carries, and cuts what stands behind the packet") {
  TunnelConfig config;
  config.carry = Carry::ip;
  config.copy_dscp = false;
  Tunnel tunnel(config);
  const auto sa = sa_in(EspMode::tunnel);
  Bytes longer = inner4_ef;
  longer.resize(60);
  Pushed pushed = push_one(longer, tunnel, sa.get());
  CHECK(pushed.bytes == inner4_ef);
  CHECK(pushed.next_header == 4);
  CHECK(pushed.outer_tos == 0);
  CHECK(push_one(inner6, tunnel, sa.get()).next_header == 41);
  CHECK(push_one(inner6, tunnel, nullptr).wrong == DropReason::no_sa);
  CHECK(push_one({}, tunnel, sa.get()).wrong == DropReason::inner_malformed);
  CHECK(push_one(iota(40, 0x50), tunnel, sa.get()).wrong == DropReason::inner_malformed);
  for (std::size_t len = 0; len < inner6.size(); ++len) {
    CHECK(push_one(to_bytes(ByteView(inner6).first(len)), tunnel, sa.get()).wrong == DropReason::inner_malformed);
  }
}

TEST_CASE("plain tunnel mode refuses its own ESP, raw or in UDP, and nothing else to the peer") {
  ChildSaKeys keys = make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000);
  keys.local_endpoint = {ip("10.1.0.5"), 1111};  // the ends of inner4
  keys.remote_endpoint = {ip("10.2.0.7"), 2222};
  const auto sa = outbound_at(std::move(keys), 1);
  TunnelConfig config;
  config.carry = Carry::ip;
  Tunnel tunnel(config);
  CHECK(push_one(inner4, tunnel, sa.get()).wrong == DropReason::gre_recursion);
  Bytes packet = inner4;
  packet[9] = 50;
  CHECK(push_one(packet, tunnel, sa.get()).wrong == DropReason::gre_recursion);
  packet[9] = 6;
  CHECK_FALSE(push_one(packet, tunnel, sa.get()).wrong.has_value());
  packet = inner4;
  packet[23] ^= 1;  // another UDP port
  CHECK_FALSE(push_one(packet, tunnel, sa.get()).wrong.has_value());
  packet = inner4;
  packet[15] ^= 1;  // another source
  CHECK_FALSE(push_one(packet, tunnel, sa.get()).wrong.has_value());
}

TEST_CASE("multicast goes through GRE as anything else") {
  // scapy: IP(src='169.254.10.1',dst='224.0.0.5',ttl=1,proto=89)/b'hello'
  const Bytes ospf = hex("45000019000100000159e67ca9fe0a01e000000568656c6c6f");
  Tunnel tunnel(gre_config());
  const auto sa = sa_in(EspMode::transport);
  const Pushed pushed = push_one(ospf, tunnel, sa.get());
  CHECK_FALSE(pushed.wrong.has_value());
  CHECK(pop_one(pushed.bytes, child_of({&tunnel})).bytes == ospf);
}

TEST_CASE("a packet goes to the tunnel with exactly its key, and no key is not key 0") {
  Tunnel without(gre_config()), zero(gre_config(0)), one(gre_config(42));
  const ChildTunnels all = child_of({&one, &without, &zero});
  CHECK(pop_one(gre_plain, all).tunnel == &without);
  CHECK(pop_one(gre_key0, all).tunnel == &zero);
  CHECK(pop_one(gre_key_seq, all).tunnel == &one);
  CHECK(pop_one(gre_key_seq, all).wrong == DropReason::gre_out_of_order);  // 7 once more
  CHECK(pop_one(gre_checksum, all).bytes == inner4);
  CHECK(pop_one(gre_plain, child_of({&zero, &one})).wrong == DropReason::gre_key_unknown);
  CHECK(pop_one(gre_key0, child_of({&without, &one})).wrong == DropReason::gre_key_unknown);
  CHECK(pop_one(gre_all, all).wrong == DropReason::gre_key_unknown);
  CHECK(pop_one(gre_plain, ChildTunnels()).wrong == DropReason::gre_key_unknown);
}

// In a batch a header that repeats is not parsed again: whatever stands before a packet, it ends as if it were alone.
TEST_CASE("each kind of GRE packet, behind each other one in a batch, goes where it goes alone") {
  Tunnel without(gre_config()), zero(gre_config(0)), elsewhere(gre_config()), elsewhere_zero(gre_config(0));
  const ChildTunnels here = child_of({&without, &zero}), other = child_of({&elsewhere, &elsewhere_zero});
  struct Kind {
    Bytes bytes;
    const ChildTunnels* child;
    Tunnel* tunnel;
    std::optional<DropReason> wrong;
  };
  const auto with = [](Bytes bytes, std::size_t at, std::uint8_t value) {
    bytes[at] = value;
    return bytes;
  };
  const auto head = [](const Bytes& bytes, std::size_t len) { return Bytes(bytes.begin(), bytes.begin() + len); };
  Bytes plain6 = hex("000086dd");
  append(plain6, inner6);
  const std::vector<Kind> kinds = {
      {gre_plain, &here, &without, std::nullopt},
      {gre_plain, &other, &elsewhere, std::nullopt},
      {plain6, &here, &without, std::nullopt},
      {gre_key0, &here, &zero, std::nullopt},
      {gre_key0, &other, &elsewhere_zero, std::nullopt},
      {gre_checksum, &here, &without, std::nullopt},
      {with(gre_checksum, 5, 0), &here, nullptr, DropReason::gre_checksum},
      {with(gre_checksum, gre_checksum.size() - 1, 0), &here, nullptr, DropReason::gre_checksum},
      {with(gre_key0, 7, 1), &here, nullptr, DropReason::gre_key_unknown},
      {with(gre_plain, 4, 0x65), &here, nullptr, DropReason::inner_malformed},
      {with(gre_key0, 8, 0x65), &here, nullptr, DropReason::inner_malformed},
      {with(gre_plain, 3, 1), &here, nullptr, DropReason::gre_protocol},
      {with(gre_plain, 1, 1), &here, nullptr, DropReason::gre_malformed},
      {head(gre_plain, 7), &here, nullptr, DropReason::inner_malformed},
      {head(gre_key0, 7), &here, nullptr, DropReason::gre_malformed},
  };
  for (const Kind& first : kinds) {
    for (const Kind& second : kinds) {
      Batch batch;
      for (const Kind* kind : {&first, &second, &second, &first, &second}) {
        Packet& packet = batch.packets[batch.add(kind->bytes, nullptr, nullptr)];
        packet.child = kind->child;
        packet.next_header = 47;
      }
      pop_batch(batch.packets);
      std::size_t i = 0;
      for (const Kind* kind : {&first, &second, &second, &first, &second}) {
        CAPTURE(&first - kinds.data());
        CAPTURE(&second - kinds.data());
        CAPTURE(i);
        CHECK(batch.packets.alive(i) == !kind->wrong.has_value());
        if (kind->wrong) {
          CHECK(batch.packets[i].reason == *kind->wrong);
        } else {
          CHECK(batch.packets[i].tunnel == kind->tunnel);
          CHECK(batch.bytes(i) == (kind->bytes == plain6 ? inner6 : inner4));
        }
        ++i;
      }
    }
  }
}

TEST_CASE("in a batch, too, a sequence number is taken once, with a key and without") {
  Tunnel keyed(gre_config(42)), without(gre_config());
  const ChildTunnels child = child_of({&keyed, &without});
  Bytes gre_seq = hex("1000080000000007");
  append(gre_seq, inner4);
  for (const Bytes& packet : {gre_key_seq, gre_seq}) {
    Batch batch;
    for (int i = 0; i < 3; ++i) {
      Packet& added = batch.packets[batch.add(packet, nullptr, nullptr)];
      added.child = &child;
      added.next_header = 47;
    }
    pop_batch(batch.packets);
    CHECK(batch.packets.alive_mask() == 0b001);
    CHECK(batch.packets[1].reason == DropReason::gre_out_of_order);
    CHECK(batch.packets[2].reason == DropReason::gre_out_of_order);
  }
}

TEST_CASE("GRE with everything on, IPv6 inside, comes out whole") {
  Tunnel tunnel(gre_config(0xDEADBEEF));
  const Popped popped = pop_one(gre_all, child_of({&tunnel}));
  CHECK_FALSE(popped.wrong.has_value());
  CHECK(popped.bytes == inner6);
}

TEST_CASE("the checksum is verified whenever it is there: any bit flipped behind the flags is noticed") {
  Tunnel tunnel(gre_config());
  const ChildTunnels child = child_of({&tunnel});
  for (std::size_t bit = 16; bit < gre_checksum.size() * 8; ++bit) {
    Bytes broken = gre_checksum;
    broken[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    REQUIRE(pop_one(broken, child).wrong == DropReason::gre_checksum);
  }
}

// RFC 2784 §2.2: bits 1–5 MUST be zero (2 and 3 are RFC 2890's key and sequence), 6–12 are ignored; §2.3.1: version
// MUST be 0.
TEST_CASE("reserved bits and versions") {
  Tunnel tunnel(gre_config());
  const ChildTunnels child = child_of({&tunnel});
  for (int bit = 0; bit < 16; ++bit) {
    Bytes packet = gre_plain;
    packet[static_cast<std::size_t>(bit) / 8] ^= static_cast<std::uint8_t>(0x80 >> bit % 8);
    const auto wrong = pop_one(packet, child).wrong;
    CAPTURE(bit);
    if (bit == 1 || bit == 4 || bit == 5 || bit >= 13) CHECK(wrong == DropReason::gre_malformed);
    if (bit >= 6 && bit <= 12) CHECK_FALSE(wrong.has_value());
    if (bit == 0) CHECK(wrong == DropReason::gre_checksum);
    if (bit == 2) CHECK(wrong == DropReason::gre_key_unknown);
  }
}

TEST_CASE("every truncation of a GRE packet is dropped") {
  Tunnel tunnel(gre_config(0xDEADBEEF)), plain(gre_config());
  const ChildTunnels child = child_of({&tunnel, &plain});
  for (const Bytes& whole : {gre_all, gre_plain}) {
    for (std::size_t len = 0; len < whole.size(); ++len) {
      REQUIRE(pop_one(ByteView(whole).first(len), child).wrong.has_value());
    }
  }
  for (std::size_t len = 0; len < delivered4.size(); ++len) {
    REQUIRE(pop_one(ByteView(delivered4).first(len), child, 4).wrong.has_value());
  }
  for (std::size_t len = 0; len < delivered6.size(); ++len) {
    REQUIRE(pop_one(ByteView(delivered6).first(len), child, 41).wrong.has_value());
  }
}

TEST_CASE("protocol types that are not carried are counted, and the payload must be what the type says") {
  Tunnel tunnel(gre_config());
  const ChildTunnels child = child_of({&tunnel});
  for (const std::uint16_t type : {0x0000, 0x6558, 0x8847, 0x0806, 0x880B}) {
    Bytes packet = gre_plain;
    store_be(&packet[2], type);
    CHECK(pop_one(packet, child).wrong == DropReason::gre_protocol);
  }
  Bytes packet = gre_plain;
  store_be(&packet[2], std::uint16_t{0x86DD});
  CHECK(pop_one(packet, child).wrong == DropReason::inner_malformed);
  packet = hex("000086dd");
  append(packet, inner4);
  CHECK(pop_one(packet, child).wrong == DropReason::inner_malformed);
  packet = gre_plain;
  packet.resize(packet.size() + 9);
  CHECK(pop_one(packet, child).bytes == inner4);
}

// RFC 2890 §2.2.
TEST_CASE("sequence numbers: what is older than one delivered is dropped, a gap is not, and they wrap") {
  Tunnel tunnel(gre_config(42));
  const ChildTunnels child = child_of({&tunnel});
  const auto pop_sequence = [&](std::uint32_t sequence) {
    Bytes packet = gre_key_seq;
    store_be(&packet[8], sequence);
    return pop_one(packet, child).wrong;
  };
  CHECK_FALSE(pop_sequence(7).has_value());
  CHECK(pop_sequence(7) == DropReason::gre_out_of_order);
  CHECK(pop_sequence(6) == DropReason::gre_out_of_order);
  CHECK_FALSE(pop_sequence(8).has_value());
  CHECK_FALSE(pop_sequence(100).has_value());
  CHECK(pop_sequence(9) == DropReason::gre_out_of_order);
  CHECK(pop_sequence(100U - 0x7FFFFFFFU) == DropReason::gre_out_of_order);  // the last and the preceding 2^31-1
  CHECK_FALSE(pop_sequence(100U + 0x7FFFFFFFU).has_value());
  CHECK_FALSE(pop_sequence(0xFFFFFFFF).has_value());
  CHECK_FALSE(pop_sequence(0).has_value());
  CHECK(pop_sequence(0xFFFFFFFF) == DropReason::gre_out_of_order);
  tunnel.forget_gre_sequence();
  CHECK_FALSE(pop_sequence(0xFFFFFF00).has_value());
  // a packet that is dropped for another reason does not move it
  Bytes broken = gre_key_seq;
  store_be(&broken[8], std::uint32_t{0xFFFFFF50});
  broken[12] = 0x65;
  CHECK(pop_one(broken, child).wrong == DropReason::inner_malformed);
  CHECK_FALSE(pop_sequence(0xFFFFFF01).has_value());
}

TEST_CASE("out of tunnel mode the delivery header is checked and removed") {
  Tunnel keyed(gre_config(42)), plain(gre_config());
  const ChildTunnels child = child_of({&keyed, &plain});
  CHECK(pop_one(delivered4, child, 4).bytes == inner4_ef);
  CHECK(pop_one(delivered4, child, 4).tunnel == &keyed);
  CHECK(pop_one(delivered6, child, 41).bytes == inner6);
  Bytes broken = delivered4;
  broken[8] -= 1;  // TTL, and the header checksum with it
  CHECK(pop_one(broken, child, 4).wrong == DropReason::inner_malformed);
  CHECK(pop_one(inner4, child, 4).wrong == DropReason::next_header_invalid);  // UDP
  CHECK(pop_one(inner6, child, 41).wrong == DropReason::next_header_invalid);
  CHECK(pop_one(gre_plain, child, 17).wrong == DropReason::next_header_invalid);
  // scapy: IP(bytes(delivered4)) with flags='MF' and a new checksum
  Bytes fragment = delivered4;
  fragment[6] = 0x20;
  store_be(&fragment[10], std::uint16_t{0});
  store_be(&fragment[10], wire::checksum(ByteView(fragment).first(20)));
  CHECK(pop_one(fragment, child, 4).wrong == DropReason::gre_malformed);
}

TEST_CASE("ECN of the outer header reaches the packet inside GRE") {
  Tunnel tunnel(gre_config());
  const ChildTunnels child = child_of({&tunnel});
  // scapy: IP(src='10.1.0.5',dst='10.2.0.7',ttl=64,id=0x1234,tos=2 and 3)/UDP(sport=1111,dport=2222)/b'culvert!'
  const Bytes ect0 = hex("4502002412340000401154850a0100050a020007045708ae0010353b63756c7665727421");
  const Bytes ce = hex("4503002412340000401154840a0100050a020007045708ae0010353b63756c7665727421");
  Bytes packet = hex("00000800");
  append(packet, ect0);
  CHECK(pop_one(packet, child, 47, 3).bytes == ce);
  CHECK(pop_one(packet, child, 47, 0).bytes == ect0);
  CHECK(pop_one(gre_plain, child, 47, 3).wrong == DropReason::ecn_invalid);
}

TEST_CASE("carry = ip: what is no IP packet is refused, the rest goes to the child's device") {
  TunnelConfig config;
  config.carry = Carry::ip;
  Tunnel tunnel(config);
  const ChildTunnels child = child_of({&tunnel});
  CHECK(pop_one(inner4, child, 4).tunnel == &tunnel);
  CHECK(pop_one(inner4, child, 4).bytes == inner4);
  CHECK(pop_one(gre_plain, child, 47).wrong == DropReason::next_header_invalid);
}

TEST_CASE("a buffer without headroom drops the packet instead of writing before it") {
  const auto sa = sa_in(EspMode::tunnel);
  TunnelConfig config = gre_config(1);
  Tunnel tunnel(config);
  for (const std::size_t headroom : {0, 7, 8, 27}) {
    Bytes buffer(headroom + inner4.size());
    std::copy(inner4.begin(), inner4.end(), buffer.begin() + static_cast<std::ptrdiff_t>(headroom));
    Packet packet = Packet::in_buffer(buffer, headroom, inner4.size());
    packet.tunnel = &tunnel;
    packet.outbound_sa = sa.get();
    CHECK(push(packet) == DropReason::no_buffer);
  }
}

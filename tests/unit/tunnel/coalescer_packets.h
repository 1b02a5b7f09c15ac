#pragma once
#include <doctest/doctest.h>

#include <bit>
#include <memory>
#include <vector>

#include "coalescer.h"
#include "packets.h"

namespace culvert::tunnel::test {

using Places = std::vector<std::size_t>;
using Groups = std::vector<Places>;
inline constexpr Coalescer::Accepts both{.tcp = true, .udp = true};

/// RFC 1071, written out once more so that the packets do not lean on the code under test.
inline std::uint16_t checksum_of(ByteView bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/// What `make` makes.
struct Spec {
  bool v6 = false, tcp = true;
  std::uint16_t id = 0xFFFE;  ///< IPv4
  std::uint16_t df = 0x4000;
  std::uint32_t sequence = 0xFFFFFFF8;
  std::uint8_t flags = 0x10;  ///< ACK
  std::uint16_t port = 50000;
  std::size_t len = 8;  ///< of the payload
  std::uint8_t first = 0;
};

inline std::size_t ip_len_of(ByteView packet) {
  return packet[0] >> 4 == 4 ? std::size_t{packet[0]} % 16 * 4 : 40;
}

/// Makes all checksums right after a change; `upper` is where TCP or UDP begins.
inline void fix_checksums(Bytes& packet, std::size_t upper) {
  const bool v4 = packet[0] >> 4 == 4;
  const std::uint8_t protocol = packet[v4 ? 9 : 6] == 17 ? 17 : 6;
  if (v4) {
    store_be(&packet[10], std::uint16_t{0});
    store_be(&packet[10], checksum_of(ByteView(packet).first(ip_len_of(packet))));
  }
  const std::size_t at = upper + (protocol == 6 ? 16 : 6);
  store_be(&packet[at], std::uint16_t{0});
  Bytes summed(packet.begin() + (v4 ? 12 : 8), packet.begin() + (v4 ? 20 : 40));
  append(summed, ByteView(packet).subspan(upper));
  store_be(&packet[at], checksum_of(summed, protocol + static_cast<std::uint32_t>(packet.size() - upper)));
}
inline void fix_checksums(Bytes& packet) {
  fix_checksums(packet, ip_len_of(packet));
}

inline Bytes make(const Spec& spec) {
  Bytes packet;
  Writer writer(packet);
  const auto upper_len = static_cast<std::uint16_t>((spec.tcp ? 32 : 8) + spec.len);
  if (spec.v6) {
    writer.u32(0x62812345);
    writer.u16(upper_len);
    writer.u8(spec.tcp ? 6 : 17);
    writer.u8(63);
    writer.bytes(ip("fd00:1::5").bytes());
    writer.bytes(ip("fd00:2::7").bytes());
  } else {
    writer.u16(0x4528);
    writer.u16(static_cast<std::uint16_t>(20 + upper_len));
    writer.u16(spec.id);
    writer.u16(spec.df);
    writer.u8(63);
    writer.u8(spec.tcp ? 6 : 17);
    writer.u16(0);
    writer.bytes(ip("10.1.0.5").bytes());
    writer.bytes(ip("10.2.0.7").bytes());
  }
  writer.u16(443);
  writer.u16(spec.port);
  if (spec.tcp) {
    writer.u32(spec.sequence);
    writer.u32(0x01020304);
    writer.u8(0x80);
    writer.u8(spec.flags);
    writer.u16(502);
    writer.u32(0);  // checksum, urgent pointer
    writer.bytes(hex("0101080a000003e8000007d0"));
  } else {
    writer.u16(upper_len);
    writer.u16(0);
  }
  writer.bytes(iota(spec.len, spec.first));
  fix_checksums(packet);
  return packet;
}

/// `count` packets of one flow that belong together.
inline std::vector<Bytes> make_run(Spec spec, std::size_t count) {
  std::vector<Bytes> packets;
  for (std::size_t i = 0; i < count; ++i) {
    packets.push_back(make(spec));
    spec.sequence += static_cast<std::uint32_t>(spec.len);
    spec.first = static_cast<std::uint8_t>(spec.first + spec.len);
    ++spec.id;
  }
  return packets;
}

/// Packets of a flow and what they are joined to.
struct Known {
  Spec spec;
  std::vector<Bytes> packets;
  Bytes joined;
};

// scapy 2.5: ip4 = IP(src='10.1.0.5',dst='10.2.0.7',ttl=63,tos=0x28,id=0xfffe+i,flags='DF'),
// ip6 = IPv6(src='fd00:1::5',dst='fd00:2::7',hlim=63,tc=0x28,fl=0x12345),
// TCP(sport=443,dport=50000,seq=0xfffffff8+offset,ack=0x01020304,flags='A', the last 'PA',window=502,
//     options=[('NOP',None),('NOP',None),('Timestamp',(1000,2000))]), UDP(sport=443,dport=50000), payload
//     bytes(range(21))
// cut into 8, 8 and 5. The joined ones are the same with the whole payload, flags 'PA', and in the checksum field
// ~checksum(in4_pseudoheader(…)) or in6_pseudoheader.
inline const std::vector<Known> known{
    {{.v6 = false, .tcp = true},
     {hex("4528003cfffe40003f0627870a0100050a02000701bbc350fffffff801020304801001f67fde00000101080a000003e8000007d00001"
          "02"
          "0304050607"),
      hex("4528003cffff40003f0627860a0100050a02000701bbc3500000000001020304801001f65fb700000101080a000003e8000007d00809"
          "0a"
          "0b0c0d0e0f"),
      hex("45280039000040003f0627890a0100050a02000701bbc3500000000801020304801801f655b600000101080a000003e8000007d01011"
          "12"
          "1314")},
     hex("45280049fffe40003f06277a0a0100050a02000701bbc350fffffff801020304801801f6144a00000101080a000003e8000007d000010"
         "2"
         "030405060708090a0b0c0d0e0f1011121314")},
    {{.v6 = true, .tcp = true},
     {hex("628123450028063ffd000001000000000000000000000005fd00000200000000000000000000000701bbc350fffffff8010203048010"
          "01"
          "f699dc00000101080a000003e8000007d00001020304050607"),
      hex("628123450028063ffd000001000000000000000000000005fd00000200000000000000000000000701bbc35000000000010203048010"
          "01"
          "f679b500000101080a000003e8000007d008090a0b0c0d0e0f"),
      hex("628123450025063ffd000001000000000000000000000005fd00000200000000000000000000000701bbc35000000008010203048018"
          "01"
          "f66fb400000101080a000003e8000007d01011121314")},
     hex("628123450035063ffd000001000000000000000000000005fd00000200000000000000000000000701bbc350fffffff80102030480180"
         "1"
         "f6fa4b00000101080a000003e8000007d0000102030405060708090a0b0c0d0e0f1011121314")},
    {{.v6 = false, .tcp = false},
     {hex("45280024fffe40003f1127940a0100050a02000701bbc35000101aa40001020304050607"),
      hex("45280024ffff40003f1127930a0100050a02000701bbc3500010fa8308090a0b0c0d0e0f"),
      hex("45280021000040003f1127960a0100050a02000701bbc350000df0951011121314")},
     hex("45280031fffe40003f1127870a0100050a02000701bbc350001d143d000102030405060708090a0b0c0d0e0f1011121314")},
    {{.v6 = true, .tcp = false},
     {hex("628123450010113ffd000001000000000000000000000005fd00000200000000000000000000000701bbc350001034a2000102030405"
          "06"
          "07"),
      hex("628123450010113ffd000001000000000000000000000005fd00000200000000000000000000000701bbc3500010148208090a0b0c0d"
          "0e"
          "0f"),
      hex("62812345000d113ffd000001000000000000000000000005fd00000200000000000000000000000701bbc350000d0a94101112131"
          "4")},
     hex("62812345001d113ffd000001000000000000000000000005fd00000200000000000000000000000701bbc350001dfa3e0001020304050"
         "6"
         "0708090a0b0c0d0e0f1011121314")}};

struct Outcome {
  Groups groups;
  std::vector<Bytes> packets;
  std::vector<Offload> offloads;
};

/// Joins copies of the packets, and looks at what holds of every result.
inline Outcome join(const std::vector<Bytes>& given, Coalescer::Accepts accepts = both) {
  static const auto coalescer = std::make_unique<Coalescer>();
  std::vector<Bytes> copies = given;
  std::vector<MutableByteView> views(copies.begin(), copies.end());
  Outcome outcome;
  std::uint64_t seen = 0;
  int last_first = -1;
  for (const JoinedPacket& joined : coalescer->join(views, accepts)) {
    REQUIRE((joined.members != 0 && (seen & joined.members) == 0));
    seen |= joined.members;
    REQUIRE(std::countr_zero(joined.members) > last_first);
    last_first = std::countr_zero(joined.members);
    Places& places = outcome.groups.emplace_back();
    for_each_bit(joined.members, [&](std::size_t i) { places.push_back(i); });
    REQUIRE(joined.parts.size() == 1 + places.size());
    CHECK(joined.parts[0].iov_len == 0);
    Bytes& packet = outcome.packets.emplace_back();
    for (const iovec& part : joined.parts.subspan(1)) {
      append(packet, {static_cast<const std::uint8_t*>(part.iov_base), part.iov_len});
    }
    CHECK(packet.size() == joined.len);
    outcome.offloads.push_back(joined.offload);
    if (places.size() == 1) {
      CHECK(packet == given[places[0]]);
      CHECK(joined.offload.kind == Offload::Kind::none);
      CHECK_FALSE(joined.offload.needs_checksum);
    }
  }
  REQUIRE(seen == (given.size() == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << given.size()) - 1));
  return outcome;
}

inline Groups groups(const std::vector<Bytes>& packets, Coalescer::Accepts accepts = both) {
  return join(packets, accepts).groups;
}

}  // namespace culvert::tunnel::test

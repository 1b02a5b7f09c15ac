// Packets that begin as neighbours of one flow, changed as the input says, are joined: each comes out once, alone as it
// was, or as one of the segments into which the Segmenter cuts what it was joined to.
#include <bit>
#include <cstdlib>
#include <vector>

#include "coalescer.h"
#include "culvert/wire/checksum.h"
#include "segmenter.h"

using namespace culvert;
using namespace culvert::tunnel;

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

void fix_checksums(Bytes& packet, bool v4, bool tcp) {
  const std::size_t upper = v4 ? 20 : 40, addresses = v4 ? 12 : 8, at = upper + (tcp ? 16 : 6);
  if (packet.size() < at + 2) return;
  if (v4) store_be(&packet[10], std::uint16_t{0}), store_be(&packet[10], wire::checksum(ByteView(packet).first(20)));
  store_be(&packet[at], std::uint16_t{0});
  const auto sum = wire::checksum(ByteView(packet).subspan(addresses), (tcp ? 6U : 17U) + packet.size() - upper);
  store_be(&packet[at], sum);
}

Bytes make(bool v4, bool tcp, std::uint16_t number, std::size_t payload_len, std::uint32_t sequence) {
  const std::size_t upper = v4 ? 20 : 40;
  Bytes packet(upper + (tcp ? 20 : 8) + payload_len);
  packet[0] = v4 ? 0x45 : 0x60;
  packet[v4 ? 9 : 6] = tcp ? 6 : 17;
  store_be(&packet[v4 ? 2 : 4], static_cast<std::uint16_t>(packet.size() - (v4 ? 0 : 40)));
  if (v4) store_be(&packet[4], number);
  if (tcp) {
    store_be(&packet[upper + 4], sequence);
    packet[upper + 12] = 0x50;
    packet[upper + 13] = 0x10;
  } else {
    store_be(&packet[upper + 4], static_cast<std::uint16_t>(8 + payload_len));
  }
  return packet;
}

/// The same but for what a segmenting host may write another way: the identification with DF (RFC 6864 §4.1), and the
/// two zeros of a one's complement sum.
void expect_same(Bytes a, Bytes b, const Offload& offload) {
  const std::size_t sum_at = std::size_t{offload.checksum_start} + offload.checksum_offset;
  for (Bytes* packet : {&a, &b}) {
    const bool v4 = (*packet)[0] >> 4 == 4;
    if (v4 && ((*packet)[6] & 0x40) != 0) store_be(&(*packet)[4], std::uint16_t{0});
    if (v4) store_be(&(*packet)[10], std::uint16_t{0});  // right in both: join looks, and the Segmenter makes it
    if (load_be<std::uint16_t>(&(*packet)[sum_at]) == 0xFFFF) store_be(&(*packet)[sum_at], std::uint16_t{0});
  }
  expect(a == b);
}

void expect_cut(const Bytes& packet, const JoinedPacket& joined, const std::vector<Bytes>& given) {
  auto segmenter = Segmenter::start(packet, joined.offload);
  expect(segmenter.has_value());
  for_each_bit(joined.members, [&](std::size_t i) {
    expect(!segmenter->done());
    Bytes segment(Segmenter::max_header_len);
    const auto next = segmenter->next(segment.data());
    segment.resize(next.header_len);
    append(segment, next.body);
    expect_same(segment, given[i], joined.offload);
  });
  expect(segmenter->done());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Coalescer coalescer;
  Reader input({data, size});
  std::vector<Bytes> given;
  std::uint32_t sequence[4] = {};
  std::uint16_t number[4] = {};
  // For each packet: kind and what is done with it, payload length, then (offset, value) of bytes that change.
  while (given.size() < PacketBatch::capacity && input.remaining() >= 2) {
    const std::uint8_t what = *input.u8(), payload_len = *input.u8();
    const unsigned kind = what & 3;
    const bool v4 = (kind & 1) == 0, tcp = (kind & 2) == 0;
    Bytes packet = make(v4, tcp, number[kind]++, payload_len, sequence[kind]);
    sequence[kind] += payload_len;
    for (unsigned changes = what >> 2 & 3; changes != 0 && input.remaining() >= 2; --changes) {
      const std::size_t at = *input.u8();
      packet[at % packet.size()] = *input.u8();
    }
    if ((what & 0x40) != 0) packet.resize(packet.size() - std::min<std::size_t>(packet.size(), payload_len / 2U));
    if ((what & 0x80) == 0) fix_checksums(packet, v4, tcp);
    given.push_back(std::move(packet));
  }

  std::vector<Bytes> copies = given;
  const std::vector<MutableByteView> views(copies.begin(), copies.end());
  std::uint64_t seen = 0;
  int first_before = -1;
  for (const JoinedPacket& joined : coalescer.join(views, {.tcp = true, .udp = true})) {
    expect(joined.members != 0 && (seen & joined.members) == 0);
    expect(std::countr_zero(joined.members) > first_before);
    first_before = std::countr_zero(joined.members);
    seen |= joined.members;
    Bytes packet;
    for (const iovec& part : joined.parts.subspan(1)) {
      append(packet, {static_cast<const std::uint8_t*>(part.iov_base), part.iov_len});
    }
    expect(packet.size() == joined.len);
    if (joined.offload.kind == Offload::Kind::none) {
      expect(packet == given[static_cast<std::size_t>(std::countr_zero(joined.members))]);
    } else {
      expect_cut(packet, joined, given);
    }
  }
  expect(std::popcount(seen) == static_cast<int>(given.size()));
  return 0;
}

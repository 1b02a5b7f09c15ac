// Joined and cut again, without a kernel: what comes out is what went in.
#include <doctest/doctest.h>

#include <memory>

#include "coalescing_streams.h"
#include "segmenter.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::lab;

namespace {

std::vector<Bytes> cut(ByteView packet, const Offload& offload) {
  std::vector<Bytes> segments;
  auto segmenter = Segmenter::start(packet, offload);
  REQUIRE(segmenter);
  while (!segmenter->done()) {
    Bytes& segment = segments.emplace_back(Segmenter::max_header_len);
    const Segmenter::Segment next = segmenter->next(segment.data());
    segment.resize(next.header_len);
    append(segment, next.body);
  }
  return segments;
}

struct Counts {
  std::size_t in = 0, out = 0;
};

void join_and_cut(Coalescer& coalescer, const std::vector<Bytes>& batch, Counts& counts) {
  std::vector<Bytes> copies = batch, back;
  const std::vector<MutableByteView> views(copies.begin(), copies.end());
  for (const JoinedPacket& joined : coalescer.join(views, {.tcp = true, .udp = true})) {
    ++counts.out;
    Bytes packet;
    for (const iovec& part : joined.parts.subspan(1)) {
      append(packet, {static_cast<const std::uint8_t*>(part.iov_base), part.iov_len});
    }
    REQUIRE(packet.size() == joined.len);
    if (joined.offload.kind == Offload::Kind::none) {
      back.push_back(packet);
      continue;
    }
    for (Bytes& segment : cut(packet, joined.offload)) back.push_back(std::move(segment));
  }
  counts.in += batch.size();
  REQUIRE(compare_by_flow(batch, back) == "");
}

Counts join_and_cut(std::uint32_t seed, const Streams::Shape& shape, int num_batches) {
  const auto coalescer = std::make_unique<Coalescer>();
  Counts counts;
  Streams streams(seed, shape);
  CAPTURE(seed);
  for (int i = 0; i < num_batches; ++i) join_and_cut(*coalescer, streams.next_batch(), counts);
  return counts;
}

}  // namespace

TEST_CASE("coalescing: random streams that are joined and cut again are what they were") {
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    join_and_cut(seed, {.num_flows = 1 + seed % 8, .trouble_per_mille = 50}, 5);
    join_and_cut(seed, {.num_flows = 1 + seed % 4, .trouble_per_mille = 500, .max_payload_len = 40}, 20);
    join_and_cut(seed, {.num_flows = 30, .switch_per_mille = 900, .max_payload_len = 200}, 10);
    join_and_cut(seed, {.num_flows = 2, .trouble_per_mille = 5, .max_payload_len = 9000}, 3);
  }
}

TEST_CASE("coalescing: calm bulk transfers become few packets") {
  Counts sum;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {  // of the IPv4 flows, one in eight counts its packets at random
    const Counts counts = join_and_cut(
        seed, {.num_flows = 4, .trouble_per_mille = 0, .switch_per_mille = 500, .max_payload_len = 200}, 10);
    sum.in += counts.in;
    sum.out += counts.out;
  }
  CHECK(sum.out < sum.in / 5);
}

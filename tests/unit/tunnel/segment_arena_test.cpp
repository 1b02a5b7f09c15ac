#include "segment_arena.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

using namespace culvert;
using namespace culvert::tunnel;

namespace {

/// Takes packets of this length until there is no room.
std::vector<Packet> fill(SegmentArena& arena, std::size_t packet_len) {
  std::vector<Packet> packets;
  while (arena.has_room(packet_len)) packets.push_back(arena.take(packet_len));
  return packets;
}

}  // namespace

TEST_CASE(
    "every packet of the arena has the headroom and tailroom that the stages count on, and none overlaps another") {
  for (const std::size_t len : {20, 64, 576, 1399, 1400, 9000, 65535}) {
    CAPTURE(len);
    SegmentArena arena;
    const auto packets = fill(arena, len);
    REQUIRE(packets.size() >= 3);
    const std::uint8_t* end = packets[0].buffer_begin;
    for (const Packet& packet : packets) {
      CHECK(packet.len == len);
      CHECK(packet.headroom() >= packet_headroom);
      CHECK(packet.tailroom() >= packet_tailroom);
      CHECK(packet.buffer_begin >= end);
      CHECK(packet.buffer_end > packet.buffer_begin);
      end = packet.buffer_end;
      std::memset(packet.buffer_begin, 0xEE, static_cast<std::size_t>(end - packet.buffer_begin));  // all of it is ours
    }
    CHECK(static_cast<std::size_t>(end - packets[0].buffer_begin) <= SegmentArena::capacity);
  }
}

TEST_CASE("the arena holds a batch of segments of common length, and mixed ones beside each other") {
  SegmentArena arena;
  CHECK(fill(arena, 1500).size() >= PacketBatch::capacity);
  arena.clear();
  for (std::size_t i = 0; i < 60; ++i) {
    const std::size_t len = 20 + i * 37 % 3000;
    REQUIRE(arena.has_room(len));
    CHECK(arena.take(len).len == len);
  }
}

TEST_CASE("a full arena says so, still takes what is short enough, and is all there again once it is cleared") {
  SegmentArena arena;
  const auto first = fill(arena, 65535);
  CHECK_FALSE(arena.has_room(65535));
  CHECK(arena.has_room(1400));
  const auto small = fill(arena, 1);
  CHECK_FALSE(arena.has_room(1));
  CHECK(small.back().buffer_end <= first[0].buffer_begin + SegmentArena::capacity);
  arena.clear();
  const auto again = fill(arena, 65535);
  CHECK(again.size() == first.size());
  CHECK(again[0].data == first[0].data);
}

#include <doctest/doctest.h>

#include <deque>
#include <random>

#include "packets.h"
#include "wait_queue.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {
const TimePoint start{};
Bytes pop(WaitQueue& queue) {
  Bytes out(2000);
  out.resize(queue.pop(out));
  return out;
}
}  // namespace

TEST_CASE("packets leave in the order in which they came") {
  WaitQueue queue(4);
  CHECK(queue.empty());
  CHECK(pop(queue).empty());
  CHECK(queue.push(inner4, start));
  CHECK(queue.push(inner6, start));
  CHECK(queue.size() == 2);
  CHECK(pop(queue) == inner4);
  CHECK(pop(queue) == inner6);
  CHECK(queue.empty());
}

TEST_CASE("a full queue refuses the newest, by packets and by bytes") {
  WaitQueue by_packets(2);
  CHECK(by_packets.push(inner4, start));
  CHECK(by_packets.push(inner4, start));
  CHECK_FALSE(by_packets.push(inner4, start));
  WaitQueue by_bytes(100, 100);
  CHECK(by_bytes.push(iota(60), start));
  CHECK_FALSE(by_bytes.push(iota(41), start));
  CHECK(by_bytes.push(iota(40), start));
  CHECK_FALSE(by_bytes.push(iota(1), start));
  CHECK(pop(by_bytes) == iota(60));
  CHECK(by_bytes.push(iota(60, 9), start));
  CHECK(pop(by_bytes) == iota(40));
  CHECK(pop(by_bytes) == iota(60, 9));
  CHECK_FALSE(by_bytes.push(iota(101), start));
  CHECK_FALSE(by_bytes.push({}, start));
}

TEST_CASE("what has waited too long goes, the rest stays") {
  WaitQueue queue(10);
  for (int i = 0; i < 5; ++i)
    CHECK(queue.push(iota(20, static_cast<std::uint8_t>(i)), start + std::chrono::seconds(i)));
  CHECK(queue.expire(start + std::chrono::seconds(3)) == 3);
  CHECK(pop(queue) == iota(20, 3));
  CHECK(queue.flush() == 1);
  CHECK(queue.flush() == 0);
  CHECK(queue.empty());
}

TEST_CASE("a packet longer than the buffer it should go to is discarded and counted") {
  WaitQueue queue(10);
  CHECK(queue.push(iota(100), start));
  CHECK(queue.push(inner4, start));
  Bytes out(50);
  CHECK(queue.pop(out) == inner4.size());
  CHECK(queue.num_discarded() == 1);
}

TEST_CASE("the ring wraps without mixing packets: compared with a deque") {
  std::mt19937 random(3);
  WaitQueue queue(7, 300);
  std::deque<Bytes> model;
  std::size_t used = 0;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0) {
      const Bytes packet = iota(1 + random() % 120, static_cast<std::uint8_t>(random()));
      const bool fits = model.size() < 7 && used + packet.size() <= 300;
      REQUIRE(queue.push(packet, start) == fits);
      if (fits) {
        used += packet.size();
        model.push_back(packet);
      }
    } else if (model.empty()) {
      REQUIRE(pop(queue).empty());
    } else {
      REQUIRE(pop(queue) == model.front());
      used -= model.front().size();
      model.pop_front();
    }
    REQUIRE(queue.size() == model.size());
  }
}

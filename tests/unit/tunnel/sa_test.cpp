#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <thread>

#include "packets.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;
using crypto::CipherSuite;

TEST_CASE("blocks of sequence numbers that several workers reserve never overlap and leave no gap") {
  const auto sa = outbound_at(make_keys(CipherSuite::aes_gcm_16_128, 0x1000), 1);
  constexpr int num_threads = 4, rounds = 5000;
  std::vector<std::vector<OutboundSa::Block>> blocks(num_threads);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < num_threads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < rounds; ++i) blocks[t].push_back(sa->reserve(1 + static_cast<std::uint32_t>((i + t) % 64)));
      });
    }
  }
  std::vector<OutboundSa::Block> all;
  for (const auto& list : blocks) all.insert(all.end(), list.begin(), list.end());
  std::ranges::sort(all, {}, &OutboundSa::Block::first);
  std::uint64_t expected = 1;
  for (const auto& block : all) {
    REQUIRE(block.first == expected);
    expected += block.count;
  }
}

TEST_CASE("sequence numbers: the soft limit comes before the end, the end is exact, and it never wraps") {
  const auto sa = outbound_at(make_keys(CipherSuite::aes_gcm_16_128, 0x1000), UINT32_MAX - 100);
  CHECK(sa->reserve(64).count == 64);
  CHECK(sa->events.take() == EventFlags::bit(ChildEvent::soft_limit));
  CHECK(sa->reserve(64).count == 37);  // 101 numbers were left
  CHECK(sa->events.take() == EventFlags::bit(ChildEvent::hard_limit));
  for (int i = 0; i < 1000; ++i) REQUIRE(sa->reserve(64).count == 0);
  CHECK(sa->events.take() == 0);

  ChildSaKeys keys = make_keys(CipherSuite::aes_gcm_16_128, 0x1000);
  keys.esn = true;
  const auto young = outbound_at(make_keys(CipherSuite::aes_gcm_16_128, 0x1000), 1);
  CHECK(young->reserve(64).first == 1);
  CHECK(young->events.take() == 0);
  const auto esn = outbound_at(std::move(keys), UINT64_MAX - UINT32_MAX - 9);
  CHECK(esn->reserve(64).count == 10);
  CHECK(esn->reserve(64).count == 0);
  CHECK((esn->events.take() & EventFlags::bit(ChildEvent::hard_limit)) != 0);
}

TEST_CASE("workers that race for the last sequence numbers get each once and none beyond") {
  for (int round = 0; round < 300; ++round) {
    constexpr std::uint64_t start = UINT32_MAX - 999;
    const auto sa = outbound_at(make_keys(CipherSuite::aes_gcm_16_128, 0x1000), start);
    std::atomic<std::uint64_t> granted{0}, highest{0};
    std::barrier together(4);
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
          together.arrive_and_wait();
          for (int i = 0; i < 100; ++i) {
            const auto block = sa->reserve(7);
            granted += block.count;
            std::uint64_t last = block.first + block.count - 1;
            for (auto seen = highest.load();
                 block.count != 0 && last > seen && !highest.compare_exchange_weak(seen, last);) {
            }
          }
        });
      }
    }
    REQUIRE(granted == 1000);
    REQUIRE(highest == UINT32_MAX);
  }
}

TEST_CASE("soft and hard limits by bytes: soft once, hard exactly, both directions of a pair share their events") {
  ChildSaKeys keys = make_keys(CipherSuite::aes_gcm_16_128, 0x1000);
  keys.soft_bytes = 1000;
  keys.hard_bytes = 2000;
  auto pair = make_sa_pair(std::move(keys));
  REQUIRE(pair);
  EventFlags& events = pair->outbound->events;
  (void)pair->outbound->meter.add(1, 999, events);
  CHECK(events.take() == 0);
  (void)pair->outbound->meter.add(1, 1, events);
  CHECK(pair->inbound->events.take() == EventFlags::bit(ChildEvent::soft_limit));
  (void)pair->inbound->meter.add(1, 1500, pair->inbound->events);
  CHECK(events.take() == 0);  // asked for already
  auto share = pair->outbound->meter.add(3, 1200, events);
  CHECK(share.admit(400));
  CHECK(share.admit(600));  // 2000 bytes: the limit itself still passes
  CHECK_FALSE(share.admit(200));
  CHECK(pair->outbound->meter.exhausted());
  CHECK_FALSE(pair->inbound->meter.exhausted());
  CHECK(events.take() == EventFlags::bit(ChildEvent::hard_limit));
}

TEST_CASE("who sends and hears nothing says so after half a second, then after twice as long each time, up to 32 s") {
  using namespace std::chrono_literals;
  Silence silence;
  const TimePoint start = TimePoint{} + 1h;
  std::vector<Duration> said;
  for (Duration at{}; at < 100s; at += 10ms) {
    if (silence.sent(start + at)) said.push_back(at);
  }
  CHECK(said == std::vector<Duration>{500ms, 1500ms, 3500ms, 7500ms, 15500ms, 31500ms, 63500ms, 95500ms});
  silence.heard(start + 100s);
  CHECK_FALSE(silence.sent(start + 200s));  // the first since then: the pause before it says nothing
  CHECK_FALSE(silence.sent(start + 200s + 499ms));
  CHECK(silence.sent(start + 200s + 500ms));
}

TEST_CASE("what is answered is no silence, however far apart the packets are; nor is it to hear only") {
  using namespace std::chrono_literals;
  Silence silence;
  const TimePoint start = TimePoint{} + 1h;
  for (Duration at{}; at < 20s; at += 600ms) {
    CHECK_FALSE(silence.sent(start + at));
    silence.heard(start + at + 20ms);
  }
  for (Duration at = 20s; at < 30s; at += 1ms) silence.heard(start + at);
  CHECK_FALSE(silence.sent(start + 31s));
}

TEST_CASE("a path that moves is read whole: old or new, never half of each") {
  const auto path_number = [](std::uint16_t n) {
    const auto address =
        n % 2 == 0 ? IpAddress::v4(n) : *IpAddress::from_bytes(Bytes(16, static_cast<std::uint8_t>(n)));
    return OuterPath{{address, n}, {address, n}, n % 3 == 0 ? EspEncapsulation::udp : EspEncapsulation::raw};
  };
  AtomicPath path(path_number(0));
  CHECK(path.load() == path_number(0));
  std::atomic<bool> stop{false};
  std::jthread writer([&] {
    for (std::uint16_t n = 0; !stop; ++n) path.store(path_number(n));
  });
  for (int i = 0; i < 200000; ++i) {
    const OuterPath seen = path.load();
    REQUIRE(seen == path_number(seen.local.port));
  }
  stop = true;
}

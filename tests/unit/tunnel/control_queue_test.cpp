#include "control_queue.h"

#include <doctest/doctest.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

using namespace culvert;
using namespace culvert::tunnel;

namespace {

const Endpoint local{IpAddress::v4(0xC0000201), 4500};
const Endpoint remote{IpAddress::v4(0xC6336401), 4500};

bool readable(int fd) {
  pollfd poll{fd, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1;
}

}  // namespace

TEST_CASE("what is pushed comes out once, notices before datagrams, with both endpoints") {
  auto queue = ControlQueue::create().value();
  CHECK(queue->push_datagram(local, remote, Bytes{1, 2}));
  CHECK(queue->push_notice(UnknownSpiEvent{local, remote, Spi{77}}));
  const auto first = queue->pop();
  REQUIRE(first);
  CHECK(std::get<UnknownSpiEvent>(*first).spi == Spi{77});
  const auto second = queue->pop();
  REQUIRE(second);
  const auto& datagram = std::get<ControlDatagram>(*second);
  CHECK(datagram.local == local);
  CHECK(datagram.remote == remote);
  CHECK(datagram.bytes == Bytes{1, 2});
  CHECK_FALSE(queue->pop());
}

TEST_CASE("a queue full of datagrams refuses them, takes notices still, and takes again once one is taken") {
  auto queue = ControlQueue::create().value();
  for (std::size_t i = 0; i < ControlQueue::capacity; ++i) REQUIRE(queue->push_datagram(local, remote, Bytes{1}));
  CHECK_FALSE(queue->push_datagram(local, remote, Bytes{2}));
  CHECK(queue->push_notice(UnknownSpiEvent{}));
  REQUIRE(queue->pop());
  CHECK_FALSE(queue->push_datagram(local, remote, Bytes{2}));  // that was the notice
  REQUIRE(queue->pop());
  CHECK(queue->push_datagram(local, remote, Bytes{3}));
  CHECK_FALSE(queue->push_datagram(local, remote, Bytes{4}));
}

TEST_CASE("notices are bounded as well") {
  auto queue = ControlQueue::create().value();
  for (std::size_t i = 0; i < ControlQueue::capacity; ++i) REQUIRE(queue->push_notice(UnknownSpiEvent{}));
  CHECK_FALSE(queue->push_notice(UnknownSpiEvent{}));
}

TEST_CASE("the bytes that wait are bounded too, and are given back when they are taken") {
  auto queue = ControlQueue::create().value();
  const Bytes large(60'000);
  std::size_t taken = 0;
  while (queue->push_datagram(local, remote, large)) ++taken;
  CHECK(taken == ControlQueue::max_bytes / large.size());
  REQUIRE(queue->pop());
  CHECK(queue->push_datagram(local, remote, large));
  while (queue->pop()) {
  }
  std::size_t again = 0;
  while (queue->push_datagram(local, remote, large)) ++again;
  CHECK(again == taken);
}

TEST_CASE("wake makes the event descriptor readable until the consumer looks") {
  auto queue = ControlQueue::create().value();
  CHECK_FALSE(readable(queue->event_fd()));
  queue->wake();
  queue->wake();
  CHECK(readable(queue->event_fd()));
  queue->clear_wake();
  CHECK_FALSE(readable(queue->event_fd()));
  queue->wake();
  CHECK(readable(queue->event_fd()));
}

TEST_CASE("several workers lose nothing that the queue accepted, and each one's order holds") {
  constexpr std::uint32_t num_workers = 4, num_events = 20'000;
  auto queue = ControlQueue::create().value();
  std::array<std::atomic<std::uint32_t>, num_workers> accepted{};
  std::atomic<unsigned> running{num_workers};
  std::vector<std::jthread> workers;
  for (std::uint32_t worker = 0; worker < num_workers; ++worker) {
    workers.emplace_back([&, worker] {
      for (std::uint32_t i = 0; i < num_events; ++i) {
        if (!queue->push_notice(UnknownSpiEvent{{IpAddress::v4(worker), 0}, {IpAddress::v4(i), 0}, Spi{i}})) {
          std::this_thread::yield();
          continue;
        }
        ++accepted[worker];
        queue->wake();
      }
      --running;
      queue->wake();
    });
  }
  std::array<std::uint32_t, num_workers> received{};
  std::array<std::int64_t, num_workers> last{-1, -1, -1, -1};
  bool in_order = true;
  const auto drain = [&] {
    while (const auto event = queue->pop()) {
      const auto& seen = std::get<UnknownSpiEvent>(*event);
      const auto worker = load_be<std::uint32_t>(seen.local.address.bytes().data());
      in_order = in_order && last[worker] < std::int64_t{seen.spi.value()};
      last[worker] = seen.spi.value();
      ++received[worker];
    }
  };
  // The consumer sleeps on the descriptor: a lost wake-up would hang here until the test's time is up.
  while (running > 0) {
    pollfd poll{queue->event_fd(), POLLIN, 0};
    ::poll(&poll, 1, 1000);
    queue->clear_wake();
    drain();
  }
  workers.clear();
  drain();
  CHECK(in_order);
  for (std::uint32_t worker = 0; worker < num_workers; ++worker) CHECK(received[worker] == accepted[worker]);
}

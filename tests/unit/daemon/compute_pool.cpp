#include "compute_pool.h"

#include <doctest/doctest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <string>

using namespace culvert;
using namespace culvert::daemon;

namespace {

struct Number : ike::Computed {
  explicit Number(int what) : value(what) {}
  int value;
};

ike::Compute work_of(std::uint64_t id, ike::Compute::Rank rank, std::function<int()> work) {
  ike::Compute compute;
  compute.id = id;
  compute.rank = rank;
  compute.work = [work = std::move(work)](std::chrono::sys_seconds) { return std::make_unique<Number>(work()); };
  return compute;
}

using Rank = ike::Compute::Rank;

/// A pool whose answers are collected, and a gate that keeps its one thread busy until it opens.
struct Fixture {
  explicit Fixture(ComputePoolOptions options)
      : pool(io, options, [this](std::uint64_t id, std::unique_ptr<ike::Computed> result) {
          order.push_back(id);
          answers[id] = dynamic_cast<Number&>(*result).value;
          control_thread = std::this_thread::get_id();
        }) {}
  bool submit(std::uint64_t id, Rank rank, std::function<int()> work) {
    return pool.submit(work_of(id, rank, std::move(work)));
  }
  void block() {
    std::promise<void> entered;
    REQUIRE(submit(0, Rank::peer, [&] {
      entered.set_value();
      opened.wait();
      return 0;
    }));
    entered.get_future().wait();
  }
  void run_until(std::size_t num) {
    while (answers.size() < num) io.run_one_for(std::chrono::seconds(10));
  }
  boost::asio::io_context io;
  std::promise<void> gate;
  std::shared_future<void> opened = gate.get_future().share();
  std::map<std::uint64_t, int> answers;
  std::vector<std::uint64_t> order;
  std::thread::id control_thread;
  ComputePool pool;
};

}  // namespace

TEST_CASE("work is done on threads with a name, and its results come on the control thread, each once") {
  Fixture fixture({3, 256, 256, 256});
  std::atomic<int> elsewhere{0};
  std::atomic<int> named{0};
  const auto here = std::this_thread::get_id();
  for (int i = 1; i <= 100; ++i) {
    REQUIRE(fixture.submit(static_cast<std::uint64_t>(i), Rank::stranger, [&, i] {
      char name[16] = {};
      pthread_getname_np(pthread_self(), name, sizeof name);
      named += std::string(name).starts_with("cv-compute-");
      elsewhere += std::this_thread::get_id() != here;
      return i * i;
    }));
  }
  fixture.run_until(100);
  CHECK(elsewhere == 100);
  CHECK(named == 100);
  CHECK(fixture.order.size() == 100);
  CHECK(fixture.control_thread == here);
  for (int i = 1; i <= 100; ++i) CHECK(fixture.answers[static_cast<std::uint64_t>(i)] == i * i);
}

TEST_CASE("work is refused beyond the bound of its rank, and peers go ahead of candidates, and those of strangers") {
  Fixture fixture({1, 2, 2, 3});
  fixture.block();
  CHECK(fixture.submit(1, Rank::stranger, [] { return 1; }));
  CHECK(fixture.submit(2, Rank::stranger, [] { return 2; }));
  CHECK_FALSE(fixture.submit(3, Rank::stranger, [] { return 3; }));
  CHECK(fixture.submit(4, Rank::candidate, [] { return 4; }));
  CHECK(fixture.submit(5, Rank::candidate, [] { return 5; }));
  CHECK_FALSE(fixture.submit(6, Rank::candidate, [] { return 6; }));
  CHECK(fixture.submit(7, Rank::peer, [] { return 7; }));
  CHECK(fixture.submit(8, Rank::peer, [] { return 8; }));
  CHECK(fixture.submit(9, Rank::peer, [] { return 9; }));
  CHECK_FALSE(fixture.submit(10, Rank::peer, [] { return 10; }));
  fixture.gate.set_value();
  fixture.run_until(8);
  CHECK(fixture.order == std::vector<std::uint64_t>{0, 7, 8, 9, 4, 5, 1, 2});
}

TEST_CASE("whoever has the lowest rank is not starved by the others") {
  Fixture fixture({1, 4, 4, 64});
  fixture.block();
  CHECK(fixture.submit(1, Rank::stranger, [] { return 1; }));
  CHECK(fixture.submit(2, Rank::candidate, [] { return 2; }));
  for (std::uint64_t id = 10; id < 40; ++id) CHECK(fixture.submit(id, Rank::peer, [] { return 0; }));
  fixture.gate.set_value();
  fixture.run_until(33);
  const auto place_of = [&](std::uint64_t id) { return std::ranges::find(fixture.order, id) - fixture.order.begin(); };
  CHECK(place_of(1) == 7);
  CHECK(place_of(2) == 15);
}

TEST_CASE("a pool that goes away waits for what is being computed and forgets what waits") {
  std::atomic<int> done{0};
  {
    Fixture fixture({1, 8, 8, 8});
    fixture.block();
    REQUIRE(fixture.submit(1, Rank::stranger, [&] { return ++done; }));
    std::thread opener([&] {
      std::this_thread::yield();
      fixture.gate.set_value();
    });
    opener.join();
  }
  CHECK(done <= 1);
}

#include <doctest/doctest.h>

#include "worker_load.h"

using namespace culvert;
using namespace culvert::tunnel;
using std::chrono::milliseconds;

TEST_CASE("a worker is busy that slept less than two fifths of a window, and is told so once a window") {
  WorkerLoad load;
  TimePoint now{std::chrono::hours(1)};
  CHECK_FALSE(load.slept(now, now + milliseconds(10)));  // the first window ends
  now += milliseconds(10);
  int told = 0;
  for (int i = 0; i < 30; ++i) {  // 7 ms of work, 3 ms of sleep
    now += milliseconds(7);
    told += load.slept(now, now + milliseconds(3));
    now += milliseconds(3);
  }
  CHECK(told == 30);
}

TEST_CASE("a worker that sleeps half of the time is not busy, nor one that wakes after a long sleep") {
  WorkerLoad load;
  TimePoint now{std::chrono::hours(1)};
  for (int i = 0; i < 1000; ++i) {
    now += std::chrono::microseconds(50);
    CHECK_FALSE(load.slept(now, now + std::chrono::microseconds(50)));
    now += std::chrono::microseconds(50);
  }
  CHECK_FALSE(load.slept(now, now + std::chrono::seconds(5)));
}

TEST_CASE("a worker with a packet now and then is calm, until more come") {
  WorkerLoad load;
  TimePoint now{std::chrono::hours(1)};
  CHECK_FALSE(load.is_calm());  // nothing is known yet
  const auto round = [&](Duration sleep) {
    [[maybe_unused]] const bool busy = load.slept(now, now + sleep);
    now += sleep + std::chrono::microseconds(50);
  };
  round(milliseconds(20));
  for (int i = 0; i < 100; ++i) {  // an echo and its answer
    CHECK(load.is_calm());
    round(std::chrono::microseconds(1));
    CHECK(load.is_calm());
    round(milliseconds(10));
  }
  for (int i = 0; i < 4; ++i) round(std::chrono::microseconds(1));
  CHECK_FALSE(load.is_calm());  // a burst: not one by one
  round(milliseconds(10));
  CHECK(load.is_calm());
}

TEST_CASE("a worker that has much to do is not calm, however seldom it sleeps") {
  WorkerLoad load;
  TimePoint now{std::chrono::hours(1)};
  for (int i = 0; i < 100; ++i) {
    now += milliseconds(5);
    [[maybe_unused]] const bool busy = load.slept(now, now + milliseconds(15));
    now += milliseconds(15);
    if (i > 0) CHECK_FALSE(load.is_calm());
  }
}

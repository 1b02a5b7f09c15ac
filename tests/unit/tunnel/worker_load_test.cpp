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

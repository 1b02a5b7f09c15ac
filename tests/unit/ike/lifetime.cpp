#include "lifetime.h"

#include <doctest/doctest.h>

#include <chrono>

using namespace culvert;
using namespace culvert::ike;
using namespace std::chrono_literals;

namespace {

const TimePoint now = TimePoint{} + 1000s;

}  // namespace

TEST_CASE("the soft time comes early by at most the jitter, the hard time does not move") {
  crypto::RandomSource& random = crypto::system_random();
  bool early = false;
  for (int i = 0; i < 1000; ++i) {
    const Lifetime lifetime = lifetime_from(now, 3600s, 0.1, random);
    CHECK(*lifetime.soft <= now + 3600s);
    CHECK(*lifetime.soft >= now + 3240s);
    CHECK(*lifetime.hard == now + 3960s);
    early = early || *lifetime.soft < now + 3500s;
  }
  CHECK(early);
}

TEST_CASE("the hard time is 30 s later at least, and twice the soft time at most") {
  crypto::RandomSource& random = crypto::system_random();
  CHECK(*lifetime_from(now, 100s, 0, random).hard == now + 130s);
  CHECK(*lifetime_from(now, 3s, 0, random).hard == now + 6s);
  CHECK(*lifetime_from(now, 3s, 0, random).soft == now + 3s);
}

TEST_CASE("no lifetime is no limit") {
  crypto::RandomSource& random = crypto::system_random();
  CHECK_FALSE(lifetime_from(now, 0s, 0.1, random).soft);
  CHECK_FALSE(lifetime_from(now, 0s, 0.1, random).hard);
  CHECK(volume_limit(0, 0.1, random).soft == 0);
  CHECK(volume_limit(0, 0.1, random).hard == 0);
}

TEST_CASE("limits by volume have a soft one that comes early and a hard one 10 % later, and do not overflow") {
  crypto::RandomSource& random = crypto::system_random();
  for (int i = 0; i < 1000; ++i) {
    const VolumeLimit limit = volume_limit(1000, 0.5, random);
    CHECK(limit.soft >= 500);
    CHECK(limit.soft <= 1000);
    CHECK(limit.hard == 1100);
  }
  CHECK(volume_limit(1, 0.5, random).soft == 1);
  CHECK(volume_limit(1, 0.5, random).hard == 2);
  CHECK(volume_limit(UINT64_MAX, 0, random).hard == UINT64_MAX);
}

TEST_CASE("back-off doubles up to its cap, never beyond, and begins again after a reset") {
  crypto::RandomSource& random = crypto::system_random();
  Backoff backoff(1s, 60s);
  Duration base = 1s;
  for (int i = 0; i < 100; ++i) {
    const Duration pause = backoff.next(random);
    CHECK(pause <= 60s);
    CHECK(pause >= std::min<Duration>(base, 60s) * 3 / 4);
    if (base < 60s) base *= 2;
  }
  backoff.reset();
  CHECK(backoff.next(random) <= 1250ms);
}

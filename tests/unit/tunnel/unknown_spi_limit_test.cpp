#include "unknown_spi_limit.h"

#include <doctest/doctest.h>

#include <chrono>

#include "tables.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace std::chrono_literals;

TEST_CASE("one unknown SPI a second is reported for a remote") {
  UnknownSpiLimit limit;
  const Endpoint remote{IpAddress::v4(0xC0000201), 4500};
  const TimePoint start = TimePoint{} + 1h;
  CHECK(limit.allow(remote, start));
  CHECK_FALSE(limit.allow(remote, start + 999ms));
  CHECK(limit.allow(remote, start + 1s));
  CHECK_FALSE(limit.allow(remote, start + 1s));
}

TEST_CASE("ten thousand forged remotes get no more reports through than the table has slots") {
  UnknownSpiLimit limit;
  const TimePoint now = TimePoint{} + 1h;
  std::size_t num_allowed = 0;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    if (limit.allow({IpAddress::v4(0x0A000000 + i), static_cast<std::uint16_t>(i)}, now)) ++num_allowed;
  }
  CHECK(num_allowed > 0);
  CHECK(num_allowed <= UnknownSpiLimit::num_slots);
}

TEST_CASE("one acquire a second is raised for a child") {
  AcquireLimit limit;
  const TimePoint start = TimePoint{} + 1h;
  CHECK(limit.allow(start));
  CHECK_FALSE(limit.allow(start));
  CHECK_FALSE(limit.allow(start + 999ms));
  CHECK(limit.allow(start + 1s));
}

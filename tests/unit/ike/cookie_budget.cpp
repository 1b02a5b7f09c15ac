#include "cookie_budget.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace culvert;
using namespace culvert::ike;
using namespace std::chrono_literals;

namespace {

const TimePoint start = TimePoint{} + 1000s;
constexpr std::uint64_t seed = 4711;

IpAddress address(std::uint32_t number) {
  return IpAddress::v4(0x0A000000 + number);
}

}  // namespace

TEST_CASE("few are all answered") {
  CookieBudget budget;
  for (std::uint32_t i = 0; i < 4000; ++i) CHECK(budget.take(start + i * 250us, address(i), IkeSpi(i + 1), seed));
}

TEST_CASE("of many the budget is answered, and who comes again is, among as many as there are") {
  CookieBudget budget;
  std::uint64_t num_answered = 0, num_honest = 0, num_again = 0;
  for (std::uint32_t i = 0; i < 150'000; ++i) {  // 50,000 a second for 3 s
    const TimePoint now = start + i * 20us;
    num_answered += budget.take(now, address(i), IkeSpi(i + 1), seed) ? 1 : 0;
    if (i >= 60'000 && i % 1000 == 0) {  // an honest one, once more a second later
      const IpAddress honest = address(0xFF0000 + i);
      num_honest += budget.take(now - 1s, honest, IkeSpi(i), seed) ? 1 : 0;
      num_again += budget.take(now, honest, IkeSpi(i), seed) ? 1 : 0;
    }
  }
  CHECK(num_answered >= 3 * CookieBudget::each_second);
  CHECK(num_answered <= 3 * CookieBudget::each_second + 1200);  // and what may come at once
  CHECK(num_honest < 60);
  CHECK(num_again == 90);
}

TEST_CASE("what was seen is forgotten in 10 s") {
  CookieBudget budget;
  // A full bucket leaves only those who come again.
  const auto exhaust = [&](TimePoint now) {
    std::uint32_t i = 1'000'000;
    while (budget.take(now, address(i), IkeSpi(i), seed)) ++i;
  };
  exhaust(start);
  CHECK_FALSE(budget.take(start, address(1), IkeSpi(1), seed));
  exhaust(start + 4s);
  CHECK(budget.take(start + 4s, address(1), IkeSpi(1), seed));
  exhaust(start + 15s);
  CHECK_FALSE(budget.take(start + 15s, address(1), IkeSpi(1), seed));
}

TEST_CASE("the address counts, of both families, and the SPI") {
  CookieBudget budget;
  for (const char* text : {"192.0.2.1", "2001:db8::1"}) {
    const IpAddress here = *IpAddress::parse(text);
    const TimePoint now = start + 30s;
    std::uint32_t i = 2'000'000;
    while (budget.take(now, address(i), IkeSpi(i), seed)) ++i;
    CHECK_FALSE(budget.take(now, here, IkeSpi(7), seed));
    CHECK_FALSE(budget.take(now, here, IkeSpi(8), seed));
    CHECK_FALSE(budget.take(now, *IpAddress::parse("2001:db8::2"), IkeSpi(7), seed));
    CHECK(budget.take(now, here, IkeSpi(7), seed));
    budget.forget();
  }
}

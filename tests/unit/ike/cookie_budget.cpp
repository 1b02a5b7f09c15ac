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
  for (std::uint32_t i = 0; i < 4000; ++i)
    CHECK(budget.take(start + i * 1250us, address(i), IkeSpi(i + 1), seed, false));
}

TEST_CASE("thousands of honest peers that come in one moment are all answered") {
  CookieBudget budget;
  for (std::uint32_t i = 0; i < 5000; ++i) CHECK(budget.take(start, address(i), IkeSpi(i + 1), seed, false));
}

TEST_CASE("of many the budget is answered, and who comes again is, among as many as there are") {
  CookieBudget budget;
  std::uint64_t num_answered = 0, num_honest = 0, num_again = 0;
  for (std::uint32_t i = 0; i < 150'000; ++i) {  // 50,000 a second for 3 s
    const TimePoint now = start + i * 20us;
    num_answered += budget.take(now, address(i), IkeSpi(i + 1), seed, false) ? 1 : 0;
    if (i >= 60'000 && i % 1000 == 0) {  // an honest one, once more a second later
      const IpAddress honest = address(0xFF0000 + i);
      num_honest += budget.take(now - 1s, honest, IkeSpi(i), seed, false) ? 1 : 0;
      num_again += budget.take(now, honest, IkeSpi(i), seed, false) ? 1 : 0;
    }
  }
  CHECK(num_answered >= 3 * CookieBudget::of_first - 10);
  CHECK(num_answered <= (3 + 5) * CookieBudget::of_first + 1);  // 5 s of it at once
  CHECK(num_honest < 60);
  CHECK(num_again == 90);
}

TEST_CASE("the addresses of configured peers have a budget of their own, which is bounded, too") {
  CookieBudget budget;
  std::uint32_t i = 0;
  while (budget.take(start, address(i), IkeSpi(i), seed, false)) ++i;
  std::uint64_t num_known = 0;
  for (std::uint32_t k = 0; k < 50'000; ++k)
    num_known += budget.take(start + k * 20us, address(900'000), IkeSpi(5'000'000 + k), seed, true) ? 1 : 0;
  CHECK(num_known >= CookieBudget::of_known);
  CHECK(num_known <= 2 * CookieBudget::of_known + CookieBudget::of_first + 1);  // 1 s of it at once
}

TEST_CASE("what was seen is forgotten in 10 s") {
  CookieBudget budget;
  // A full bucket leaves only those who come again.
  const auto exhaust = [&](TimePoint now) {
    std::uint32_t i = 1'000'000;
    while (budget.take(now, address(i), IkeSpi(i), seed, false)) ++i;
  };
  exhaust(start);
  CHECK_FALSE(budget.take(start, address(1), IkeSpi(1), seed, false));
  exhaust(start + 4s);
  CHECK(budget.take(start + 4s, address(1), IkeSpi(1), seed, false));
  exhaust(start + 15s);
  CHECK_FALSE(budget.take(start + 15s, address(1), IkeSpi(1), seed, false));
}

TEST_CASE("the address counts, of both families, and the SPI") {
  CookieBudget budget;
  for (const char* text : {"192.0.2.1", "2001:db8::1"}) {
    const IpAddress here = *IpAddress::parse(text);
    const TimePoint now = start + 30s;
    std::uint32_t i = 2'000'000;
    while (budget.take(now, address(i), IkeSpi(i), seed, false)) ++i;
    CHECK_FALSE(budget.take(now, here, IkeSpi(7), seed, false));
    CHECK_FALSE(budget.take(now, here, IkeSpi(8), seed, false));
    CHECK_FALSE(budget.take(now, *IpAddress::parse("2001:db8::2"), IkeSpi(7), seed, false));
    CHECK(budget.take(now, here, IkeSpi(7), seed, false));
    budget.forget();
  }
}

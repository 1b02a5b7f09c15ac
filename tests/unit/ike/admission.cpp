// RFC 7296 §2.6; RFC 8019 §4.4–§4.6 for limits by prefix and what a cookie proves.
#include "admission.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <vector>

using namespace culvert;
using namespace culvert::ike;
using namespace std::chrono_literals;
using Verdict = Admission::Verdict;

namespace {

const TimePoint start = TimePoint{} + 1000s;

Admission::Asking from(const std::string& address, bool proved = false, bool known = false) {
  return {*IpAddress::parse(address), known, proved};
}

/// So many half-open IKE SAs, each from a network of its own.
std::vector<Admission::Slot> fill(Admission& admission, std::size_t num, bool proved = true, bool known = false) {
  std::vector<Admission::Slot> slots;
  for (std::size_t i = 0; i < num; ++i)
    slots.push_back(admission.enter(from(fmt::format("10.{}.{}.1", i / 250, i % 250), proved, known)));
  return slots;
}

}  // namespace

TEST_CASE("without load everybody is admitted, and from so many half-open IKE SAs on a cookie is asked for") {
  Admission admission({1000, 100, 200});
  CHECK(admission.judge(start, from("192.0.2.1")) == Verdict::admit);
  auto slots = fill(admission, 100, false);
  CHECK(admission.judge(start, from("192.0.2.1")) == Verdict::challenge);
  CHECK(admission.judge(start, from("192.0.2.1", false, true)) == Verdict::challenge);  // an address can be forged
  CHECK(admission.judge(start, from("192.0.2.1", true)) == Verdict::admit);
  slots.pop_back();
  CHECK(admission.judge(start, from("192.0.2.1")) == Verdict::admit);
}

TEST_CASE("a threshold of 0 asks for a cookie always") {
  const Admission admission({1000, 0, 200});
  CHECK(admission.judge(start, from("192.0.2.1")) == Verdict::challenge);
}

TEST_CASE("a quarter of the room is kept for the addresses of known peers") {
  Admission admission({100, 50, 1000});
  const auto slots = fill(admission, 75);
  CHECK(admission.judge(start, from("192.0.2.1", true)) == Verdict::full);
  CHECK(admission.judge(start, from("192.0.2.1", true, true)) == Verdict::admit);
  const auto more = fill(admission, 25, true, true);
  CHECK(admission.judge(start, from("192.0.2.1", true, true)) == Verdict::full);
}

TEST_CASE("one address has its limit, and so have a /24 and a /48; a /64 is one address") {
  Admission admission({1000, 2000, 5000});
  std::vector<Admission::Slot> slots;
  for (int i = 0; i < 100; ++i) slots.push_back(admission.enter(from("192.0.2.1", true)));
  CHECK(admission.judge(start, from("192.0.2.1", true)) == Verdict::crowded);
  CHECK(admission.judge(start, from("192.0.2.2", true)) == Verdict::admit);
  for (int i = 0; i < 150; ++i) slots.push_back(admission.enter(from(fmt::format("192.0.2.{}", 10 + i), true)));
  CHECK(admission.judge(start, from("192.0.2.2", true)) == Verdict::crowded);
  CHECK(admission.judge(start, from("192.0.3.2", true)) == Verdict::admit);
  slots.clear();
  for (int i = 0; i < 100; ++i) slots.push_back(admission.enter(from(fmt::format("2001:db8:1:1::{:x}", i + 1), true)));
  CHECK(admission.judge(start, from("2001:db8:1:1::ffff", true)) == Verdict::crowded);
  CHECK(admission.judge(start, from("2001:db8:1:2::1", true)) == Verdict::admit);
  for (int i = 0; i < 150; ++i) slots.push_back(admission.enter(from(fmt::format("2001:db8:1:{:x}::1", i + 16), true)));
  CHECK(admission.judge(start, from("2001:db8:1:ffff::1", true)) == Verdict::crowded);
  CHECK(admission.judge(start, from("2001:db8:2::1", true)) == Verdict::admit);
}

TEST_CASE("nobody is locked out by what others send in his name: he has a cookie to show, they don't") {
  Admission admission({1000, 2000, 5000});
  std::vector<Admission::Slot> slots;
  for (int i = 0; i < 100; ++i) slots.push_back(admission.enter(from("192.0.2.1", false)));
  CHECK(admission.judge(start, from("192.0.2.1", false)) == Verdict::challenge);
  CHECK(admission.judge(start, from("192.0.2.1", true)) == Verdict::admit);
}

TEST_CASE("a slot that is given back leaves nothing behind") {
  Admission admission({1000, 100, 200});
  {
    Admission::Slot slot = admission.enter(from("192.0.2.1"));
    CHECK(admission.num_half_open() == 1);
    Admission::Slot moved = std::move(slot);
    CHECK(admission.num_half_open() == 1);
    CHECK(moved.taken());
    moved.release();
    CHECK(admission.num_half_open() == 0);
    moved.release();
  }
  CHECK(admission.num_half_open() == 0);
}

TEST_CASE("many requests a second demand cookies until it has been calm for 10 s, which is said once each") {
  Admission admission({1000, 100, 200});
  for (int i = 0; i < 199; ++i) admission.count_requests(start + i * 1ms, 1);
  CHECK_FALSE(admission.wants_cookies());
  CHECK_FALSE(admission.news(start + 200ms).has_value());
  admission.count_requests(start + 200ms, 1);
  CHECK(admission.wants_cookies());
  CHECK(admission.news(start + 200ms)->contains("a flood of IKE_SA_INIT: 200 in this second"));
  CHECK_FALSE(admission.news(start + 201ms).has_value());
  // Half as many keep it up.
  for (int i = 0; i < 1000; ++i) admission.count_requests(start + 1s + i * 9ms, 1);
  CHECK(admission.wants_cookies());
  const auto end = admission.deadline();
  REQUIRE(end.has_value());
  CHECK_FALSE(admission.news(*end - 1ms).has_value());
  CHECK(admission.news(*end)->contains("is over"));
  CHECK_FALSE(admission.wants_cookies());
  CHECK_FALSE(admission.deadline().has_value());
}

TEST_CASE("a few requests a second do not keep a flood going") {
  Admission admission({1000, 100, 200});
  for (int i = 0; i < 300; ++i) admission.count_requests(start, 1);
  (void)admission.news(start);
  for (int i = 1; i < 400; ++i) admission.count_requests(start + i * 50ms, 1);
  CHECK(admission.news(start + 20s).has_value());
}

TEST_CASE("ten failed authentications bar an address, its neighbours not, and time heals") {
  Admission admission({1000, 100, 200});
  const IpAddress address = *IpAddress::parse("192.0.2.1");
  for (int i = 0; i < 9; ++i) admission.on_failed_authentication(start, address);
  CHECK(admission.judge(start, from("192.0.2.1", true)) == Verdict::admit);
  admission.on_failed_authentication(start, address);
  CHECK(admission.judge(start, from("192.0.2.1", true)) == Verdict::barred);
  CHECK(admission.judge(start, from("192.0.2.1", true, true)) == Verdict::barred);
  CHECK(admission.judge(start, from("192.0.2.2", true)) == Verdict::admit);
  CHECK(admission.judge(start + 7s, from("192.0.2.1", true)) == Verdict::admit);
}

TEST_CASE("a wrong key that is tried every 7 s bars nobody") {
  Admission admission({1000, 100, 200});
  for (int i = 0; i < 1000; ++i) admission.on_failed_authentication(start + i * 7s, *IpAddress::parse("192.0.2.1"));
  CHECK(admission.judge(start + 7000s, from("192.0.2.1", true)) == Verdict::admit);
}

TEST_CASE("failures all over a prefix bar the prefix") {
  Admission admission({1000, 100, 200});
  for (int i = 0; i < 50; ++i)
    admission.on_failed_authentication(start, *IpAddress::parse(fmt::format("2001:db8:7:{:x}::1", i)));
  CHECK(admission.judge(start, from("2001:db8:7:ffff::1", true)) == Verdict::barred);
  CHECK(admission.judge(start, from("2001:db8:8::1", true)) == Verdict::admit);
}

TEST_CASE("the table of failures is bounded, and who failed most stays in it") {
  Admission admission({1000, 100, 200});
  const IpAddress worst = *IpAddress::parse("203.0.113.1");
  for (int i = 0; i < 20; ++i) admission.on_failed_authentication(start, worst);
  for (int i = 0; i < 6000; ++i)
    admission.on_failed_authentication(start, *IpAddress::parse(fmt::format("10.{}.{}.1", i / 250, i % 250)));
  CHECK(admission.num_failing() <= Admission::max_failing);
  CHECK(admission.judge(start, from("203.0.113.1", true)) == Verdict::barred);
}

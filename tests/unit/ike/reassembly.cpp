// RFC 7383 §2.6, and the bounds of DESIGN.md §4.
#include "reassembly.h"

#include <doctest/doctest.h>

using namespace culvert;
using namespace culvert::ike;
using namespace std::chrono_literals;
using Verdict = Reassembly::Verdict;
using Added = Reassembly::Added;

namespace {

constexpr std::size_t plenty = 65536;
const TimePoint start = TimePoint{} + 1000s;

Reassembly::Fragment fragment(std::uint32_t id, std::uint16_t number, std::uint16_t total, Bytes content = {7}) {
  return {MessageId(id),
          {number, total},
          number == 1 ? PayloadType::id_i : PayloadType::none,
          number == 1 ? Bytes{0xDD} : Bytes{},
          std::move(content)};
}

}  // namespace

TEST_CASE("fragments in any order become the message") {
  Reassembly set;
  CHECK(set.add(start, fragment(1, 3, 3, {5}), plenty) == Added::waiting);
  CHECK(set.add(start, fragment(1, 1, 3, {1, 2}), plenty) == Added::waiting);
  CHECK(set.add(start, fragment(1, 2, 3, {3, 4}), plenty) == Added::complete);
  const auto whole = set.take();
  CHECK(whole.content == Bytes{1, 2, 3, 4, 5});
  CHECK(whole.first == PayloadType::id_i);
  CHECK(whole.digest == Bytes{0xDD});
  CHECK_FALSE(set.deadline().has_value());
}

TEST_CASE("the one fragment of one is a message, too") {
  Reassembly set;
  CHECK(set.add(start, fragment(1, 1, 1), plenty) == Added::complete);
}

TEST_CASE("a fragment that is there is a duplicate") {
  Reassembly set;
  (void)set.add(start, fragment(1, 2, 3), plenty);
  CHECK(set.judge(start, MessageId(1), {2, 3}) == Verdict::duplicate);
  CHECK(set.judge(start, MessageId(1), {1, 3}) == Verdict::wanted);
  CHECK(set.judge(start, MessageId(2), {2, 3}) == Verdict::wanted);  // of the next message
}

TEST_CASE("a larger total begins anew, and then a smaller one is out of date") {
  Reassembly set;
  (void)set.add(start, fragment(1, 1, 2), plenty);
  CHECK(set.judge(start, MessageId(1), {4, 4}) == Verdict::wanted);
  CHECK(set.add(start, fragment(1, 4, 4, {4}), plenty) == Added::restarted);
  CHECK(set.judge(start, MessageId(1), {2, 2}) == Verdict::outdated);
  CHECK(set.judge(start, MessageId(1), {1, 4}) == Verdict::wanted);  // what was there has gone
  (void)set.add(start, fragment(1, 1, 4, {1}), plenty);
  (void)set.add(start, fragment(1, 2, 4, {2}), plenty);
  CHECK(set.add(start, fragment(1, 3, 4, {3}), plenty) == Added::complete);
  CHECK(set.take().content == Bytes{1, 2, 3, 4});
}

TEST_CASE("judging changes nothing: a total that nobody authenticated restarts no set") {
  Reassembly set;
  (void)set.add(start, fragment(1, 1, 2), plenty);
  (void)set.judge(start, MessageId(1), {1, 200});
  (void)set.judge(start, MessageId(9), {1, 2});
  CHECK(set.add(start, fragment(1, 2, 2), plenty) == Added::complete);
}

TEST_CASE("more fragments than the limit are not wanted") {
  const Reassembly set;
  CHECK(set.judge(start, MessageId(1), {1, Reassembly::max_fragments}) == Verdict::wanted);
  CHECK(set.judge(start, MessageId(1), {1, Reassembly::max_fragments + 1}) == Verdict::beyond_limit);
  CHECK(set.judge(start, MessageId(1), {65535, 65535}) == Verdict::beyond_limit);
}

TEST_CASE("more bytes than the limit give the set up") {
  Reassembly set;
  CHECK(set.add(start, fragment(1, 1, 3, Bytes(600)), 1000) == Added::waiting);
  CHECK(set.add(start, fragment(1, 2, 3, Bytes(401)), 1000) == Added::too_long);
  CHECK_FALSE(set.deadline().has_value());
  CHECK(set.add(start, fragment(1, 1, 2, Bytes(600)), 1000) == Added::waiting);
  CHECK(set.add(start, fragment(1, 2, 2, Bytes(400)), 1000) == Added::complete);
}

TEST_CASE("a set does not wait forever, and what comes after that begins a new one") {
  Reassembly set;
  (void)set.add(start, fragment(1, 1, 2), plenty);
  CHECK(set.deadline() == start + Reassembly::max_age);
  set.expire(start + Reassembly::max_age - 1ns);
  CHECK(set.deadline().has_value());
  CHECK(set.judge(start + Reassembly::max_age, MessageId(1), {1, 2}) == Verdict::wanted);
  CHECK(set.add(start + Reassembly::max_age, fragment(1, 2, 2), plenty) == Added::waiting);
  set.expire(start + 2 * Reassembly::max_age);
  CHECK_FALSE(set.deadline().has_value());
}

TEST_CASE("a fragment of another message takes the place of the set") {
  Reassembly set;
  (void)set.add(start, fragment(1, 1, 2, {1}), plenty);
  CHECK(set.add(start, fragment(2, 2, 2, {9}), plenty) == Added::waiting);
  CHECK(set.add(start, fragment(2, 1, 2, {8}), plenty) == Added::complete);
  CHECK(set.take().content == Bytes{8, 9});
}

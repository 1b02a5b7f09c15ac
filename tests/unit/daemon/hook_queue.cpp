#include "hook_queue.h"

#include <doctest/doctest.h>

using namespace culvert::daemon;

namespace {

HookJob job(const std::string& key, bool up, const std::string& mark = "") {
  return {0, key, key, up, {"/bin/true", mark}, {}};
}

}  // namespace

TEST_CASE("programs of one tunnel are run one after another, those of others beside them") {
  HookQueue queue;
  CHECK(queue.idle());
  queue.push(job("a", true));
  queue.push(job("a", false));
  queue.push(job("b", true));
  const auto first = queue.take();
  REQUIRE(first.size() == 2);
  CHECK((first[0].key == "a" && first[0].up));
  CHECK(first[1].key == "b");
  CHECK(queue.take().empty());
  queue.done(first[1].id);
  CHECK(queue.take().empty());
  queue.done(first[0].id);
  const auto second = queue.take();
  REQUIRE(second.size() == 1);
  CHECK((second[0].key == "a" && !second[0].up));
  CHECK_FALSE(queue.idle());
  queue.done(second[0].id);
  CHECK(queue.idle());
}

TEST_CASE("no more than a few run at a time, and who came first is first") {
  HookQueue queue;
  for (int i = 0; i < 20; ++i) queue.push(job("t" + std::to_string(i), true));
  const auto first = queue.take();
  REQUIRE(first.size() == HookQueue::max_running);
  CHECK(queue.take().empty());
  queue.done(first[3].id);
  const auto next = queue.take();
  REQUIRE(next.size() == 1);
  CHECK(next[0].key == "t8");
}

TEST_CASE("a tunnel that flaps faster than its programs end keeps order and its last state, and memory is bounded") {
  HookQueue queue;
  queue.push(job("a", true, "0"));
  auto running = queue.take();
  REQUIRE(running.size() == 1);
  std::size_t left_out = 0;
  for (int i = 1; i <= 101; ++i) left_out += queue.push(job("a", i % 2 == 0, std::to_string(i)));
  CHECK(left_out + HookQueue::max_waiting_of_key >= 101);
  bool up = true;
  std::string last;
  std::size_t num = 0;
  while (!queue.idle()) {
    queue.done(running[0].id);
    running = queue.take();
    if (running.empty()) break;
    CHECK(running[0].up != up);  // up and down still alternate
    up = running[0].up;
    last = running[0].argv[1];
    ++num;
  }
  CHECK(last == "101");
  CHECK(num <= HookQueue::max_waiting_of_key);
}

TEST_CASE("of too many tunnels the later ones are left out") {
  HookQueue queue;
  std::size_t left_out = 0;
  for (std::size_t i = 0; i < HookQueue::max_waiting + 10; ++i)
    left_out += queue.push(job("t" + std::to_string(i), true));
  CHECK(left_out == 10);
  queue.clear();
  CHECK(queue.idle());
  CHECK(queue.take().empty());
  queue.done(1);  // of before: nobody's
  queue.done(0);
  queue.push(job("a", true));
  CHECK(queue.take().size() == 1);
}

#include "snapshot.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

using namespace culvert::tunnel;

namespace {

/// Counts how many live, and shows in `number` when a reader looks at a destroyed one.
struct Value {
  static inline std::atomic<int> alive{0};
  explicit Value(std::uint64_t n) : number(n), complement(~n) { ++alive; }
  ~Value() {
    number = complement = 0;
    --alive;
  }
  Value(const Value&) = delete;
  std::uint64_t number, complement;
};

}  // namespace

TEST_CASE("a replaced value goes at once when no reader is inside") {
  Published<Value> published(2, std::make_unique<Value>(1));
  published.publish(std::make_unique<Value>(2));
  CHECK(Value::alive == 1);
  CHECK(published.num_retired() == 0);
  CHECK(published.current().number == 2);
}

TEST_CASE("a replaced value lives until the reader that holds it has left") {
  Published<Value> published(2, std::make_unique<Value>(1));
  const Value& held = published.enter(1);
  published.publish(std::make_unique<Value>(2));
  published.publish(std::make_unique<Value>(3));
  CHECK(held.number == 1);
  CHECK(Value::alive == 3);  // both stay: the reader's epoch is older than either retirement
  CHECK(published.enter(0).number == 3);
  published.leave(1);
  CHECK(published.reclaim());
  CHECK(Value::alive == 1);  // reader 0 came after both retirements and holds neither
  published.leave(0);
}

TEST_CASE("a reader that enters anew sees the latest value and lets the older ones go") {
  Published<Value> published(1, std::make_unique<Value>(1));
  CHECK(published.enter(0).number == 1);
  published.publish(std::make_unique<Value>(2));
  CHECK(published.num_retired() == 1);
  CHECK(published.enter(0).number == 2);  // without leave: the next batch of a busy worker
  CHECK(published.reclaim());
  published.leave(0);
}

TEST_CASE("nothing is destroyed under a reader and nothing is left behind while a writer publishes without pause") {
  {
    constexpr std::size_t num_readers = 3;
    Published<Value> published(num_readers, std::make_unique<Value>(0));
    std::atomic<bool> stop{false}, torn{false};
    std::vector<std::jthread> readers;
    for (std::size_t reader = 0; reader < num_readers; ++reader) {
      readers.emplace_back([&, reader] {
        std::uint64_t newest = 0;
        while (!stop) {
          const Value& value = published.enter(reader);
          for (int i = 0; i < 8; ++i) {
            if (value.complement != ~value.number || value.number < newest) torn = true;
          }
          newest = value.number;
          published.leave(reader);
        }
      });
    }
    for (std::uint64_t i = 1; i <= 20'000; ++i) published.publish(std::make_unique<Value>(i));
    stop = true;
    readers.clear();
    CHECK_FALSE(torn);
    CHECK(published.reclaim());
    CHECK(Value::alive == 1);
  }
  CHECK(Value::alive == 0);
}

#include "culvert/crypto/random.h"

#include <doctest/doctest.h>

#include <deque>
#include <set>

using namespace culvert;
using namespace culvert::crypto;

namespace {

// Gives the numbers that the test names, big-endian.
class Scripted final : public RandomSource {
 public:
  explicit Scripted(std::deque<std::uint64_t> numbers) : numbers_(std::move(numbers)) {}
  void fill(MutableByteView out) override {
    REQUIRE(out.size() == 8);
    REQUIRE(!numbers_.empty());
    store_be(out.data(), numbers_.front());
    numbers_.pop_front();
  }
  [[nodiscard]] bool used_up() const { return numbers_.empty(); }

 private:
  std::deque<std::uint64_t> numbers_;
};

}  // namespace

TEST_CASE("the system's generator does not repeat itself") {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(system_random().u64());
  CHECK(seen.size() == 1000);
  Bytes zeros(64), filled(64);
  system_random().fill(filled);
  CHECK(filled != zeros);
}

TEST_CASE("a bounded number stays below its bound and reaches all of it") {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t value = system_random().below(10);
    REQUIRE(value < 10);
    seen.insert(value);
  }
  CHECK(seen.size() == 10);
  CHECK(system_random().below(1) == 0);
}

// 2^64 mod 10 is 6: the six lowest numbers would make 0…5 more likely, so they are drawn again.
TEST_CASE("a bounded number draws again where the rest would not split evenly") {
  Scripted random({0, 5, 6});
  CHECK(random.below(10) == 6);
  CHECK(random.used_up());
  Scripted power_of_two({0});
  CHECK(power_of_two.below(16) == 0);
}

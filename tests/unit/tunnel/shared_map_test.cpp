#include "shared_map.h"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <random>

using namespace culvert::tunnel;

namespace {

std::map<std::uint32_t, int> content_of(const SharedMap<int>& map) {
  std::map<std::uint32_t, int> content;
  map.for_each([&](std::uint32_t key, int value) { CHECK(content.emplace(key, value).second); });
  return content;
}

}  // namespace

TEST_CASE("a shared map holds what a std::map holds, however it grows and shrinks") {
  std::mt19937 random(1);
  for (const std::uint32_t range : {3U, 40U, 700U, 20000U}) {
    SharedMap<int> map;
    std::map<std::uint32_t, int> reference;
    for (int step = 0; step < 20000; ++step) {
      // Ids one behind the other, and SPIs from anywhere.
      const std::uint32_t number = random() % range, key = number % 2 == 0 ? number : number * 2654435761U;
      const bool grows = (step / 5000) % 2 == 0;
      if (random() % 4 == 0 ? grows : !grows) {
        map.erase(key);
        reference.erase(key);
      } else {
        map.set(key, step);
        reference[key] = step;
      }
      const int* found = map.find(key);
      CHECK((found != nullptr) == reference.contains(key));
      CHECK(map.size() == reference.size());
    }
    CHECK(content_of(map) == reference);
    for (const auto& [key, value] : reference) CHECK(*map.find(key) == value);
  }
}

TEST_CASE("a copy of a shared map stays as it was") {
  SharedMap<int> map;
  for (std::uint32_t i = 0; i < 1000; ++i) map.set(i, 1);
  const SharedMap<int> before = map;
  for (std::uint32_t i = 0; i < 500; ++i) map.set(i, 2);
  for (std::uint32_t i = 500; i < 1000; ++i) map.erase(i);
  CHECK(before.size() == 1000);
  CHECK(map.size() == 500);
  bool unchanged = true;
  before.for_each([&](std::uint32_t, int value) { unchanged = unchanged && value == 1; });
  CHECK(unchanged);
}

TEST_CASE("a change to a large shared map copies about the square root of it") {
  SharedMap<std::shared_ptr<int>> map;
  const auto value = std::make_shared<int>(0);
  for (std::uint32_t i = 0; i < 10000; ++i) map.set(i, value);
  const long before = value.use_count();
  const SharedMap<std::shared_ptr<int>> snapshot = map;
  CHECK(value.use_count() == before);  // a copy copies no values
  map.set(1'000'000, value);
  CHECK(value.use_count() - before < 400);
}

TEST_CASE("numbers that all fall into one place are still found") {
  // Multiples of 2^16 have equal lower halves of their products.
  SharedMap<int> map;
  for (std::uint32_t i = 0; i < 2000; ++i) map.set(i << 16, static_cast<int>(i));
  for (std::uint32_t i = 0; i < 2000; ++i) CHECK(*map.find(i << 16) == static_cast<int>(i));
  CHECK(map.find(7) == nullptr);
}

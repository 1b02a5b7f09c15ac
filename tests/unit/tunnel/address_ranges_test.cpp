#include "address_ranges.h"

#include <doctest/doctest.h>

#include <optional>
#include <random>

using namespace culvert::tunnel;

namespace {

__extension__ using Uint128 = unsigned __int128;

template <class Key>
using Ranges = std::vector<typename AddressRanges<Key>::Range>;

/// What a look at every range says.
template <class Key, class Accept>
std::uint32_t expected(const Ranges<Key>& ranges, Key number, Accept&& accept) {
  for (const auto& range : ranges) {
    if (range.first <= number && number <= range.last && accept(range.id)) return range.id;
  }
  return AddressRanges<Key>::none;
}

template <class Key>
AddressRanges<Key> make(const Ranges<Key>& ranges) {
  return AddressRanges<Key>(std::span(ranges));
}

bool any(std::uint32_t) {
  return true;
}

/// Both answers at every end of a range, beside it, and at random numbers.
template <class Key>
void compare(const Ranges<Key>& ranges, std::mt19937_64& random) {
  const AddressRanges<Key> made = make<Key>(ranges);
  std::vector<Key> numbers{0, static_cast<Key>(-1)};
  for (const auto& range : ranges) {
    for (const Key end : {range.first, range.last}) {
      numbers.insert(numbers.end(), {static_cast<Key>(end - 1), end, static_cast<Key>(end + 1)});
    }
    numbers.push_back(range.first + (range.last - range.first) / 2);
    numbers.push_back(static_cast<Key>(random()));
  }
  const std::uint32_t divisor = 1 + random() % 4;
  const auto some = [&](std::uint32_t id) { return id % divisor == 0; };
  for (const Key number : numbers) {
    REQUIRE(made.lowest(number, any) == expected(ranges, number, any));
    REQUIRE(made.lowest(number, some) == expected(ranges, number, some));
  }
}

}  // namespace

TEST_CASE("without ranges no number is in one") {
  CHECK(AddressRanges<std::uint32_t>().lowest(0, any) == AddressRanges<std::uint32_t>::none);
  CHECK(make<std::uint32_t>({}).lowest(0xFFFFFFFF, any) == AddressRanges<std::uint32_t>::none);
}

TEST_CASE("a range of all numbers, and ranges of one number at either end") {
  const auto made = make<std::uint32_t>({{0, 0, 3}, {0xFFFFFFFF, 0xFFFFFFFF, 5}, {0, 0xFFFFFFFF, 9}});
  CHECK(made.lowest(0, any) == 3);
  CHECK(made.lowest(1, any) == 9);
  CHECK(made.lowest(0xFFFFFFFE, any) == 9);
  CHECK(made.lowest(0xFFFFFFFF, any) == 5);
  const auto whole = make<std::uint32_t>({{0, 0xFFFFFFFF, 1}});
  CHECK(whole.lowest(0, any) == 1);
  CHECK(whole.lowest(0xFFFFFFFF, any) == 1);
}

TEST_CASE("of the ranges that hold a number the lowest id that is accepted counts, and none below is left out") {
  const auto made = make<std::uint32_t>({{10, 20, 0}, {5, 30, 1}, {10, 20, 2}, {0, 100, 3}});
  const auto from = [&](std::uint32_t lowest) {
    return made.lowest(15, [lowest](std::uint32_t id) { return id >= lowest; });
  };
  CHECK(from(0) == 0);
  CHECK(from(1) == 1);
  CHECK(from(2) == 2);
  CHECK(from(3) == 3);
  CHECK(from(4) == made.none);
}

TEST_CASE("random ranges give the answer of a look at each: wide, narrow, clustered, touching") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 300; ++round) {
    Ranges<std::uint32_t> ranges;
    const int bits = static_cast<int>(1 + random() % 32);
    const auto offset = static_cast<std::uint32_t>(random());
    const std::uint32_t num = static_cast<std::uint32_t>(random() % 70);
    for (std::uint32_t id = 0; id < num; ++id) {
      const auto pick = [&] { return offset + static_cast<std::uint32_t>(random() >> (64 - bits)); };
      const std::uint32_t a = pick(), b = random() % 3 == 0 ? a : pick();
      ranges.push_back({std::min(a, b), std::max(a, b), id});
    }
    compare<std::uint32_t>(ranges, random);
  }
}

TEST_CASE("random ranges of 128-bit numbers, with differences in any bit") {
  std::mt19937_64 random(12);
  for (int round = 0; round < 300; ++round) {
    Ranges<Uint128> ranges;
    const auto whole = [&] { return static_cast<Uint128>(random()) << 64 | random(); };
    const int bits = static_cast<int>(1 + random() % 128);
    const Uint128 offset = whole();
    const std::uint32_t num = static_cast<std::uint32_t>(random() % 70);
    for (std::uint32_t id = 0; id < num; ++id) {
      const Uint128 a = offset + (whole() >> (128 - bits)), b = offset + (whole() >> (128 - bits));
      ranges.push_back({std::min(a, b), std::max(a, b), id});
    }
    compare<Uint128>(ranges, random);
  }
}

TEST_CASE("ranges that lie in each other by the thousand are looked up without a list for each") {
  Ranges<std::uint32_t> ranges;
  constexpr std::uint32_t num = 100'000;  // a list of those that hold each stretch would have ten billion entries
  for (std::uint32_t id = 0; id < num; ++id) ranges.push_back({id, 2 * num - id, id});
  const auto made = make<std::uint32_t>(ranges);
  CHECK(made.lowest(num, [](std::uint32_t id) { return id == num - 1; }) == num - 1);
  CHECK(made.lowest(num / 2, any) == 0);
  CHECK(made.lowest(num / 2, [](std::uint32_t id) { return id > num / 2; }) == made.none);
  CHECK(made.lowest(num / 2, [](std::uint32_t id) { return id >= num / 2; }) == num / 2);
}

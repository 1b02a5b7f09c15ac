#include "culvert/ike/measures.h"

#include <doctest/doctest.h>

#include "address_pool.h"

using namespace culvert;
using namespace culvert::ike;

namespace {

PoolConfig pool_of(std::initializer_list<const char*> addresses, std::initializer_list<const char*> excluded = {}) {
  PoolConfig config;
  config.name = "staff";
  for (const char* text : addresses) config.addresses.push_back(*IpPrefix::parse(text));
  for (const char* text : excluded) config.excluded.push_back(*IpPrefix::parse(text));
  return config;
}

/// What the pool says of its size, and how many addresses it does give out.
void check_size(const PoolConfig& config, IpFamily family = IpFamily::v4) {
  AddressPool pool(config);
  std::size_t num = 0;
  while (pool.take(*Identity::parse("user" + std::to_string(num) + "@example.net"), family, std::nullopt)) ++num;
  CHECK(pool.measure(family).size == static_cast<double>(num));
  CHECK(pool.measure(family).taken == num);
}

}  // namespace

TEST_CASE("the size of a pool is the number of addresses that it gives out") {
  check_size(pool_of({"10.0.0.0/24"}));
  check_size(pool_of({"10.0.0.0/31", "10.0.1.7/32", "10.0.2.0/30"}));
  check_size(pool_of({"10.0.0.0/24"}, {"10.0.0.0/28", "10.0.0.4/32", "10.0.0.255/32", "10.9.0.0/16"}));
  check_size(pool_of({"10.0.0.0/24", "10.0.1.0/24"}, {"10.0.0.0/23"}));
  check_size(pool_of({"10.0.0.0/24"}, {"10.0.0.64/26", "10.0.0.64/26"}));
  check_size(pool_of({"fd00::/120"}, {"fd00::/127"}), IpFamily::v6);
}

TEST_CASE("a lease that was given back is kept, and no longer taken; families are counted apart") {
  AddressPool pool(pool_of({"10.0.0.0/24", "fd00::/64"}));
  const auto user = *Identity::parse("anna@example.net");
  const auto v4 = pool.take(user, IpFamily::v4, std::nullopt);
  const auto v6 = pool.take(user, IpFamily::v6, std::nullopt);
  REQUIRE(v4.has_value());
  REQUIRE(v6.has_value());
  pool.give_back(v4->address);
  CHECK(pool.measure(IpFamily::v4).taken == 0);
  CHECK(pool.measure(IpFamily::v4).kept == 1);
  CHECK(pool.measure(IpFamily::v6).taken == 1);
  CHECK(pool.measure(IpFamily::v6).kept == 0);
  CHECK(pool.measure(IpFamily::v6).size == 18446744073709551615.0);  // 2^64 less the routers' anycast address
}

#include "address_pool.h"

#include <doctest/doctest.h>

#include <set>

using namespace culvert;
using namespace culvert::ike;

namespace {

Identity user(const std::string& name) {
  return *Identity::parse(name);
}
IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}
PoolConfig pool_of(std::initializer_list<const char*> prefixes) {
  PoolConfig config;
  config.name = "staff";
  for (const char* prefix : prefixes) config.addresses.push_back(*IpPrefix::parse(prefix));
  return config;
}
std::string take(AddressPool& pool, const std::string& name, IpFamily family = IpFamily::v4,
                 const char* wish = nullptr) {
  const auto taken = pool.take(user(name), family, wish ? std::optional(ip(wish)) : std::nullopt);
  return taken ? taken->address.to_string() + (taken->is_new ? " new" : "") : "none";
}

}  // namespace

TEST_CASE("a pool gives each address once, without the net's own, broadcast and what is excluded") {
  PoolConfig config = pool_of({"10.9.0.0/29", "10.9.1.0/30"});
  config.excluded = {*IpPrefix::parse("10.9.0.2/31"), *IpPrefix::parse("10.9.1.1/32")};
  AddressPool pool(config);
  CHECK(take(pool, "a@x.y") == "10.9.0.1 new");
  CHECK(take(pool, "b@x.y") == "10.9.0.4 new");
  CHECK(take(pool, "c@x.y") == "10.9.0.5 new");
  CHECK(take(pool, "d@x.y") == "10.9.0.6 new");
  CHECK(take(pool, "e@x.y") == "10.9.1.2 new");
  CHECK(take(pool, "f@x.y") == "none");
  CHECK(take(pool, "f@x.y", IpFamily::v6) == "none");
}

TEST_CASE("a prefix of one or two addresses gives all of them (RFC 3021)") {
  AddressPool pool(pool_of({"10.9.0.8/31", "10.9.0.200/32", "fd99::8/127"}));
  CHECK(take(pool, "a@x.y") == "10.9.0.8 new");
  CHECK(take(pool, "b@x.y") == "10.9.0.9 new");
  CHECK(take(pool, "c@x.y") == "10.9.0.200 new");
  CHECK(take(pool, "c@x.y", IpFamily::v6) == "fd99::8 new");
}

TEST_CASE("the ends of the address space are no trap") {
  AddressPool high(pool_of({"255.255.255.252/30", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"}));
  CHECK(take(high, "a@x.y") == "255.255.255.253 new");
  CHECK(take(high, "b@x.y") == "255.255.255.254 new");
  CHECK(take(high, "c@x.y") == "none");
  CHECK(take(high, "a@x.y", IpFamily::v6) != "none");
  CHECK(take(high, "b@x.y", IpFamily::v6) == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff new");
  CHECK(take(high, "c@x.y", IpFamily::v6) == "none");
}

TEST_CASE("a hole of any size is one step") {
  PoolConfig config = pool_of({"fd99::/64"});
  config.excluded = {*IpPrefix::parse("fd99::/65")};
  AddressPool pool(config);
  CHECK(take(pool, "a@x.y", IpFamily::v6) == "fd99::8000:0:0:0 new");
}

TEST_CASE("a lease is kept for its user, and the one given back first goes when nothing else is left") {
  AddressPool pool(pool_of({"10.9.0.0/30"}));
  CHECK(take(pool, "a@x.y") == "10.9.0.1 new");
  CHECK(take(pool, "b@x.y") == "10.9.0.2 new");
  pool.give_back(ip("10.9.0.1"));
  pool.give_back(ip("10.9.0.1"));  // twice does no harm
  CHECK(pool.num_kept() == 1);
  CHECK(take(pool, "a@x.y") == "10.9.0.1");
  pool.give_back(ip("10.9.0.2"));
  pool.give_back(ip("10.9.0.1"));
  CHECK(take(pool, "c@x.y") == "10.9.0.2 new");
  CHECK(take(pool, "a@x.y") == "10.9.0.1");
  CHECK(take(pool, "b@x.y") == "none");
}

TEST_CASE("users are the same whatever the case of a domain, not of a mailbox") {
  CHECK(user_key(user("a@Example.NET")) == user_key(user("a@example.net")));
  CHECK(user_key(user("A@example.net")) != user_key(user("a@example.net")));
  CHECK(user_key(user("GW.example.net")) == user_key(user("gw.example.net")));
  CHECK(user_key(user("fqdn:a.b")) != user_key(user("keyid:a.b")));
}

TEST_CASE("wishes: the user's own, or one that nobody has or had") {
  AddressPool pool(pool_of({"10.9.0.0/24"}));
  CHECK(take(pool, "a@x.y", IpFamily::v4, "10.9.0.50") == "10.9.0.50 new");
  CHECK(take(pool, "b@x.y", IpFamily::v4, "10.9.0.50") == "10.9.0.1 new");
  pool.give_back(ip("10.9.0.50"));
  CHECK(take(pool, "c@x.y", IpFamily::v4, "10.9.0.50") == "10.9.0.2 new");
  CHECK(take(pool, "d@x.y", IpFamily::v4, "10.8.0.1") == "10.9.0.3 new");
  CHECK(take(pool, "e@x.y", IpFamily::v4, "10.9.0.255") == "10.9.0.4 new");
  CHECK(take(pool, "a@x.y", IpFamily::v4, "10.9.0.77") == "10.9.0.50");  // it has one
}

TEST_CASE("several of one user: each has its own, and gets it again") {
  AddressPool pool(pool_of({"10.9.0.0/24"}));
  CHECK(take(pool, "a@x.y") == "10.9.0.1 new");
  CHECK(take(pool, "a@x.y") == "10.9.0.2 new");
  pool.give_back(ip("10.9.0.1"));
  pool.give_back(ip("10.9.0.2"));
  CHECK(take(pool, "a@x.y", IpFamily::v4, "10.9.0.1") == "10.9.0.1");
  CHECK(take(pool, "a@x.y") == "10.9.0.2");
}

TEST_CASE(
    "leases of a daemon before: the newest says whose an address is, and what is no longer in the pool is forgotten") {
  AddressPool pool(pool_of({"10.9.0.0/29"}));
  pool.restore(user("a@x.y"), ip("10.9.0.1"));
  pool.restore(user("b@x.y"), ip("10.9.0.1"));
  pool.restore(user("c@x.y"), ip("10.8.0.1"));
  CHECK(pool.num_leases() == 1);
  CHECK(take(pool, "a@x.y") == "10.9.0.2 new");
  CHECK(take(pool, "b@x.y") == "10.9.0.1");
}

TEST_CASE("an address that a user's own entry names is his, unless somebody uses it") {
  AddressPool pool(pool_of({"10.9.0.0/29"}));
  CHECK(take(pool, "a@x.y") == "10.9.0.1 new");
  CHECK_FALSE(pool.take_exactly(user("b@x.y"), ip("10.9.0.1")).has_value());
  pool.give_back(ip("10.9.0.1"));
  CHECK(pool.take_exactly(user("b@x.y"), ip("10.9.0.1"))->is_new);
  CHECK(take(pool, "a@x.y") == "10.9.0.2 new");
}

TEST_CASE("who may use a pool: users by pattern, members of a group, or everybody") {
  PoolConfig config = pool_of({"10.9.0.0/29"});
  const std::vector<std::string> none, staff = {"guests", "staff"};
  CHECK(AddressPool(config).admits(user("a@x.y"), none));
  config.users = {user("*@example.net")};
  config.groups = {"staff"};
  AddressPool pool(config);
  CHECK(pool.admits(user("a@example.net"), none));
  CHECK_FALSE(pool.admits(user("a@x.y"), none));
  CHECK(pool.admits(user("a@x.y"), staff));
}

TEST_CASE("a pool of IPv6 without end does not remember more than 65536 that nobody uses") {
  AddressPool pool(pool_of({"fd99::/64"}));
  for (int i = 0; i < 66000; ++i) {
    const auto taken = pool.take(user(std::to_string(i) + "@x.y"), IpFamily::v6, std::nullopt);
    REQUIRE(taken.has_value());
    pool.give_back(taken->address);
  }
  CHECK(pool.num_leases() == 65536);
  CHECK(take(pool, "65999@x.y", IpFamily::v6) == "fd99::1:1d0");
}

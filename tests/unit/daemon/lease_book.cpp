#include "lease_book.h"

#include <doctest/doctest.h>

#include "temp_dir.h"

using namespace culvert;
using namespace culvert::daemon;

namespace {

ike::Lease lease(const char* pool, const char* address, const char* user) {
  return {pool, *ike::Identity::parse(user), *IpAddress::parse(address)};
}

}  // namespace

TEST_CASE("leases are lines of text, and come back as they were") {
  const std::vector<ike::Lease> leases = {lease("staff", "10.99.0.1", "ada@example.net"),
                                          lease("staff", "fd99::1", "CN=ada"),
                                          lease("guests", "10.98.0.7", "keyid:0x00ff0a")};
  const std::string text = LeaseBook::to_text(leases);
  // RFC 7296 §3.5: 3 is ID_RFC822_ADDR.
  CHECK(text.starts_with("staff 10.99.0.1 3 616461406578616d706c652e6e6574\n"));
  CHECK(LeaseBook::from_text(text) == leases);
}

TEST_CASE("lines of leases that make no sense are skipped") {
  const std::string good = "staff 10.99.0.1 3 6140622e63\n";
  for (const char* bad : {"", "staff", "staff 10.99.0.1", "staff 10.99.0.1 3 614", "staff 10.99.0.1 3 zz",
                          "staff 10.99.0 3 61", "staff 10.99.0.1 0 61", "staff 10.99.0.1 256 61",
                          "staff 10.99.0.1 3x 61", " 10.99.0.1 3 61", "staff 10.99.0.1 3 +1"}) {
    CAPTURE(bad);
    CHECK(LeaseBook::from_text(bad).empty());
    CHECK(LeaseBook::from_text(bad + ("\n" + good)).size() == 1);
  }
}

TEST_CASE("leases are written when they have changed, and those of pools that are not configured are written again") {
  const test::TempDir dir;
  auto state = StateDir::open(dir.path() / "state");
  REQUIRE(state);
  const std::vector<ike::Lease> all = {lease("staff", "10.99.0.2", "b@x.y"), lease("guests", "10.98.0.1", "c@x.y"),
                                       lease("staff", "10.99.0.1", "a@x.y")};
  const std::vector<ike::Lease> staff = {all[0], all[2]};
  LeaseBook first;
  CHECK(first.load(*state, {}).empty());
  int num_asked = 0;
  const auto current = [&] { return ++num_asked, all; };
  CHECK(first.save(*state, 100, true, current));
  CHECK(num_asked == 0);  // nothing is new
  first.note_change();
  CHECK(first.save(*state, 100, false, current));
  first.note_change();
  CHECK(first.save(*state, 104, false, current));  // too soon
  CHECK(num_asked == 1);

  ike::PoolConfig pool;
  pool.name = "staff";
  LeaseBook second;
  CHECK(second.load(*state, {pool}) == staff);
  second.note_change();
  CHECK(second.save(*state, 0, true, [&] { return staff; }));
  ike::PoolConfig guests;
  guests.name = "guests";
  CHECK(LeaseBook().load(*state, {pool, guests}) == std::vector<ike::Lease>{all[0], all[2], all[1]});
}

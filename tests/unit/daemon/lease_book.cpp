#include "lease_book.h"

#include <doctest/doctest.h>

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

TEST_CASE("a newer lease of the same address takes the place of the older one; the oldest comes first") {
  LeaseBook book;
  book.add(lease("staff", "10.99.0.1", "a@x.y"));
  book.add(lease("staff", "10.99.0.2", "b@x.y"));
  book.add(lease("staff", "10.99.0.1", "c@x.y"));
  CHECK(book.leases() ==
        std::vector<ike::Lease>{lease("staff", "10.99.0.2", "b@x.y"), lease("staff", "10.99.0.1", "c@x.y")});
}

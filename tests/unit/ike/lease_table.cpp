#include "lease_table.h"

#include <doctest/doctest.h>

#include <list>
#include <map>
#include <random>

using namespace culvert;
using namespace culvert::ike;

namespace {

IpAddress address(std::uint32_t number) {
  if (number % 2 == 0) return IpAddress::v4(0x0A000000 + number);
  Bytes bytes(16, 0xFD);
  store_be(&bytes[12], number);
  return *IpAddress::from_bytes(bytes);
}

/// The same with a list that is searched.
struct Plain {
  struct Row {
    IpAddress address;
    std::string user;
    bool is_kept = false;
  };
  std::list<Row> rows;  ///< those that were kept last are last

  auto find(const IpAddress& wanted) { return std::ranges::find(rows, wanted, &Row::address); }
  void keep(const IpAddress& wanted) {
    const auto row = find(wanted);
    if (row->is_kept) return;
    row->is_kept = true;
    rows.splice(rows.end(), rows, row);
  }
  [[nodiscard]] std::optional<IpAddress> first_kept(IpFamily family) const {
    for (const Row& row : rows)
      if (row.is_kept && row.address.family() == family) return row.address;
    return std::nullopt;
  }
  [[nodiscard]] std::optional<IpAddress> last_kept(const std::string& user, IpFamily family) const {
    std::optional<IpAddress> last;
    for (const Row& row : rows)
      if (row.is_kept && row.address.family() == family && row.user == user) last = row.address;
    return last;
  }
};

}  // namespace

TEST_CASE("a table of leases gives the answers of a list, whatever comes and goes") {
  std::mt19937 random(5);
  LeaseTable table;
  Plain plain;
  for (int i = 0; i < 60000; ++i) {
    const IpAddress one = address(random() % 400);
    // long names: those who go leave gaps that are worth packing
    const std::string user(random() % 3 == 0 ? 300 : 5, static_cast<char>('a' + random() % 26));
    const auto known = plain.find(one);
    const bool has_it = known != plain.rows.end();
    const auto found = table.find(one);
    REQUIRE(found.has_value() == has_it);
    if (has_it) REQUIRE((found->user == known->user && found->is_kept == known->is_kept));
    switch (random() % 4) {
      case 0:
        if (has_it) break;
        table.add(one, user);
        plain.rows.push_back({one, user});
        break;
      case 1:
        table.keep(one);
        if (has_it) plain.keep(one);
        break;
      case 2:
        table.use(one);
        if (has_it) known->is_kept = false;
        break;
      default:
        if (random() % 3 != 0) break;
        table.erase(one);
        if (has_it) plain.rows.erase(known);
    }
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
      REQUIRE(table.first_kept(family) == plain.first_kept(family));
      REQUIRE(table.last_kept(user, family) == plain.last_kept(user, family));
    }
    REQUIRE(table.size() == plain.rows.size());
  }
  std::map<IpAddress, std::string> visited;
  std::size_t num_kept = 0, seen = 0;
  table.for_each([&](const IpAddress& one, std::string_view user) {
    visited[one] = user;
    if (table.find(one)->is_kept) CHECK(num_kept++ == seen);  // before those in use
    ++seen;
  });
  CHECK(num_kept == table.num_kept());
  CHECK(visited.size() == plain.rows.size());
  for (const Plain::Row& row : plain.rows) CHECK(visited.at(row.address) == row.user);
}

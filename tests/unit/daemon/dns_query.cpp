// The messages are those of the examples in RFC 1035 §4.1 and §6.2, built here by hand, octet by octet.
#include "dns_query.h"

#include <doctest/doctest.h>

#include <string>

using namespace culvert;
using namespace culvert::daemon;

namespace {

Bytes octets(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::uint8_t>(value));
  return bytes;
}

const Bytes question = octets({2, 'v', 'x', 3, 'a', 'r', 'c', 0, 0, 1, 0, 1});  // vx.arc, A, IN

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

/// A response with ID 0x1234, these flags, one question, and so many answers.
Bytes head(int flags, int num_answers) {
  return octets({0x12, 0x34, flags >> 8, flags & 0xff, 0, 1, 0, num_answers, 0, 0, 0, 0});
}
const Bytes query = octets({0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}) + question;
// §4.1.3, its name a pointer (§4.1.4) to the question's at offset 12: TTL 3600, 192.0.2.7
const Bytes address_record = octets({0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 7});
const Bytes alias_record = octets({0xc0, 12, 0, 5, 0, 1, 0, 0, 0x0e, 0x10, 0, 3, 1, 'b', 0});

Errc error_of(const Bytes& answer) {
  const auto found = dns_answer(answer, query);
  REQUIRE_FALSE(found);
  return found.error().code;
}

}  // namespace

TEST_CASE("a query asks for one name and one type, and wants recursion") {
  const auto made = dns_query(0x1234, "vx.arc", IpFamily::v4);
  REQUIRE(made);
  CHECK(*made == query);
  CHECK(dns_query(0x1234, "vx.arc.", IpFamily::v4).value() == query);
  const auto v6 = dns_query(0x1234, "vx.arc", IpFamily::v6);
  REQUIRE(v6);
  CHECK((*v6)[v6->size() - 3] == 28);  // RFC 3596 §2.1
  for (const char* name : {"", ".", "a..b", "a b", "-a"}) CHECK_FALSE(dns_query(1, name, IpFamily::v4));
}

TEST_CASE("an answer gives its addresses, behind aliases, too, and nothing of another type") {
  const IpAddress address = *IpAddress::parse("192.0.2.7");
  CHECK(dns_answer(head(0x8180, 1) + question + address_record, query).value() == std::vector{address});
  CHECK(dns_answer(head(0x8180, 2) + question + alias_record + address_record, query).value() == std::vector{address});
  CHECK(dns_answer(head(0x8180, 1) + question + alias_record, query).value().empty());
  CHECK(dns_answer(head(0x8180, 0) + question, query).value().empty());
}

TEST_CASE("what answers something else, or is no answer, is told apart from a refusal") {
  Bytes other = head(0x8180, 1) + question + address_record;
  other[1] ^= 1;
  CHECK(error_of(other) == Errc::no_match);                       // ID
  CHECK(error_of(head(0x0100, 0) + question) == Errc::no_match);  // a query
  CHECK(error_of(head(0x8180, 0) + octets({2, 'v', 'y', 3, 'a', 'r', 'c', 0, 0, 1, 0, 1})) == Errc::no_match);
  CHECK(error_of(head(0x8183, 0) + question) == Errc::not_found);                                // name error
  CHECK(error_of(head(0x8182, 0) + question) == Errc::not_found);                                // server failure
  CHECK(error_of(head(0x8380, 0) + question) == Errc::not_found);                                // truncated
  CHECK(error_of(octets({0x12, 0x34, 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0})) == Errc::not_found);  // refused, without it
}

TEST_CASE("an answer that is cut anywhere, that lies about a length or that has no end gives no address") {
  const Bytes whole = head(0x8180, 2) + question + alias_record + address_record;
  for (std::size_t len = 0; len < whole.size(); ++len) {
    CAPTURE(len);
    CHECK_FALSE(dns_answer(ByteView(whole).first(len), query));
  }
  Bytes wrong = head(0x8180, 1) + question + address_record;
  wrong[wrong.size() - 5] = 3;  // RDLENGTH of an address
  CHECK(error_of(wrong) == Errc::malformed);
  wrong[wrong.size() - 5] = 200;
  CHECK(error_of(wrong) == Errc::malformed);
  wrong = head(0x8180, 1) + question + address_record;
  wrong[12 + question.size()] = 0x80;  // a label of a kind that is not
  CHECK(error_of(wrong) == Errc::malformed);
  wrong = head(0x8180, 0) + question;
  wrong[6] = wrong[7] = 0xff;  // 65,535 answers, and none there
  CHECK(error_of(wrong) == Errc::malformed);
}

TEST_CASE("of an answer with a hundred addresses sixteen are enough") {
  Bytes answer = head(0x8180, 100) + question;
  for (int i = 0; i < 100; ++i) answer = std::move(answer) + address_record;
  CHECK(dns_answer(answer, query).value().size() == 16);
}

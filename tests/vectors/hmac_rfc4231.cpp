// RFC 4231 section 4 (and, cut to half their length, RFC 4868 section 2.7.2): test cases 1-4, 6 and 7 from Debian's
// python3-cryptography-vectors, among them keys longer than a block.
#include <doctest/doctest.h>

#include "culvert/crypto/prf.h"
#include "vectors/hex.h"
#include "vectors/vector_file.h"

using namespace culvert;
using namespace culvert::test;

namespace {

void run_file(const std::string& file, crypto::Prf prf, std::size_t expected_cases = 6) {
  std::size_t num_cases = 0;
  for (const VectorCase& vector : read_vectors("HMAC/" + file, "len")) {
    CAPTURE(vector.line);
    const Bytes key = vector.bytes("key"), message = vector.bytes("msg");
    CHECK(to_hex(crypto::prf(prf, key, {message}).view()) == vector.text("md"));
    // The same text in pieces.
    const std::size_t half = message.size() / 2;
    CHECK(to_hex(crypto::prf(prf, key, {ByteView(message).first(half), {}, ByteView(message).subspan(half)}).view()) ==
          vector.text("md"));
    ++num_cases;
  }
  CHECK(num_cases == expected_cases);
}

}  // namespace

TEST_CASE("HMAC-SHA1 agrees with RFC 2202") {
  run_file("rfc-2202-sha1.txt", crypto::Prf::hmac_sha1, 7);
}
TEST_CASE("HMAC-SHA2-256 agrees with RFC 4231") {
  run_file("rfc-4231-sha256.txt", crypto::Prf::hmac_sha2_256);
}
TEST_CASE("HMAC-SHA2-384 agrees with RFC 4231") {
  run_file("rfc-4231-sha384.txt", crypto::Prf::hmac_sha2_384);
}
TEST_CASE("HMAC-SHA2-512 agrees with RFC 4231") {
  run_file("rfc-4231-sha512.txt", crypto::Prf::hmac_sha2_512);
}

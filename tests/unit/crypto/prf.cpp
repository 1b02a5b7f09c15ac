#include "culvert/crypto/prf.h"

#include <doctest/doctest.h>

#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

// FIPS 180-2 appendices A.1, A.2 and B.1, B.2 (SHA-1 and SHA-256 of "abc" and of the 448-bit message).
TEST_CASE("SHA-1 and SHA-256 agree with FIPS 180, in one part and in several") {
  CHECK(to_hex(sha1({as_bytes("abc")})) == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(to_hex(sha1({as_bytes("a"), {}, as_bytes("bc")})) == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(to_hex(sha1({as_bytes("abcdbcdecdefdefgefghfghighij"), as_bytes("hijkijkljklmklmnlmnomnopnopq")})) ==
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  CHECK(to_hex(sha256({as_bytes("abc")})) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(sha256({as_bytes("abcdbcdecdefdefgefghfghighij"), as_bytes("hijkijkljklmklmnlmnomnopnopq")})) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

// RFC 3174 and FIPS 180-2 give the digest of nothing.
TEST_CASE("the digest of no parts is that of the empty message") {
  CHECK(to_hex(sha1({})) == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  CHECK(to_hex(sha256({})) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("a PRF's output is as long as its digest") {
  for (const Prf algorithm : {Prf::hmac_sha2_256, Prf::hmac_sha2_384, Prf::hmac_sha2_512, Prf::hmac_sha1}) {
    CHECK(prf(algorithm, as_bytes("key"), {as_bytes("text")}).size() == prf_len(algorithm));
  }
  CHECK(prf_len(Prf::hmac_sha1) == 20);
  CHECK(prf_len(Prf::hmac_sha2_256) == 32);
  CHECK(prf_len(Prf::hmac_sha2_384) == 48);
  CHECK(prf_len(Prf::hmac_sha2_512) == 64);
}

#include "culvert/crypto/key_exchange.h"

#include <doctest/doctest.h>

#include <array>

#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

constexpr std::array all_methods{KeMethod::modp2048, KeMethod::modp3072, KeMethod::modp4096, KeMethod::ecp256,
                                 KeMethod::ecp384,   KeMethod::ecp521,   KeMethod::x25519};

void check_refused(const KeyExchange& key, const Bytes& peer) {
  const Result<Secret> shared = key.shared_secret(peer);
  REQUIRE(!shared);
  CHECK(shared.error().code == Errc::invalid);
}

// RFC 3526 §3: p of the 2048-bit group.
constexpr std::string_view modp2048_prime =
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B30"
    "2B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2"
    "007CB8A163BF05"
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32"
    "905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AACAA68FF"
    "FFFFFFFFFFFFFF";

}  // namespace

TEST_CASE("two fresh keys of every method agree on one secret, and two keys are never the same") {
  for (const KeMethod method : all_methods) {
    CAPTURE(ke_method_name(method));
    const auto a = KeyExchange::generate(method), b = KeyExchange::generate(method);
    REQUIRE(a);
    REQUIRE(b);
    CHECK((*a)->method() == method);
    CHECK((*a)->public_value().size() == public_value_len(method));
    CHECK(to_hex((*a)->public_value()) != to_hex((*b)->public_value()));
    const auto ab = (*a)->shared_secret((*b)->public_value()), ba = (*b)->shared_secret((*a)->public_value());
    REQUIRE(ab);
    REQUIRE(ba);
    CHECK(ab->equals(ba->view()));
    const bool is_ecp = method == KeMethod::ecp256 || method == KeMethod::ecp384 || method == KeMethod::ecp521;
    CHECK(ab->size() == public_value_len(method) / (is_ecp ? 2 : 1));
  }
}

TEST_CASE("a public value of the wrong length is refused") {
  for (const KeMethod method : all_methods) {
    const auto key = KeyExchange::generate(method);
    REQUIRE(key);
    Bytes peer((*key)->public_value().begin(), (*key)->public_value().end());
    peer.pop_back();
    check_refused(**key, peer);
    peer.insert(peer.end(), 2, 0);
    check_refused(**key, peer);
    check_refused(**key, {});
  }
}

// RFC 7748 §6.1 and RFC 8031 §2. Points of order 1, 2, 4 and 8, and non-canonical encodings of them.
TEST_CASE("X25519 refuses public values that lead to an all-zero secret") {
  const auto key = KeyExchange::generate(KeMethod::x25519);
  REQUIRE(key);
  for (const std::string_view point : {"0000000000000000000000000000000000000000000000000000000000000000",
                                       "0100000000000000000000000000000000000000000000000000000000000000",
                                       "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                                       "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                                       "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                       "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                       "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    check_refused(**key, hex(point));
  }
}

TEST_CASE("MODP refuses public values outside 2…p-2") {
  const auto key = KeyExchange::generate(KeMethod::modp2048);
  REQUIRE(key);
  const Bytes prime = hex(modp2048_prime);
  Bytes value(256);
  check_refused(**key, value);  // 0
  value.back() = 1;
  check_refused(**key, value);  // 1
  check_refused(**key, prime);  // p
  value = prime;
  value.back() -= 1;
  check_refused(**key, value);             // p-1
  check_refused(**key, Bytes(256, 0xff));  // beyond p
  value.assign(256, 0);
  value.back() = 2;
  CHECK((*key)->shared_secret(value));  // 2 is the generator: our own public value comes out
  CHECK(to_hex((*key)->shared_secret(value)->view()) == to_hex((*key)->public_value()));
}

TEST_CASE("ECP refuses points that are not on the curve") {
  for (const KeMethod method : {KeMethod::ecp256, KeMethod::ecp384, KeMethod::ecp521}) {
    const auto key = KeyExchange::generate(method), other = KeyExchange::generate(method);
    REQUIRE(key);
    REQUIRE(other);
    Bytes peer((*other)->public_value().begin(), (*other)->public_value().end());
    peer.back() ^= 1;  // y
    check_refused(**key, peer);
    check_refused(**key, Bytes(peer.size(), 0));     // (0, 0)
    check_refused(**key, Bytes(peer.size(), 0xff));  // coordinates beyond the field
  }
}

TEST_CASE("a private value that the method does not allow is refused") {
  CHECK(!KeyExchange::from_private(KeMethod::x25519, Bytes(31, 1)));
  CHECK(!KeyExchange::from_private(KeMethod::x25519, {}));
  CHECK(!KeyExchange::from_private(KeMethod::ecp256, Bytes(32, 0)));
  CHECK(!KeyExchange::from_private(KeMethod::ecp256, Bytes(32, 0xff)));  // ≥ n
  CHECK(!KeyExchange::from_private(KeMethod::modp2048, Bytes(1, 1)));
  CHECK(!KeyExchange::from_private(KeMethod::modp2048, Bytes(256, 0xff)));
  CHECK(!KeyExchange::generate(static_cast<KeMethod>(2)));  // MODP-1024, which we do not speak
}

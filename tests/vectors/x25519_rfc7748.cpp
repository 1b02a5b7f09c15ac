#include <doctest/doctest.h>

#include "culvert/crypto/key_exchange.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::test;
using crypto::KeMethod;
using crypto::KeyExchange;

namespace {

Bytes x25519(ByteView scalar, ByteView u) {
  const auto key = KeyExchange::from_private(KeMethod::x25519, scalar);
  REQUIRE(key);
  const Result<Secret> shared = (*key)->shared_secret(u);
  REQUIRE(shared);
  return {shared->view().begin(), shared->view().end()};
}

// RFC 7748 §5.2: k and u both start as 9; each round takes k from the result and u from the old k.
Bytes iterated(int rounds) {
  Bytes k(32), u(32);
  k[0] = u[0] = 9;
  for (int i = 0; i < rounds; ++i) {
    Bytes next = x25519(k, u);
    u = std::move(k);
    k = std::move(next);
  }
  return k;
}

}  // namespace

TEST_CASE("X25519 agrees with the two products of RFC 7748 section 5.2") {
  CHECK(to_hex(x25519(hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                      hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"))) ==
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  CHECK(to_hex(x25519(hex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
                      hex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"))) ==
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

TEST_CASE("X25519 agrees with RFC 7748 section 5.2 after 1 and after 1000 rounds") {
  CHECK(to_hex(iterated(1)) == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
  CHECK(to_hex(iterated(1000)) == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST_CASE("X25519 gives both sides of RFC 7748 section 6.1 their public keys and one secret") {
  const auto alice = KeyExchange::from_private(KeMethod::x25519,
                                               hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const auto bob = KeyExchange::from_private(KeMethod::x25519,
                                             hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  REQUIRE(alice);
  REQUIRE(bob);
  CHECK(to_hex((*alice)->public_value()) == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  CHECK(to_hex((*bob)->public_value()) == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const std::string secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
  CHECK(to_hex((*alice)->shared_secret((*bob)->public_value())->view()) == secret);
  CHECK(to_hex((*bob)->shared_secret((*alice)->public_value())->view()) == secret);
}

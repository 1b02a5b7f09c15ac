#include "culvert/crypto/trust.h"

#include <doctest/doctest.h>

#include "test_pki.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

const AlternativeName gateway_name{AlternativeName::Type::dns, "gw.example.net"};

}  // namespace

TEST_CASE(
    "a leaf below a configured CA is accepted, with or without intermediates, in any order and with useless ones") {
  const Authority root = make_ca("O=Example,CN=Root");
  const Authority middle = make_intermediate(root, "O=Example,CN=Middle");
  const Authority low = make_intermediate(middle, "O=Example,CN=Low");
  const Authority stranger = make_ca("O=Example,CN=Stranger");
  const Holder leaf = make_leaf(low, "CN=gw", {gateway_name});
  const TrustStore store = TrustStore::create({stranger.certificate, root.certificate}).value();
  const std::vector<std::vector<Certificate>> sent{
      {leaf.certificate, low.certificate, middle.certificate},
      {leaf.certificate, middle.certificate, low.certificate, root.certificate},
      {leaf.certificate, leaf.certificate, middle.certificate, stranger.certificate, low.certificate, low.certificate},
  };
  for (const auto& certificates : sent) {
    const auto verified = store.verify(certificates, {.now = test_now}, nullptr);
    REQUIRE(verified);
    CHECK(verified->leaf() == leaf.certificate);
    CHECK(verified->chain() == std::vector{leaf.certificate, low.certificate, middle.certificate, root.certificate});
    CHECK(verified->public_key() == leaf.key.public_key());
    CHECK(verified->not_after() == leaf.certificate.not_after());
    CHECK(!verified->revocation_checked());
  }
  CHECK(verdict(store, {leaf.certificate, low.certificate}) == "untrusted-issuer");
  const TrustStore with_intermediates =
      TrustStore::create({root.certificate}, {middle.certificate, low.certificate}).value();
  CHECK(verdict(with_intermediates, {leaf.certificate}) == "ok");
  const TrustStore at_the_middle = TrustStore::create({middle.certificate}).value();
  CHECK(verdict(at_the_middle, {leaf.certificate, low.certificate}) == "ok");
}

TEST_CASE("what a wrong CA signed is refused, also when it has the right CA's name") {
  const Authority root = make_ca("O=Example,CN=Root");
  const Authority namesake = make_ca("O=Example,CN=Root");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  const Holder leaf = make_leaf(namesake, "CN=gw", {gateway_name});
  const auto verified = store.verify(std::vector{leaf.certificate, namesake.certificate}, {.now = test_now}, nullptr);
  REQUIRE(!verified);
  CHECK(verified.error().reason == TrustError::untrusted_issuer);
  CHECK(verified.error().detail.find("CN=gw") != std::string::npos);
  CHECK(verdict(store, {}) == "no-certificate");
  CHECK(verdict(TrustStore::create({}).value(), {leaf.certificate}) == "untrusted-issuer");
}

#include "authentication.h"

#include <doctest/doctest.h>

using namespace culvert;
using namespace culvert::ike;

namespace {

// What psk_auth computes is held to strongSwan's messages in tests/vectors; here only what verify_psk makes of it.
struct Claim {
  Claim() {
    config.auth = AuthConfig::psk(std::make_shared<const Secret>(Secret::copy_of(as_bytes("right"))));
    config.remote_id = *Identity::parse("tokyo.example.net");
    id = id_payload(config.remote_id, true);
    auth = sign("right");
  }
  AuthPayload sign(std::string_view psk) const {
    return {auth_method_shared_key, psk_auth(prf, as_bytes(psk), first_message, nonce, sk_p, id.body())};
  }
  bool verifies(const PeerConfig* claimed) const {
    return verify_psk(claimed, as_bytes("decoy"), prf, first_message, nonce, sk_p, id, &auth).has_value();
  }

  crypto::Prf prf = crypto::Prf::hmac_sha2_256;
  Bytes first_message = Bytes(100, 1), nonce = Bytes(32, 2), sk_p = Bytes(32, 3);
  PeerConfig config;
  IdPayload id;
  AuthPayload auth;
};

}  // namespace

TEST_CASE("the right key proves the peer, and the proof names it") {
  const Claim claim;
  const auto proof = verify_psk(&claim.config, as_bytes("decoy"), claim.prf, claim.first_message, claim.nonce,
                                claim.sk_p, claim.id, &claim.auth);
  REQUIRE(proof);
  CHECK(&proof->config() == &claim.config);
}

TEST_CASE("a wrong key, message, nonce, SK_p or identity proves nothing") {
  const Claim good;
  Claim bad;
  bad.auth = good.sign("wrong");
  CHECK_FALSE(bad.verifies(&bad.config));
  bad = Claim();
  bad.first_message[99] ^= 1;
  CHECK_FALSE(bad.verifies(&bad.config));
  bad = Claim();
  bad.nonce[0] ^= 1;
  CHECK_FALSE(bad.verifies(&bad.config));
  bad = Claim();
  bad.sk_p[0] ^= 1;
  CHECK_FALSE(bad.verifies(&bad.config));
  bad = Claim();
  bad.id.data[0] ^= 1;
  CHECK_FALSE(bad.verifies(&bad.config));
  bad = Claim();
  bad.id.reserved[2] = 1;  // RFC 7296 §2.15: the reserved bytes are covered
  CHECK_FALSE(bad.verifies(&bad.config));
}

TEST_CASE("another method, a cut or missing AUTH prove nothing") {
  Claim claim;
  claim.auth.method = 1;
  CHECK_FALSE(claim.verifies(&claim.config));
  claim.auth = claim.sign("right");
  claim.auth.data.pop_back();
  CHECK_FALSE(claim.verifies(&claim.config));
  claim.auth.data.clear();
  CHECK_FALSE(claim.verifies(&claim.config));
  CHECK_FALSE(verify_psk(&claim.config, as_bytes("decoy"), claim.prf, claim.first_message, claim.nonce, claim.sk_p,
                         claim.id, nullptr));
}

TEST_CASE("who signs with the decoy key is nobody, and a peer without a key is nobody either") {
  Claim claim;
  claim.auth = claim.sign("decoy");
  CHECK_FALSE(claim.verifies(nullptr));
  PeerConfig keyless;
  CHECK_FALSE(claim.verifies(&keyless));
  keyless.auth = AuthConfig::psk(std::make_shared<const Secret>());
  CHECK_FALSE(claim.verifies(&keyless));
}

TEST_CASE("what a peer calls itself cannot forge a line of the log") {
  IdPayload id;
  id.type = static_cast<std::uint8_t>(IdType::fqdn);
  const std::string_view text = "evil\nERROR all is lost\x1b[31m";
  id.data.assign(text.begin(), text.end());
  const std::string shown = identity_text(id);
  CHECK(shown.find('\n') == std::string::npos);
  CHECK(shown.find('\x1b') == std::string::npos);
  id.data.assign(100000, 'a');
  CHECK(identity_text(id).size() <= 128);
  id.type = 99;
  CHECK(identity_text(id) == "an identity of unknown type 99");
}

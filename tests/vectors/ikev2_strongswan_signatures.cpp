// IKE_AUTH by certificates between two strongSwans: what is signed, and that we accept what they accept.
#include <doctest/doctest.h>

#include "authentication.h"
#include "culvert/crypto/trust.h"
#include "keymat.h"
#include "vectors/ikev2_transcript.h"

using namespace culvert;
using namespace culvert::ike;
using culvert::test::to_hex;
using culvert::test::Transcript;

namespace {

constexpr crypto::WallTime some_day{std::chrono::sys_days(std::chrono::year(2030) / 1 / 1)};  // all of it is valid then

struct Signer {
  const char* identity;
  int method;
  const char* scheme;  ///< as we call it
};

/// One end of an exchange: its IKE_AUTH message, and what its AUTH covers.
struct End {
  Message message;
  Bytes octets;
};

End end_of(const Transcript& transcript, bool initiator) {
  const Bytes& datagram = transcript.message(initiator ? 3 : 4);
  const Message sealed = parse(datagram).value();
  const auto sk = SkProtection::create(crypto::CipherSuite::aes_gcm_16_256,
                                       transcript[initiator ? "ike_1_sk_ei" : "ike_1_sk_er"], {});
  End end{Message{sealed.header, sk->open(datagram, sealed).value(), std::nullopt}, {}};
  const Message other = parse(transcript.message(initiator ? 2 : 1)).value();
  end.octets =
      signed_octets(crypto::Prf::hmac_sha2_384, transcript.message(initiator ? 1 : 2), other.find<NoncePayload>()->data,
                    transcript[initiator ? "ike_1_sk_pi" : "ike_1_sk_pr"], end.message.find_id(initiator)->body());
  return end;
}

SignatureClaim claim_of(const End& end, bool initiator, const PeerConfig& config) {
  SignatureClaim claim;
  claim.config = &config;
  claim.expected = config.auth.theirs;
  claim.identity = identity_from(*end.message.find_id(initiator)).value();
  claim.auth = *end.message.find<AuthPayload>();
  claim.certificates = read_certificates(end.message).value().x509;
  claim.octets = end.octets;
  claim.announced = crypto::HashSet::ours();
  return claim;
}

void check_exchange(const char* file, const Signer& paris, const Signer& tokyo) {
  const Transcript transcript(file);
  PeerConfig config;
  PeerCertificate expected;
  expected.trust = std::make_shared<const crypto::TrustStore>(
      crypto::TrustStore::create({crypto::Certificate::from_der(transcript["ca"]).value()}).value());
  config.auth.theirs = expected;
  for (const bool initiator : {true, false}) {
    const Signer& signer = initiator ? paris : tokyo;
    CAPTURE(signer.scheme);
    const End end = end_of(transcript, initiator);
    CHECK(to_hex(end.octets) == to_hex(transcript[initiator ? "octets_i" : "octets_r"]));
    SignatureClaim claim = claim_of(end, initiator, config);
    CHECK(claim.auth.method == signer.method);
    const auto verified = verify_signature(claim, some_day);
    REQUIRE_MESSAGE(verified.has_value(), verified.error());
    CHECK(verified->proof.identity().matches(*Identity::parse(signer.identity)));
    CHECK(verified->proof.how().ends_with(signer.scheme));

    claim.octets.back() ^= 1;
    CHECK_FALSE(verify_signature(claim, some_day).has_value());
    claim.octets.back() ^= 1;
    claim.auth.data.back() ^= 1;
    CHECK_FALSE(verify_signature(claim, some_day).has_value());
    claim.auth.data.back() ^= 1;
    claim.identity = *Identity::parse("osaka.example.net");
    CHECK_FALSE(verify_signature(claim, some_day).has_value());
  }
}

}  // namespace

TEST_CASE("strongSwan's ECDSA and RSA-PSS signatures by RFC 7427 are accepted, over the same octets") {
  check_exchange("ikev2_strongswan_ecdsa_pss.txt", {"paris.example.net", 14, "ECDSA with SHA2-256"},
                 {"tokyo.example.net", 14, "RSA-PSS with SHA2-256"});
}

TEST_CASE("strongSwan's Ed25519 and RSA signatures by RFC 7427 are accepted, over the same octets") {
  check_exchange("ikev2_strongswan_ed25519_pkcs1.txt", {"paris.example.net", 14, "Ed25519"},
                 {"tokyo.example.net", 14, "RSA with SHA2-384"});
}

TEST_CASE("strongSwan's classic ECDSA and RSA signatures are accepted, over the same octets") {
  check_exchange("ikev2_strongswan_classic.txt", {"paris.example.net", 10, "ECDSA with SHA2-384"},
                 {"tokyo.example.net", 1, "RSA with SHA-1"});
}

#include "culvert/crypto/signature_scheme.h"

#include <doctest/doctest.h>

#include "algorithm_identifier.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

std::string parsed(std::string_view der) {
  const auto how = parse_algorithm_identifier(hex(der));
  if (!how) return how.error().code == Errc::malformed ? "malformed" : "unsupported";
  std::string text = how->scheme.name();
  if (how->scheme.algorithm == SignatureAlgorithm::rsa_pss) text += ", salt " + std::to_string(how->salt_len);
  return text;
}

constexpr std::string_view pss_sha256_with_trailer =
    "304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0609608648016503"
    "04"
    "02010500a203020120a303020101";
constexpr std::string_view pss_sha256 =
    "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0609608648016503"
    "04"
    "02010500a203020120";

}  // namespace

// RFC 7427 appendix A.1, A.3 and A.4.3; RFC 8420 appendix A.1 (Ed25519).
TEST_CASE("AlgorithmIdentifiers are those of RFC 7427 appendix A and RFC 8420") {
  using enum HashAlgorithm;
  using enum SignatureAlgorithm;
  CHECK(to_hex(encode_algorithm_identifier({rsa_pkcs1, sha2_256})) == "300d06092a864886f70d01010b0500");
  CHECK(to_hex(encode_algorithm_identifier({rsa_pkcs1, sha2_384})) == "300d06092a864886f70d01010c0500");
  CHECK(to_hex(encode_algorithm_identifier({rsa_pkcs1, sha2_512})) == "300d06092a864886f70d01010d0500");
  CHECK(to_hex(encode_algorithm_identifier({ecdsa, sha2_256})) == "300a06082a8648ce3d040302");
  CHECK(to_hex(encode_algorithm_identifier({ecdsa, sha2_384})) == "300a06082a8648ce3d040303");
  CHECK(to_hex(encode_algorithm_identifier({ecdsa, sha2_512})) == "300a06082a8648ce3d040304");
  CHECK(to_hex(encode_algorithm_identifier({ed25519, identity})) == "300506032b6570");
  CHECK(to_hex(encode_algorithm_identifier({SignatureAlgorithm::rsa_pss, sha2_256})) == pss_sha256);
  CHECK(encode_algorithm_identifier({rsa_pkcs1, sha1}).empty());
  CHECK(encode_algorithm_identifier({SignatureAlgorithm::rsa_pss, sha1}).empty());
  CHECK(encode_algorithm_identifier({ecdsa, identity}).empty());

  for (const HashAlgorithm hash : {sha2_256, sha2_384, sha2_512}) {
    for (const SignatureAlgorithm algorithm : {rsa_pkcs1, SignatureAlgorithm::rsa_pss, ecdsa}) {
      const auto how = parse_algorithm_identifier(encode_algorithm_identifier({algorithm, hash}));
      REQUIRE(how);
      CHECK(how->scheme == SignatureScheme{algorithm, hash});
      CHECK(how->salt_len == (algorithm == SignatureAlgorithm::rsa_pss ? hash_len(hash) : 0));
    }
  }
}

TEST_CASE("RSA-PSS parameters are read with and without the trailer field, NULLs and a salt length") {
  CHECK(parsed(pss_sha256) == "RSA-PSS with SHA2-256, salt 32");
  CHECK(parsed(pss_sha256_with_trailer) == "RSA-PSS with SHA2-256, salt 32");
  // Both hashes without NULL (RFC 4055 §2.1), no salt length: 20 is its default (§3.1).
  CHECK(
      parsed("303806092a864886f70d01010a302ba00d300b0609608648016503040202a11a301806092a864886f70d010108300b0609608648"
             "016503040202") == "RSA-PSS with SHA2-384, salt 20");
  CHECK(parsed("300b06092a864886f70d01010b") == "RSA with SHA2-256");  // NULL left out, RFC 4055 §5
}

// RFC 7427 appendix A.1 (SHA-1), A.3 (SHA-1), A.4.1 and A.4.2; RFC 8247 §4.2: MUST NOT.
TEST_CASE("SHA-1 is refused in every form") {
  CHECK(parsed("300d06092a864886f70d0101050500") == "unsupported");
  CHECK(parsed("300906072a8648ce3d0401") == "unsupported");
  CHECK(parsed("300d06092a864886f70d01010a3000") == "unsupported");
  CHECK(parsed("300b06092a864886f70d01010a") == "unsupported");
  CHECK(
      parsed("303e06092a864886f70d01010a3031a00b300906052b0e03021a0500a118301606092a864886f70d010108300906052b0e03021a"
             "0500a203020114a303020101") == "unsupported");
  // SHA2-256 with MGF1 of SHA-1, given and by default.
  CHECK(
      parsed("303d06092a864886f70d01010a3030a00f300d06096086480165030402010500a118301606092a864886f70d010108300906052b"
             "0e03021a0500a203020120") == "unsupported");
  CHECK(parsed("302306092a864886f70d01010a3016a00f300d06096086480165030402010500a203020120") == "unsupported");
}

TEST_CASE("an AlgorithmIdentifier that is not strict DER is refused") {
  for (const std::string_view der : {
           "", "30",
           "300506032b657000",              // something behind it
           "300706032b65700500",            // Ed25519 with NULL
           "300c06082a8648ce3d0403020500",  // ECDSA with NULL
           "308105"
           "06032b6570",  // a length in two bytes where one does
           "30800603"
           "2b65700000",  // indefinite length
           "300f06092a864886f70d01010b05000500",
           "304506092a864886f70d01010a3038a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d060960864"
           "8"
           "01650304"
           "02010500a203020120a3020101",  // a trailer field without INTEGER
       }) {
    CHECK_MESSAGE(parsed(der) == "malformed", der);
  }
  std::string other_trailer(pss_sha256_with_trailer);
  other_trailer.back() = '2';
  CHECK(parsed(other_trailer) == "malformed");
  std::string negative_salt(pss_sha256);
  negative_salt.replace(negative_salt.size() - 2, 2, "a0");
  CHECK(parsed(negative_salt) == "malformed");
  // Every truncation.
  const Bytes whole = hex(pss_sha256_with_trailer);
  for (std::size_t len = 0; len < whole.size(); ++len) CHECK(!parse_algorithm_identifier(ByteView(whole).first(len)));
}

TEST_CASE("SIGNATURE_HASH_ALGORITHMS lists what we take, and SHA-1 and unknown numbers of a peer are left out") {
  CHECK(to_hex(HashSet::ours().notify_data()) == "0002000300040005");
  CHECK(HashSet::from_notify(hex("0002000300040005")) == HashSet::ours());
  const HashSet set = HashSet::from_notify(hex("000100020006ffff000003"));
  CHECK(set.contains(HashAlgorithm::sha2_256));
  CHECK(!set.contains(HashAlgorithm::sha1));
  CHECK(to_hex(set.notify_data()) == "0002");
  CHECK(HashSet::from_notify({}).empty());
}

TEST_CASE("a key signs with the hash of its strength, or with what the peer knows") {
  const auto chosen = [](KeyType type, unsigned bits, std::string_view announced,
                         RsaPadding padding = RsaPadding::pss) {
    const auto scheme = choose_scheme(type, bits, HashSet::from_notify(hex(announced)), padding);
    return scheme ? scheme->name() : "none";
  };
  CHECK(chosen(KeyType::ecdsa_p256, 256, "0002000300040005") == "ECDSA with SHA2-256");
  CHECK(chosen(KeyType::ecdsa_p384, 384, "0002000300040005") == "ECDSA with SHA2-384");
  CHECK(chosen(KeyType::ecdsa_p521, 521, "0002000300040005") == "ECDSA with SHA2-512");
  CHECK(chosen(KeyType::ecdsa_p384, 384, "0002") == "ECDSA with SHA2-256");
  CHECK(chosen(KeyType::rsa, 2048, "000200030004") == "RSA-PSS with SHA2-256");
  CHECK(chosen(KeyType::rsa, 4096, "000200030004") == "RSA-PSS with SHA2-384");
  CHECK(chosen(KeyType::rsa, 2048, "0004", RsaPadding::pkcs1) == "RSA with SHA2-512");
  CHECK(chosen(KeyType::rsa_pss, 2048, "0002", RsaPadding::pkcs1) == "RSA-PSS with SHA2-256");
  CHECK(chosen(KeyType::ed25519, 256, "0005") == "Ed25519");
  CHECK(chosen(KeyType::ed25519, 256, "000200030004") == "none");  // RFC 8420 §2
  CHECK(chosen(KeyType::rsa, 2048, "00010005") == "none");
}

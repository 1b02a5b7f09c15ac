#include "culvert/crypto/private_key.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "test_pki.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

Secret secret(std::string_view text) {
  return Secret::copy_of(as_bytes(text));
}

const Bytes message = hex("00112233445566778899aabbccddeeff");

constexpr std::array all_types{KeyType::rsa, KeyType::ecdsa_p256, KeyType::ecdsa_p384, KeyType::ecdsa_p521,
                               KeyType::ed25519};

}  // namespace

TEST_CASE("what a key signs for AUTH method 14, its public half verifies, and nothing else") {
  for (const KeyType type : all_types) {
    const PrivateKey key = new_key(type);
    const PrivateKey other = new_key(type);
    for (const RsaPadding padding : {RsaPadding::pss, RsaPadding::pkcs1}) {
      const auto scheme = choose_scheme(type, key.public_key().bits(), HashSet::ours(), padding);
      REQUIRE(scheme);
      CAPTURE(scheme->name());
      const Bytes auth = key.sign_digital_signature(*scheme, message).value();
      const auto verified = key.public_key().verify_digital_signature(auth, message, HashSet::ours());
      REQUIRE(verified);
      CHECK(*verified == *scheme);

      CHECK(other.public_key().verify_digital_signature(auth, message, HashSet::ours()).error().code ==
            Errc::authentication);
      CHECK(key.public_key().verify_digital_signature(auth, hex("00"), HashSet::ours()).error().code ==
            Errc::authentication);
      Bytes changed = auth;
      changed.back() ^= 1;
      CHECK(!key.public_key().verify_digital_signature(changed, message, HashSet::ours()));
      Bytes longer = auth;
      longer.push_back(0);
      CHECK(!key.public_key().verify_digital_signature(longer, message, HashSet::ours()));
      // Not announced.
      CHECK(key.public_key().verify_digital_signature(auth, message, HashSet()).error().code == Errc::unsupported);
      for (const std::size_t len : {std::size_t{0}, std::size_t{1}, std::size_t{5}, auth.size() - 1})
        CHECK(!key.public_key().verify_digital_signature(ByteView(auth).first(len), message, HashSet::ours()));
    }
  }
}

TEST_CASE("a signature whose algorithm does not fit the key is refused before it is calculated") {
  const PrivateKey rsa = new_key(KeyType::rsa);
  const PrivateKey ecdsa = new_key();
  const SignatureScheme scheme{SignatureAlgorithm::ecdsa, HashAlgorithm::sha2_256};
  const Bytes auth = ecdsa.sign_digital_signature(scheme, message).value();
  CHECK(rsa.public_key().verify_digital_signature(auth, message, HashSet::ours()).error().code == Errc::unsupported);
  CHECK(rsa.sign_digital_signature(scheme, message).error().code == Errc::invalid);
  CHECK(!rsa.sign_digital_signature({SignatureAlgorithm::rsa_pkcs1, HashAlgorithm::sha1}, message));
}

TEST_CASE("the classic methods sign and verify: RSA with SHA-1 by default, ECDSA as r | s of fixed length") {
  const PrivateKey rsa = new_key(KeyType::rsa);
  const Bytes with_sha1 = rsa.sign_classic(message).value();
  CHECK(rsa.public_key().verify_classic(AuthMethod::rsa_signature, with_sha1, message)->name() == "RSA with SHA-1");
  CHECK(!rsa.public_key().verify_classic(AuthMethod::rsa_signature, with_sha1, message, false));
  const Bytes with_sha256 = rsa.sign_classic(message, HashAlgorithm::sha2_256).value();
  CHECK(rsa.public_key().verify_classic(AuthMethod::rsa_signature, with_sha256, message, false)->name() ==
        "RSA with SHA2-256");

  const std::array<std::tuple<KeyType, AuthMethod, std::size_t>, 3> curves{{
      {KeyType::ecdsa_p256, AuthMethod::ecdsa_p256, 64},
      {KeyType::ecdsa_p384, AuthMethod::ecdsa_p384, 96},
      {KeyType::ecdsa_p521, AuthMethod::ecdsa_p521, 132},
  }};
  for (const auto& [type, method, len] : curves) {
    const PrivateKey key = new_key(type);
    for (int i = 0; i < 64; ++i) {  // often enough for an r or s that starts with a zero byte
      const Bytes signature = key.sign_classic(message).value();
      CHECK(signature.size() == len);
      CHECK(key.public_key().verify_classic(method, signature, message));
    }
    const Bytes signature = key.sign_classic(message).value();
    CHECK(!key.public_key().verify_classic(AuthMethod::rsa_signature, signature, message));
    CHECK(!key.public_key().verify_classic(method, Bytes(len, 0), message));
    CHECK(!key.public_key().verify_classic(method, Bytes(len, 0xff), message));
    CHECK(!key.public_key().verify_classic(method, ByteView(signature).first(len - 1), message));
    CHECK(!key.public_key().verify_classic(AuthMethod::digital_signature, signature, message));
  }
  CHECK(!new_key(KeyType::ed25519).sign_classic(message));
}

// RFC 4754 §8.1: ECDSA-256 with the message "abc".
TEST_CASE("the ECDSA-256 example of RFC 4754 verifies") {
  const PublicKey key = PublicKey::from_spki(hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"
                                                 "2442a5cc0ecd015fa3ca31dc8e2bbc70bf42d60cbca20085e0822cb04235e970"
                                                 "6fc98bd7e50211a4a27102fa3549df79ebcb4bf246b80945cddfe7d509bbfd7d"))
                            .value();
  const Bytes signature =
      hex("cb28e0999b9c7715fd0a80d8e47a77079716cbbf917dd72e97566ea1c066957c"
          "86fa3bb4e26cad5bf90b7f81899256ce7594bb1ea0c89212748bff3b3d5b0315");
  CHECK(key.verify_classic(AuthMethod::ecdsa_p256, signature, as_bytes("abc")));
  CHECK(!key.verify_classic(AuthMethod::ecdsa_p256, signature, as_bytes("abd")));
}

// The files and their passphrases are those of python-cryptography's test vectors.
TEST_CASE("private keys load from PKCS#8 and the traditional forms, plain and encrypted") {
  struct Known {
    const char* file;
    const char* passphrase;
    const char* description;
  };
  for (const Known& known :
       {Known{"PKCS8/unenc-rsa-pkcs8.pem", "", "RSA key of 1024 bits: at least 2048"},
        Known{"PKCS8/enc-rsa-pkcs8.pem", "foobar", "RSA key of 1024 bits: at least 2048"},
        Known{"PKCS8/ec_private_key.pem", "", "ECDSA P-256"},
        Known{"PKCS8/ec_private_key_encrypted.pem", "123456", "ECDSA P-256"},
        Known{"PKCS8/rsa_pss_2048.pem", "", "RSA-PSS 2048"},
        Known{"PKCS8/private.pem", "", "EC key on a curve without a name"},
        Known{"PEM_Serialization/rsa_private_key.pem", "123456", "RSA 2048"},
        Known{"PEM_Serialization/ec_private_key.pem", "", "ECDSA P-256"},
        Known{"PEM_Serialization/ec_private_key_encrypted.pem", "123456", "ECDSA P-256"},
        Known{"Ed25519/ed25519-pkcs8.pem", "", "Ed25519"},
        Known{"Ed25519/ed25519-pkcs8-enc.pem", "password", "Ed25519"}}) {
    CAPTURE(known.file);
    const auto key =
        PrivateKey::from_pem(published(std::filesystem::path("asymmetric") / known.file), secret(known.passphrase));
    CHECK((key ? key->public_key().description() : key.error().detail) == known.description);
  }
}

TEST_CASE("an encrypted key says whether its passphrase is missing or wrong") {
  const Bytes pem = published("asymmetric/PKCS8/ec_private_key_encrypted.pem");
  CHECK(PrivateKey::from_pem(pem, {}).error().code == Errc::invalid);
  CHECK(PrivateKey::from_pem(pem, {}).error().detail.find("no passphrase") != std::string::npos);
  CHECK(PrivateKey::from_pem(pem, secret("654321")).error().code == Errc::authentication);
  CHECK(PrivateKey::from_pem(published("asymmetric/PKCS8/unenc-dsa-pkcs8.pem"), {}).error().code == Errc::unsupported);
  CHECK(PrivateKey::from_pem(as_bytes("no key"), {}).error().code == Errc::malformed);
  CHECK(PrivateKey::from_pem({}, {}).error().code == Errc::malformed);
  CHECK(PrivateKey::from_pem(Bytes(100'000, 'a'), {}).error().code == Errc::malformed);
}

TEST_CASE("a key that was written out, plain or encrypted, comes back the same") {
  for (const KeyType type : all_types) {
    const PrivateKey key = new_key(type);
    for (const std::string_view passphrase : {"", "correct horse battery staple"}) {
      const Secret pem = key.to_pem(secret(passphrase)).value();
      CHECK(as_text(pem.view())
                .starts_with(passphrase.empty() ? "-----BEGIN PRIVATE KEY-----"
                                                : "-----BEGIN ENCRYPTED PRIVATE KEY-----"));
      const auto again = PrivateKey::from_pem(pem.view(), secret(passphrase));
      REQUIRE(again);
      CHECK(again->public_key() == key.public_key());
    }
  }
  CHECK(!PrivateKey::generate({KeyType::rsa, 1024}));
}

TEST_CASE("one key signs in several threads at once") {
  for (const KeyType type : all_types) {
    const PrivateKey key = new_key(type);
    const auto scheme = choose_scheme(type, 2048, HashSet::ours());
    std::atomic<int> num_good = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          const auto auth = key.sign_digital_signature(*scheme, message);
          if (auth && key.public_key().verify_digital_signature(*auth, message, HashSet::ours())) ++num_good;
        }
      });
    }
    threads.clear();
    CHECK(num_good == 80);
  }
}

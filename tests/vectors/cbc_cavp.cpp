// AES-CBC with an HMAC behind it. The ciphertext is held to NIST and RFC 3602; the ICV to an HMAC computed by OpenSSL's
// one-shot function over AAD | IV | ciphertext, since nobody publishes answers for the pair as ESP puts it together.
#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "vectors/aead_vectors.h"
#include "vectors/hex.h"
#include "vectors/vector_file.h"

using namespace culvert;
using namespace culvert::test;

namespace {

struct Authenticator {
  crypto::CipherSuite with_128, with_256;
  const EVP_MD* (*digest)();
  std::size_t key_len, icv_len;
};

const std::vector<Authenticator>& authenticators() {
  using enum crypto::CipherSuite;
  static const std::vector<Authenticator> all{{aes_cbc_128_sha2_256_128, aes_cbc_256_sha2_256_128, EVP_sha256, 32, 16},
                                              {aes_cbc_128_sha2_384_192, aes_cbc_256_sha2_384_192, EVP_sha384, 48, 24},
                                              {aes_cbc_128_sha2_512_256, aes_cbc_256_sha2_512_256, EVP_sha512, 64, 32}};
  return all;
}

AeadAnswer answer(const Authenticator& with, Bytes key, Bytes iv, Bytes plaintext, Bytes ciphertext, std::string name) {
  AeadAnswer made{.suite = key.size() == 16 ? with.with_128 : with.with_256,
                  .key = std::move(key),
                  .integrity = Bytes(with.key_len, 0x0b),
                  .nonce = std::move(iv),
                  .aad = hex("00000100 00000001"),
                  .plaintext = std::move(plaintext),
                  .ciphertext = std::move(ciphertext),
                  .icv = {},
                  .name = std::move(name)};
  Bytes covered = made.aad;
  append(covered, made.nonce);
  append(covered, made.ciphertext);
  made.icv.resize(EVP_MAX_MD_SIZE);
  HMAC(with.digest(), made.integrity.data(), static_cast<int>(made.integrity.size()), covered.data(), covered.size(),
       made.icv.data(), nullptr);
  made.icv.resize(with.icv_len);
  return made;
}

void run(const std::vector<AeadAnswer>& answers) {
  for_each_aead_implementation([&] {
    for (const bool in_place : {false, true}) {
      const AeadRun result = run_answers(answers, 16, in_place);
      CHECK(result.num_sealed == answers.size());
      CHECK(result.num_opened == answers.size());
    }
  });
}

void run_file(const std::string& file, std::size_t num_expected) {
  std::vector<AeadAnswer> answers;
  std::size_t num_cases = 0;
  for (const VectorCase& vector : read_vectors("ciphers/AES/CBC/" + file, "count")) {
    ++num_cases;
    for (const Authenticator& with : authenticators()) {
      answers.push_back(answer(with, vector.bytes("key"), vector.bytes("iv"), vector.bytes("plaintext"),
                               vector.bytes("ciphertext"), file + " line " + std::to_string(vector.line)));
    }
  }
  REQUIRE(num_cases == num_expected);
  run(answers);
}

}  // namespace

TEST_CASE("AES-CBC agrees with NIST's multi-block messages") {
  run_file("CBCMMT128.rsp", 20);  // ten to encrypt, ten to decrypt
  run_file("CBCMMT256.rsp", 20);
}

TEST_CASE("AES-CBC agrees with NIST's answers for every bit of key and text") {
  run_file("CBCVarKey128.rsp", 256);
  run_file("CBCVarKey256.rsp", 512);
  run_file("CBCVarTxt128.rsp", 256);
  run_file("CBCVarTxt256.rsp", 256);
}

TEST_CASE("AES-CBC agrees with RFC 3602 section 4") {
  std::vector<AeadAnswer> answers;
  for (const Authenticator& with : authenticators()) {
    const ByteView single = as_bytes("Single block msg");
    answers.push_back(answer(with, hex("06a9214036b8a15b512e03d534120006"), hex("3dafba429d9eb430b422da802c9fac41"),
                             {single.begin(), single.end()}, hex("e353779c1079aeb82708942dbe77181a"), "case 1"));
    answers.push_back(answer(with, hex("c286696d887c9aa0611bbb3e2025a45a"), hex("562e17996d093d28ddb3ba695a2e6f58"),
                             hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
                             hex("d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"), "case 2"));
    answers.push_back(answer(with, hex("56e47a38c5598974bc46903dba290349"), hex("8ce82eefbea0da3c44699ed7db51b7d9"),
                             hex("a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
                                 "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"),
                             hex("c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e"
                                 "35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55"),
                             "case 4"));
  }
  run(answers);
}

// NIST CAVP, "GCM Test Vectors" (CAVS 14.0), as Debian's python3-cryptography-vectors carries them: every case with a
// 96-bit IV and a 128-bit tag, whatever the length of AAD and plaintext, in both directions, with every implementation
// that the CPU has.
#include <doctest/doctest.h>

#include "vectors/aead_vectors.h"
#include "vectors/hex.h"
#include "vectors/vector_file.h"

using namespace culvert;
using namespace culvert::test;

namespace {

// Each file has 25 sections of such cases (5 lengths of plaintext times 5 of AAD), 15 cases each.
constexpr std::size_t cases_per_file = 25 * 15;

bool ours(const VectorCase& vector) {
  return vector.section.at("IVlen") == "96" && vector.section.at("Taglen") == "128";
}

std::vector<AeadAnswer> answers_of(const std::string& file, crypto::CipherSuite suite) {
  std::vector<AeadAnswer> answers;
  for (const VectorCase& vector : read_vectors("ciphers/AES/GCM/" + file, "count")) {
    if (!ours(vector)) continue;
    const bool fails = vector.has("fail");
    answers.push_back({.suite = suite,
                       .key = vector.bytes("key"),
                       .integrity = {},
                       .nonce = vector.bytes("iv"),
                       .aad = vector.bytes("aad"),
                       .plaintext = fails ? Bytes() : vector.bytes("pt"),
                       .ciphertext = vector.bytes("ct"),
                       .icv = vector.bytes("tag"),
                       .must_fail = fails,
                       .name = file + " line " + std::to_string(vector.line)});
  }
  return answers;
}

void run_file(const std::string& file, crypto::CipherSuite suite, bool has_failures) {
  const std::vector<AeadAnswer> answers = answers_of(file, suite);
  REQUIRE(answers.size() == cases_per_file);
  std::size_t num_failing = 0;
  for (const AeadAnswer& answer : answers) num_failing += answer.must_fail;
  REQUIRE((num_failing > 0) == has_failures);
  for_each_aead_implementation([&] {
    for (const bool in_place : {false, true}) {
      // Alone, twice with one key, with others: ways of their own through the vector implementations.
      for (const auto& [batch_len, num_copies] : {std::pair{1, 1}, {1, 2}, {7, 1}, {64, 1}}) {
        const auto copies = static_cast<std::size_t>(num_copies);
        const AeadRun run = run_answers(answers, static_cast<std::size_t>(batch_len), in_place, copies);
        CHECK(run.num_sealed == copies * (answers.size() - num_failing));
        CHECK(run.num_opened == copies * (answers.size() - num_failing));
        CHECK(run.num_refused == copies * num_failing);
      }
    }
  });
}

}  // namespace

TEST_CASE("AES-GCM agrees with gcmEncryptExtIV128.rsp") {
  run_file("gcmEncryptExtIV128.rsp", crypto::CipherSuite::aes_gcm_16_128, false);
}
TEST_CASE("AES-GCM agrees with gcmEncryptExtIV256.rsp") {
  run_file("gcmEncryptExtIV256.rsp", crypto::CipherSuite::aes_gcm_16_256, false);
}
TEST_CASE("AES-GCM agrees with gcmDecrypt128.rsp and refuses its failing cases") {
  run_file("gcmDecrypt128.rsp", crypto::CipherSuite::aes_gcm_16_128, true);
}
TEST_CASE("AES-GCM agrees with gcmDecrypt256.rsp and refuses its failing cases") {
  run_file("gcmDecrypt256.rsp", crypto::CipherSuite::aes_gcm_16_256, true);
}

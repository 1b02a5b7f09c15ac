#include <doctest/doctest.h>

#include "vectors/aead_vectors.h"
#include "vectors/hex.h"
#include "vectors/vector_file.h"

using namespace culvert;
using namespace culvert::test;

namespace {

void run(const std::vector<AeadAnswer>& answers, std::size_t num_failing = 0) {
  for_each_aead_implementation([&] {
    for (const bool in_place : {false, true}) {
      const AeadRun result = run_answers(answers, 16, in_place);
      CHECK(result.num_sealed == answers.size() - num_failing);
      CHECK(result.num_opened == answers.size() - num_failing);
      CHECK(result.num_refused == num_failing);
    }
  });
}

// In these files a value is hex, or text between quotes.
Bytes hex_or_text(const std::string& value) {
  if (value.empty() || value.front() != '"') return hex(value);
  const ByteView text = as_bytes(std::string_view(value).substr(1, value.size() - 2));
  return {text.begin(), text.end()};
}

void run_file(const std::string& file, std::size_t num_expected, std::size_t num_failing) {
  std::vector<AeadAnswer> answers;
  for (const VectorCase& vector : read_vectors("ciphers/ChaCha20Poly1305/" + file, "count")) {
    answers.push_back({.suite = crypto::CipherSuite::chacha20_poly1305,
                       .key = vector.bytes("key"),
                       .integrity = {},
                       .nonce = vector.bytes(vector.has("nonce") ? "nonce" : "iv"),
                       .aad = hex_or_text(vector.text(vector.has("ad") ? "ad" : "aad")),
                       .plaintext = hex_or_text(vector.text(vector.has("in") ? "in" : "plaintext")),
                       .ciphertext = hex_or_text(vector.text(vector.has("ct") ? "ct" : "ciphertext")),
                       .icv = vector.bytes("tag"),
                       .must_fail = vector.has("result"),
                       .name = file + " line " + std::to_string(vector.line)});
  }
  REQUIRE(answers.size() == num_expected);
  run(answers, num_failing);
}

}  // namespace

TEST_CASE("ChaCha20-Poly1305 agrees with RFC 8439 section 2.8.2") {
  run({{.suite = crypto::CipherSuite::chacha20_poly1305,
        .key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
        .integrity = {},
        .nonce = hex("07000000 4041424344454647"),
        .aad = hex("50515253c0c1c2c3c4c5c6c7"),
        .plaintext = hex("4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
                         "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
                         "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
                         "637265656e20776f756c642062652069742e"),
        .ciphertext = hex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
                          "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
                          "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
                          "3ff4def08e4b7a9de576d26586cec64b6116"),
        .icv = hex("1ae10b594f09e26a7e902ecbd0600691"),
        .name = "RFC 8439 section 2.8.2"}});
}

TEST_CASE("ChaCha20-Poly1305 agrees with the ESP and IKEv2 examples of RFC 7634 appendices A and B") {
  const Bytes key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  run({{.suite = crypto::CipherSuite::chacha20_poly1305,
        .key = key,
        .integrity = {},
        .nonce = hex("a0a1a2a3 1011121314151617"),
        .aad = hex("01020304 00000005"),
        .plaintext = hex("45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10"
                         "0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"
                         "2425262728292a2b2c2d2e2f3031323334353637 01020204"),
        .ciphertext = hex("24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
                          "14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3"
                          "cbec163fac469b502773f6fb94e664da9165b82829f641e0"),
        .icv = hex("76aaa8266b7fb0f7b11b369907e1ad43"),
        .name = "RFC 7634 appendix A"},
       {.suite = crypto::CipherSuite::chacha20_poly1305,
        .key = key,
        .integrity = {},
        .nonce = hex("a0a1a2a3 1011121314151617"),
        .aad = hex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029"),
        .plaintext = hex("0000000c000040010000000a00"),
        .ciphertext = hex("610394701f8d017f7c12924889"),
        .icv = hex("6b71bfe25236efd7cdc67066906315b2"),
        .name = "RFC 7634 appendix B"}});
}

TEST_CASE("ChaCha20-Poly1305 agrees with BoringSSL's answers for every length of a last block") {
  run_file("boringssl.txt", 66, 0);
}
TEST_CASE("ChaCha20-Poly1305 agrees with OpenSSL's published answers") {
  run_file("openssl.txt", 5, 1);
}

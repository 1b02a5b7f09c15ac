#include "culvert/crypto/aead.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "aead_openssl.h"
#include "culvert/base/secret.h"
#include "vectors/aead_vectors.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

constexpr std::array all_suites{CipherSuite::aes_gcm_16_128,           CipherSuite::aes_gcm_16_256,
                                CipherSuite::chacha20_poly1305,        CipherSuite::aes_cbc_128_sha2_256_128,
                                CipherSuite::aes_cbc_128_sha2_384_192, CipherSuite::aes_cbc_128_sha2_512_256,
                                CipherSuite::aes_cbc_256_sha2_256_128, CipherSuite::aes_cbc_256_sha2_384_192,
                                CipherSuite::aes_cbc_256_sha2_512_256};

std::unique_ptr<AeadKey> make_key(CipherSuite suite, std::uint8_t seed = 1, AadLayout layout = AadLayout::prefix) {
  const CipherSuiteInfo& sizes = info(suite);
  auto key = AeadKey::create(suite, Bytes(std::size_t{sizes.key_len} + sizes.salt_len, seed),
                             Bytes(sizes.integrity_len, static_cast<std::uint8_t>(seed + 100)), layout);
  REQUIRE(key);
  return std::move(*key);
}

// A packet of its own key and text.
struct Packet {
  const AeadKey* key;
  Bytes aad, iv, plaintext, text, icv;

  Packet(const AeadKey& with, std::size_t len, std::uint8_t seed, std::size_t aad_len = 8)
      : key(&with),
        aad(aad_len, 0x11),
        iv(info(with.suite()).iv_len, seed),
        plaintext(len),
        icv(info(with.suite()).icv_len) {
    for (std::size_t i = 0; i < len; ++i) plaintext[i] = static_cast<std::uint8_t>(seed + 7 * i);
    text = plaintext;
  }
  AeadJob job() {
    return {.key = key,
            .aad = aad.data(),
            .iv = iv.data(),
            .src = text.data(),
            .dst = text.data(),
            .icv = icv.data(),
            .aad_len = static_cast<std::uint32_t>(aad.size()),
            .len = static_cast<std::uint32_t>(text.size())};
  }
};

bool seal(Packet& packet) {
  AeadJob job = packet.job();
  seal_batch({&job, 1});
  return job.ok;
}

bool open(Packet& packet) {
  AeadJob job = packet.job();
  open_batch({&job, 1});
  return job.ok;
}

bool all_zero(const Bytes& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

TEST_CASE("every implementation passes its known-answer test") {
  const Result<void> result = aead_self_test();
  CHECK_MESSAGE(result, (result ? "" : result.error().detail));
}

TEST_CASE(
    "openssl is always among the implementations and can be forced; an unknown name is refused with what there is") {
  const std::string before(aead_implementation());
  const auto names = aead_implementations();
  REQUIRE(!names.empty());
  CHECK(names.back() == "openssl");
  CHECK(before == names.front());  // the best one is the default
  const auto refused = select_aead_implementation("quantum");
  REQUIRE(!refused);
  CHECK(refused.error().code == Errc::not_found);
  CHECK(refused.error().detail.find("openssl") != std::string::npos);
  CHECK(aead_implementation() == before);
  REQUIRE(select_aead_implementation("openssl"));
  CHECK(aead_implementation() == "openssl");
  REQUIRE(select_aead_implementation(before));
}

TEST_CASE("the key and the salt can be had back, of every suite, use and implementation") {
  const std::string before(aead_implementation());
  for (const std::string_view name : aead_implementations()) {
    REQUIRE(select_aead_implementation(name));
    for (const CipherSuite suite : all_suites) {
      Bytes encryption(std::size_t{info(suite).key_len} + info(suite).salt_len);
      for (std::size_t i = 0; i < encryption.size(); ++i) encryption[i] = static_cast<std::uint8_t>(i + 1);
      for (const AeadUse use : {AeadUse::packets, AeadUse::messages}) {
        const auto key = AeadKey::create(suite, encryption, Bytes(info(suite).integrity_len), AadLayout::esn, use);
        REQUIRE(key);
        CHECK((*key)->copy_of_encryption().equals(encryption));
      }
    }
  }
  REQUIRE(select_aead_implementation(before));
}

TEST_CASE("a key of the wrong length is refused") {
  for (const CipherSuite suite : all_suites) {
    const CipherSuiteInfo& sizes = info(suite);
    const std::size_t encryption_len = std::size_t{sizes.key_len} + sizes.salt_len;
    const Bytes integrity(sizes.integrity_len);
    for (const std::size_t wrong : {std::size_t{0}, encryption_len - 1, encryption_len + 1}) {
      const auto key = AeadKey::create(suite, Bytes(wrong), integrity, AadLayout::prefix);
      REQUIRE(!key);
      CHECK(key.error().code == Errc::invalid);
    }
    const auto key = AeadKey::create(suite, Bytes(encryption_len), Bytes(integrity.size() + 1), AadLayout::prefix);
    REQUIRE(!key);
    CHECK(key.error().code == Errc::invalid);
  }
}

TEST_CASE("a wrong bit in ICV, ciphertext, AAD or IV is refused, and the plaintext wiped") {
  for_each_aead_implementation([] {
    for (const CipherSuite suite : all_suites) {
      CAPTURE(info(suite).name);
      const auto key = make_key(suite);
      for (const std::size_t len : {std::size_t{16}, std::size_t{1408}}) {
        for (int where = 0; where < 5; ++where) {
          Packet packet(*key, len, 3);
          REQUIRE(seal(packet));
          CHECK(packet.text != packet.plaintext);
          switch (where) {
            case 0:
              packet.icv.front() ^= 0x80;
              break;
            case 1:
              packet.icv.back() ^= 0x01;
              break;  // the last byte that is compared
            case 2:
              packet.text.back() ^= 0x01;
              break;
            case 3:
              packet.aad[5] ^= 0x10;
              break;
            case 4:
              packet.iv.back() ^= 0x04;
              break;
          }
          CHECK(!open(packet));
          CHECK(all_zero(packet.text));
        }
        Packet packet(*key, len, 3);
        REQUIRE(seal(packet));
        CHECK(open(packet));
        CHECK(packet.text == packet.plaintext);
      }
    }
  });
}

TEST_CASE("an ICV that is right in its first bytes only is refused") {
  for (const CipherSuite suite : all_suites) {
    const auto key = make_key(suite);
    Packet packet(*key, 64, 9);
    REQUIRE(seal(packet));
    const Bytes right = packet.icv, sealed = packet.text;
    for (std::size_t kept = 0; kept < right.size(); ++kept) {
      packet.text = sealed;
      packet.icv.assign(right.size(), 0);
      std::copy_n(right.begin(), kept, packet.icv.begin());
      if (packet.icv == right) continue;  // it ended in zeros
      CHECK(!open(packet));
    }
  }
}

TEST_CASE("what one key sealed no other key opens") {
  for (const CipherSuite suite : all_suites) {
    const auto ours = make_key(suite, 1), theirs = make_key(suite, 2);
    Packet packet(*ours, 48, 5);
    REQUIRE(seal(packet));
    packet.key = theirs.get();
    CHECK(!open(packet));
    CHECK(all_zero(packet.text));
  }
}

TEST_CASE("out of place, a refused packet leaves zeros at dst and does not touch src") {
  for (const CipherSuite suite : all_suites) {
    const auto key = make_key(suite);
    Packet packet(*key, 160, 4);
    REQUIRE(seal(packet));
    packet.icv[1] ^= 1;
    const Bytes sealed = packet.text;
    Bytes out(sealed.size(), 0xee);
    AeadJob job = packet.job();
    job.dst = out.data();
    open_batch({&job, 1});
    CHECK(!job.ok);
    CHECK(all_zero(out));
    CHECK(packet.text == sealed);
  }
}

TEST_CASE("CBC refuses a length that is no multiple of its block, sealing and opening") {
  for (const CipherSuite suite : all_suites) {
    if (info(suite).is_aead) continue;
    const auto key = make_key(suite);
    Packet packet(*key, 33, 4);
    CHECK(!seal(packet));
    CHECK(!open(packet));
    CHECK(all_zero(packet.text));
  }
}

TEST_CASE("an AEAD takes any length of text and of AAD, none too") {
  for_each_aead_implementation([] {
    for (const CipherSuite suite :
         {CipherSuite::aes_gcm_16_128, CipherSuite::aes_gcm_16_256, CipherSuite::chacha20_poly1305}) {
      const auto key = make_key(suite);
      for (const std::size_t len : {0, 1, 15, 16, 17, 63, 255}) {
        for (const std::size_t aad_len : {0, 1, 8, 12, 20, 33}) {
          Packet packet(*key, len, 8, aad_len);
          REQUIRE(seal(packet));
          CHECK(open(packet));
          CHECK(packet.text == packet.plaintext);
        }
      }
    }
  });
}

// RFC 4303 §2.2.1: SPI | seq low | IV | ciphertext | seq high. The expected ICV is HMAC-SHA-256 by Python's hmac
// module:
//   hmac.new(b"\x65" * 32, spi + low + iv + ciphertext + high, "sha256").digest()[:16]
// and the ciphertext AES-128-CBC by Python's cryptography (key 16 x 01, IV 16 x 06, text (6 + 7 i) mod 256).
TEST_CASE("with an extended sequence number an HMAC covers its high half last") {
  const auto key = make_key(CipherSuite::aes_cbc_128_sha2_256_128, 1, AadLayout::esn);
  Packet packet(*key, 32, 6);
  packet.aad = hex("01020304 000000aa 00000005");
  REQUIRE(seal(packet));
  CHECK(to_hex(packet.text) == "2f01a4d57871f7c71c84c84783c0887fceadc5dea04a64bcfff6119e261cc702");
  CHECK(to_hex(packet.icv) == "59a2ce769e9f7b3509cc4b1f255da83c");
  CHECK(open(packet));
  REQUIRE(seal(packet));
  packet.aad = hex("01020304 000000ab 00000005");
  CHECK(!open(packet));

  Packet short_aad(*key, 32, 6, 8);
  CHECK(!seal(short_aad));
  CHECK(!open(short_aad));
}

TEST_CASE("an AEAD takes AAD as it stands, whatever the layout says") {
  const auto prefix = make_key(CipherSuite::aes_gcm_16_256, 1, AadLayout::prefix);
  const auto esn = make_key(CipherSuite::aes_gcm_16_256, 1, AadLayout::esn);
  Packet a(*prefix, 40, 2, 12), b(*esn, 40, 2, 12);
  REQUIRE(seal(a));
  REQUIRE(seal(b));
  CHECK(a.icv == b.icv);
  CHECK(a.text == b.text);
}

TEST_CASE("a batch mixes keys, suites, lengths and damaged packets, and each gets its own result") {
  for_each_aead_implementation([] {
    std::vector<std::unique_ptr<AeadKey>> keys;
    std::uint8_t seed = 1;
    for (const CipherSuite suite : all_suites) {
      keys.push_back(make_key(suite, seed++));
      keys.push_back(make_key(suite, seed++, AadLayout::esn));
    }
    std::vector<Packet> packets;
    for (std::size_t i = 0; i < 200; ++i)
      packets.emplace_back(*keys[i * 7 % keys.size()], 16 * (i % 90), static_cast<std::uint8_t>(i), 12);
    std::vector<AeadJob> jobs;
    for (Packet& packet : packets) jobs.push_back(packet.job());
    seal_batch(jobs);
    for (const AeadJob& job : jobs) CHECK(job.ok);
    for (std::size_t i = 0; i < packets.size(); i += 3) packets[i].icv[i % packets[i].icv.size()] ^= 0x20;
    open_batch(jobs);
    for (std::size_t i = 0; i < packets.size(); ++i) {
      CHECK(jobs[i].ok == (i % 3 != 0));
      CHECK((i % 3 != 0 ? packets[i].text == packets[i].plaintext : all_zero(packets[i].text)));
    }
  });
}

TEST_CASE("an empty batch is nothing to do") {
  seal_batch({});
  open_batch({});
}

TEST_CASE(
    "a packet whose head and tail are longer than itself is refused, and so is one to open that comes in pieces") {
  for_each_aead_implementation([] {
    for (const CipherSuite suite : all_suites) {
      const auto key = make_key(suite);
      Packet packet(*key, 32, 4, 12), other(*key, 48, 5, 12);
      AeadJob jobs[2] = {packet.job(), other.job()};
      jobs[0].src += 20;
      jobs[0].head_len = 20;
      jobs[0].tail_len = 13;
      seal_batch(jobs);
      CHECK(!jobs[0].ok);
      CHECK(packet.text == packet.plaintext);
      CHECK(jobs[1].ok);
      jobs[0].tail_len = 12;
      seal_batch({jobs, 1});
      CHECK(jobs[0].ok);
      open_batch({jobs, 1});
      CHECK(!jobs[0].ok);
      CHECK(all_zero(packet.text));
    }
  });
}

TEST_CASE("one key seals and opens by turns") {
  for_each_aead_implementation([] {
    for (const CipherSuite suite : all_suites) {
      const auto key = make_key(suite);
      for (std::uint8_t i = 0; i < 20; ++i) {
        Packet packet(*key, 64, i);
        REQUIRE(seal(packet));
        REQUIRE(open(packet));
        CHECK(packet.text == packet.plaintext);
      }
    }
  });
}

TEST_CASE("when all contexts of an openssl key are out, a thread uses its own and gets the same bytes") {
  const std::string before(aead_implementation());
  REQUIRE(select_aead_implementation("openssl"));
  for (const CipherSuite suite : all_suites) {
    CAPTURE(info(suite).name);
    const auto key = make_key(suite);
    const auto& openssl_key = static_cast<const OpensslAeadKey&>(*key);
    Packet first(*key, 80, 2), second(*key, 80, 2);
    REQUIRE(seal(first));

    using Direction = OpensslAeadKey::Direction;
    std::vector<std::unique_ptr<OpensslAeadKey::Lease>> leases;
    for (std::size_t i = 0; i < openssl_key.num_contexts(); ++i) {
      leases.push_back(std::make_unique<OpensslAeadKey::Lease>(openssl_key, Direction::seal));
      CHECK(!leases.back()->is_spare());
    }
    CHECK(OpensslAeadKey::Lease(openssl_key, Direction::seal).is_spare());
    for (int round = 0; round < 3; ++round) {
      REQUIRE(seal(second));
      CHECK(second.text == first.text);
      CHECK(second.icv == first.icv);
      REQUIRE(open(second));
      CHECK(second.text == second.plaintext);
    }
    leases.clear();
    CHECK(!OpensslAeadKey::Lease(openssl_key, Direction::seal).is_spare());
  }
  REQUIRE(select_aead_implementation(before));
}

TEST_CASE("a key for messages seals and opens what a key for packets opens and seals") {
  for_each_aead_implementation([] {
    for (const CipherSuite suite : all_suites) {
      CAPTURE(info(suite).name);
      const CipherSuiteInfo& sizes = info(suite);
      const Bytes encryption(std::size_t{sizes.key_len} + sizes.salt_len, 1), integrity(sizes.integrity_len, 101);
      const auto for_packets = make_key(suite);
      const auto made = AeadKey::create(suite, encryption, integrity, AadLayout::prefix, AeadUse::messages);
      REQUIRE(made);
      for (const bool sealed_by_packets : {true, false}) {
        Packet packet(sealed_by_packets ? *for_packets : **made, 480, 3, 32);
        REQUIRE(seal(packet));
        packet.key = sealed_by_packets ? made->get() : for_packets.get();
        AeadJob job = packet.job();
        open_batch({&job, 1});
        CHECK(job.ok);
        CHECK(packet.text == packet.plaintext);
        packet.icv[0] ^= 1;
        job = packet.job();
        open_batch({&job, 1});
        CHECK_FALSE(job.ok);
      }
      CHECK_FALSE(AeadKey::create(suite, Bytes(3), integrity, AadLayout::prefix, AeadUse::messages).has_value());
    }
  });
}

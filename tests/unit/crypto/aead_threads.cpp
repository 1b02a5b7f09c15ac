#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "culvert/crypto/aead.h"
#include "vectors/aead_vectors.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

constexpr std::size_t num_packets = 32;
constexpr std::size_t packet_len = 304;

std::vector<Bytes> texts_of(const AeadKey& key, bool seal, const std::vector<Bytes>& from, std::vector<Bytes>& icvs,
                            bool& all_ok) {
  static constexpr std::uint8_t aad[12] = {1, 2, 3, 4};
  std::vector<Bytes> texts = from;
  std::vector<Bytes> ivs;
  std::vector<AeadJob> jobs;
  for (std::size_t i = 0; i < texts.size(); ++i)
    ivs.emplace_back(info(key.suite()).iv_len, static_cast<std::uint8_t>(i));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    jobs.push_back({.key = &key,
                    .aad = aad,
                    .iv = ivs[i].data(),
                    .src = texts[i].data(),
                    .dst = texts[i].data(),
                    .icv = icvs[i].data(),
                    .aad_len = sizeof aad,
                    .len = static_cast<std::uint32_t>(texts[i].size())});
  }
  seal ? seal_batch(jobs) : open_batch(jobs);
  for (const AeadJob& job : jobs) all_ok = all_ok && job.ok;
  return texts;
}

// `num_threads` threads seal and open the same packets with one key; all must get what one thread alone gets.
void share_key(CipherSuite suite, unsigned num_threads, int rounds) {
  const CipherSuiteInfo& sizes = info(suite);
  const auto key = AeadKey::create(suite, Bytes(std::size_t{sizes.key_len} + sizes.salt_len, 7),
                                   Bytes(sizes.integrity_len, 9), AadLayout::esn);
  REQUIRE(key);
  const std::vector<Bytes> plaintexts(num_packets, Bytes(packet_len, 0x42));
  std::vector<Bytes> icvs(num_packets, Bytes(sizes.icv_len));
  bool ok = true;
  const std::vector<Bytes> sealed = texts_of(**key, true, plaintexts, icvs, ok);
  REQUIRE(ok);

  std::atomic<int> num_wrong{0};
  const auto work = [&] {
    for (int round = 0; round < rounds; ++round) {
      bool all_ok = true;
      std::vector<Bytes> own_icvs(num_packets, Bytes(sizes.icv_len));
      const std::vector<Bytes> again = texts_of(**key, true, plaintexts, own_icvs, all_ok);
      if (!all_ok || again != sealed || own_icvs != icvs) ++num_wrong;
      if (texts_of(**key, false, sealed, own_icvs, all_ok) != plaintexts || !all_ok) ++num_wrong;
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < num_threads; ++i) threads.emplace_back(work);
  threads.clear();
  CHECK(num_wrong == 0);
}

}  // namespace

TEST_CASE("four threads share one key at once") {
  for_each_aead_implementation([] {
    for (const CipherSuite suite :
         {CipherSuite::aes_gcm_16_128, CipherSuite::aes_gcm_16_256, CipherSuite::chacha20_poly1305,
          CipherSuite::aes_cbc_128_sha2_256_128, CipherSuite::aes_cbc_256_sha2_512_256}) {
      share_key(suite, 4, 200);
    }
  });
}

TEST_CASE("many more threads than processors share one key at once") {
  for_each_aead_implementation([] {
    share_key(CipherSuite::aes_gcm_16_256, 40, 50);
    share_key(CipherSuite::aes_cbc_256_sha2_256_128, 40, 50);
  });
}

TEST_CASE("keys come and go while other threads use theirs") {
  std::vector<std::jthread> threads;
  std::atomic<int> num_wrong{0};
  for (std::uint8_t i = 0; i < 4; ++i) {
    threads.emplace_back([i, &num_wrong] {
      for (int round = 0; round < 100; ++round) {
        const auto key = AeadKey::create(CipherSuite::aes_gcm_16_256, Bytes(36, i), {}, AadLayout::prefix);
        bool ok = key.has_value();
        std::vector<Bytes> icvs(4, Bytes(16));
        const std::vector<Bytes> plaintexts(4, Bytes(100, i));
        if (ok) ok = texts_of(**key, false, texts_of(**key, true, plaintexts, icvs, ok), icvs, ok) == plaintexts && ok;
        if (!ok) ++num_wrong;
      }
    });
  }
  threads.clear();
  CHECK(num_wrong == 0);
}

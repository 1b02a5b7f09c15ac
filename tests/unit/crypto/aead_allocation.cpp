// Law 6 of the data path: no allocation per packet. Both ways to the heap are counted: operator new, and OpenSSL's own
// hooks.
#include <doctest/doctest.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <new>
#include <vector>

#include "culvert/crypto/aead.h"
#include "vectors/aead_vectors.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

thread_local std::size_t num_allocations = 0;

void* counted_malloc(std::size_t len, const char*, int) {
  ++num_allocations;
  return std::malloc(len);
}
void* counted_realloc(void* old, std::size_t len, const char*, int) {
  ++num_allocations;
  return std::realloc(old, len);
}
void counted_free(void* old, const char*, int) {
  std::free(old);
}

// Before anything in this program asks OpenSSL for memory: it refuses later.
const bool openssl_is_counted = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) == 1;

}  // namespace

void* operator new(std::size_t len) {
  ++num_allocations;
  if (void* memory = std::malloc(len != 0 ? len : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

TEST_CASE("nothing is allocated per packet, accepted or refused, once a thread is warm") {
  REQUIRE(openssl_is_counted);
  for_each_aead_implementation([] {
    for (const CipherSuite suite :
         {CipherSuite::aes_gcm_16_128, CipherSuite::aes_gcm_16_256, CipherSuite::chacha20_poly1305,
          CipherSuite::aes_cbc_128_sha2_256_128, CipherSuite::aes_cbc_256_sha2_384_192}) {
      CAPTURE(info(suite).name);
      const CipherSuiteInfo& sizes = info(suite);
      const auto key = AeadKey::create(suite, Bytes(std::size_t{sizes.key_len} + sizes.salt_len, 7),
                                       Bytes(sizes.integrity_len, 9), AadLayout::prefix);
      REQUIRE(key);
      Bytes text(1408, 1), icv(sizes.icv_len), iv(sizes.iv_len), aad(8);
      AeadJob job{.key = key->get(),
                  .aad = aad.data(),
                  .iv = iv.data(),
                  .src = text.data(),
                  .dst = text.data(),
                  .icv = icv.data(),
                  .aad_len = 8,
                  .len = static_cast<std::uint32_t>(text.size())};
      const auto pass = [&](bool damage) {
        seal_batch({&job, 1});
        if (damage) icv[0] ^= 1;
        open_batch({&job, 1});
        return job.ok;
      };
      REQUIRE(pass(false));
      REQUIRE(!pass(true));
      const std::size_t before = num_allocations;
      bool as_expected = true;
      for (int i = 0; i < 1000; ++i) as_expected = pass(i % 2 == 0) == (i % 2 != 0) && as_expected;
      const std::size_t after = num_allocations;
      CHECK(as_expected);
      CHECK(after - before == 0);
    }
  });
}

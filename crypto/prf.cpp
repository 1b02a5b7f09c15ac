// The plain SHA functions, for the reason given in hmac.cpp.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "culvert/crypto/prf.h"

#include <openssl/sha.h>

#include <algorithm>

#include "hmac.h"

namespace culvert::crypto {
namespace {

Sha sha_of(Prf prf) noexcept {
  switch (prf) {
    case Prf::hmac_sha2_256:
      return Sha::sha256;
    case Prf::hmac_sha2_384:
      return Sha::sha384;
    case Prf::hmac_sha2_512:
      return Sha::sha512;
    case Prf::hmac_sha1:
      return Sha::sha1;
  }
  return Sha::sha256;
}

}  // namespace

std::size_t prf_len(Prf prf) noexcept {
  return digest_len(sha_of(prf));
}

std::string_view prf_name(Prf prf) noexcept {
  switch (prf) {
    case Prf::hmac_sha2_256:
      return "PRF-HMAC-SHA2-256";
    case Prf::hmac_sha2_384:
      return "PRF-HMAC-SHA2-384";
    case Prf::hmac_sha2_512:
      return "PRF-HMAC-SHA2-512";
    case Prf::hmac_sha1:
      return "PRF-HMAC-SHA1";
  }
  return "unknown PRF";
}

Secret prf(Prf algorithm, ByteView key, std::initializer_list<ByteView> parts) {
  Secret out(prf_len(algorithm));
  Hmac(sha_of(algorithm), key).compute(parts, out.mutable_view());
  return out;
}

// RFC 7296 §2.13:
//   prf+ (K,S) = T1 | T2 | T3 | T4 | ...
//   T1 = prf (K, S | 0x01),  Tn = prf (K, Tn-1 | S | n)
Secret prf_plus(Prf algorithm, ByteView key, std::initializer_list<ByteView> seed, std::size_t len) {
  const std::size_t block_len = prf_len(algorithm);
  if (len > 255 * block_len) return {};  // "undefined beyond 255 times the size of the prf function output"
  std::size_t seed_len = 0;
  for (const ByteView part : seed) seed_len += part.size();
  Secret joined(seed_len);
  auto end = joined.mutable_view().begin();
  for (const ByteView part : seed) end = std::copy(part.begin(), part.end(), end);

  const Hmac hmac(sha_of(algorithm), key);
  Secret out(len);
  Secret block;
  std::uint8_t number = 0;
  for (std::size_t done = 0; done < len;) {
    ++number;
    Secret next(block_len);
    hmac.compute({block.view(), joined.view(), ByteView(&number, 1)}, next.mutable_view());
    const std::size_t take = std::min(block_len, len - done);
    std::copy_n(next.view().begin(), take, out.mutable_view().begin() + static_cast<std::ptrdiff_t>(done));
    done += take;
    block = std::move(next);
  }
  return out;
}

Bytes sha1(std::initializer_list<ByteView> parts) {
  SHA_CTX state;
  SHA1_Init(&state);
  for (const ByteView part : parts) SHA1_Update(&state, part.data(), part.size());
  Bytes digest(SHA_DIGEST_LENGTH);
  SHA1_Final(digest.data(), &state);
  return digest;
}

Bytes sha256(std::initializer_list<ByteView> parts) {
  SHA256_CTX state;
  SHA256_Init(&state);
  for (const ByteView part : parts) SHA256_Update(&state, part.data(), part.size());
  Bytes digest(SHA256_DIGEST_LENGTH);
  SHA256_Final(digest.data(), &state);
  return digest;
}

}  // namespace culvert::crypto

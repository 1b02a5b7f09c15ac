#pragma once
#include <openssl/sha.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "culvert/base/bytes.h"

namespace culvert::crypto {

enum class Sha : std::uint8_t { sha1, sha256, sha384, sha512 };

[[nodiscard]] std::size_t digest_len(Sha sha) noexcept;  ///< bytes
inline constexpr std::size_t max_digest_len = 64;

/// HMAC (RFC 2104, FIPS 180-4) with its key already absorbed. Immutable: any number of threads may use one at
/// once. Wiped when it goes.
class Hmac {
 public:
  Hmac(Sha sha, ByteView key) noexcept;
  ~Hmac();
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;

  [[nodiscard]] Sha sha() const noexcept { return sha_; }
  /// HMAC of the parts one behind the other, cut to out.size() bytes (at most digest_len). Never allocates.
  void compute(std::initializer_list<ByteView> parts, MutableByteView out) const noexcept;

 private:
  union State {
    SHA_CTX sha1;
    SHA256_CTX sha256;
    SHA512_CTX sha512;
  };
  void start(State& state) const noexcept;
  void update(State& state, ByteView bytes) const noexcept;
  void finish(State& state, std::uint8_t* digest) const noexcept;

  Sha sha_;
  State inner_;  // behind key ^ ipad
  State outer_;  // behind key ^ opad
};

}  // namespace culvert::crypto

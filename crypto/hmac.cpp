// OpenSSL 3.0's EVP_MAC copies its digest state on the heap for every message, and the data path may not allocate per
// packet. The plain SHA functions run the same code (the same SHA-NI) on states that we hold ourselves; 3.0 marks them
// as deprecated.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "hmac.h"

#include <sodium.h>

#include <array>

namespace culvert::crypto {
namespace {

constexpr std::size_t max_block_len = 128;

std::size_t block_len(Sha sha) noexcept {
  return sha == Sha::sha1 || sha == Sha::sha256 ? 64 : 128;
}

}  // namespace

std::size_t digest_len(Sha sha) noexcept {
  switch (sha) {
    case Sha::sha1:
      return 20;
    case Sha::sha256:
      return 32;
    case Sha::sha384:
      return 48;
    case Sha::sha512:
      return 64;
  }
  return 0;
}

Hmac::Hmac(Sha sha, ByteView key) noexcept : sha_(sha) {
  std::array<std::uint8_t, max_block_len> block{};
  if (key.size() > block_len(sha)) {  // RFC 2104 §2: a longer key is hashed first
    start(inner_);
    update(inner_, key);
    finish(inner_, block.data());
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  const ByteView pad(block.data(), block_len(sha));
  for (std::uint8_t& byte : block) byte ^= 0x36;
  start(inner_);
  update(inner_, pad);
  for (std::uint8_t& byte : block) byte ^= 0x36 ^ 0x5c;
  start(outer_);
  update(outer_, pad);
  sodium_memzero(block.data(), block.size());
}

Hmac::~Hmac() {
  sodium_memzero(&inner_, sizeof inner_);
  sodium_memzero(&outer_, sizeof outer_);
}

void Hmac::compute(std::initializer_list<ByteView> parts, MutableByteView out) const noexcept {
  std::array<std::uint8_t, max_digest_len> digest;
  State state = inner_;
  for (const ByteView part : parts) update(state, part);
  finish(state, digest.data());
  state = outer_;
  update(state, ByteView(digest.data(), digest_len(sha_)));
  finish(state, digest.data());
  std::copy_n(digest.begin(), std::min(out.size(), digest_len(sha_)), out.begin());
  sodium_memzero(digest.data(), digest.size());
  sodium_memzero(&state, sizeof state);
}

// The SHA functions fail for null pointers alone.
void Hmac::start(State& state) const noexcept {
  switch (sha_) {
    case Sha::sha1:
      SHA1_Init(&state.sha1);
      break;
    case Sha::sha256:
      SHA256_Init(&state.sha256);
      break;
    case Sha::sha384:
      SHA384_Init(&state.sha512);
      break;
    case Sha::sha512:
      SHA512_Init(&state.sha512);
      break;
  }
}

void Hmac::update(State& state, ByteView bytes) const noexcept {
  if (bytes.empty()) return;
  switch (sha_) {
    case Sha::sha1:
      SHA1_Update(&state.sha1, bytes.data(), bytes.size());
      break;
    case Sha::sha256:
      SHA256_Update(&state.sha256, bytes.data(), bytes.size());
      break;
    case Sha::sha384:
      SHA384_Update(&state.sha512, bytes.data(), bytes.size());
      break;
    case Sha::sha512:
      SHA512_Update(&state.sha512, bytes.data(), bytes.size());
      break;
  }
}

void Hmac::finish(State& state, std::uint8_t* digest) const noexcept {
  switch (sha_) {
    case Sha::sha1:
      SHA1_Final(digest, &state.sha1);
      break;
    case Sha::sha256:
      SHA256_Final(digest, &state.sha256);
      break;
    case Sha::sha384:
      SHA384_Final(digest, &state.sha512);
      break;
    case Sha::sha512:
      SHA512_Final(digest, &state.sha512);
      break;
  }
}

}  // namespace culvert::crypto

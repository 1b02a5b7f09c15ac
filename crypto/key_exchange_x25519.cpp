#include <sodium.h>

#include <array>
#include <string>

#include "key_exchange_group.h"

namespace culvert::crypto {
namespace {

static_assert(crypto_scalarmult_BYTES == 32 && crypto_scalarmult_SCALARBYTES == 32);

class X25519 final : public KeyExchange {
 public:
  explicit X25519(Secret private_value) : private_(std::move(private_value)) {
    crypto_scalarmult_base(public_.data(), private_.view().data());
  }

  KeMethod method() const noexcept override { return KeMethod::x25519; }
  ByteView public_value() const noexcept override { return public_; }

  Result<Secret> shared_secret(ByteView peer_public) const override {
    if (peer_public.size() != crypto_scalarmult_BYTES) {
      return fail(Errc::invalid,
                  "X25519 public value of " + std::to_string(peer_public.size()) + " bytes, expected 32");
    }
    Secret shared(crypto_scalarmult_BYTES);
    // Refuses an all-zero result, as RFC 8031 §2 and RFC 7748 §6.1 want.
    if (crypto_scalarmult(shared.mutable_view().data(), private_.view().data(), peer_public.data()) != 0) {
      return fail(Errc::invalid, "X25519 public value of small order");
    }
    return shared;
  }

 private:
  Secret private_;
  std::array<std::uint8_t, crypto_scalarmult_BYTES> public_{};
};

}  // namespace

Result<std::unique_ptr<KeyExchange>> make_x25519(ByteView private_value) {
  if (!private_value.empty() && private_value.size() != crypto_scalarmult_SCALARBYTES) {
    return fail(Errc::invalid,
                "X25519 private value of " + std::to_string(private_value.size()) + " bytes, expected 32");
  }
  Secret value(crypto_scalarmult_SCALARBYTES);
  if (sodium_init() < 0) return fail(Errc::internal, "libsodium has no source of randomness");
  if (private_value.empty()) {
    randombytes_buf(value.mutable_view().data(), value.size());
  } else {
    value = Secret::copy_of(private_value);
  }
  return std::make_unique<X25519>(std::move(value));
}

}  // namespace culvert::crypto

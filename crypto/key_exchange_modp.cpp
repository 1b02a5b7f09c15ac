#include <openssl/core_names.h>

#include <string>

#include "key_exchange_group.h"
#include "openssl_handle.h"
#include "openssl_pkey.h"

namespace culvert::crypto {
namespace {

// OpenSSL's names of the groups of RFC 3526 §3–§5; their generator is 2.
const char* group_name(KeMethod method) noexcept {
  switch (method) {
    case KeMethod::modp3072:
      return "modp_3072";
    case KeMethod::modp4096:
      return "modp_4096";
    default:
      return "modp_2048";
  }
}

BignumHandle prime_of(KeMethod method) {
  switch (method) {
    case KeMethod::modp3072:
      return BignumHandle(BN_get_rfc3526_prime_3072(nullptr));
    case KeMethod::modp4096:
      return BignumHandle(BN_get_rfc3526_prime_4096(nullptr));
    default:
      return BignumHandle(BN_get_rfc3526_prime_2048(nullptr));
  }
}

BignumHandle number(ByteView bytes) {
  BignumHandle value(BN_secure_new());
  if (value && BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), value.get()) == nullptr) value.reset();
  return value;
}

// 2 ≤ value ≤ p-2. For a safe prime that is the whole check (RFC 6989 §2.1).
bool in_range(const BIGNUM* value, const BIGNUM* prime) {
  const BignumHandle last(BN_dup(prime));
  return last && BN_sub_word(last.get(), 2) == 1 && BN_cmp(value, BN_value_one()) > 0 && BN_cmp(value, last.get()) <= 0;
}

class Modp final : public KeyExchange {
 public:
  Modp(KeMethod method, PkeyHandle key, BignumHandle prime, Bytes public_value)
      : method_(method), key_(std::move(key)), prime_(std::move(prime)), public_(std::move(public_value)) {}

  KeMethod method() const noexcept override { return method_; }
  ByteView public_value() const noexcept override { return public_; }

  Result<Secret> shared_secret(ByteView peer_public) const override {
    const std::string name(ke_method_name(method_));
    if (peer_public.size() != public_value_len(method_)) {  // RFC 7296 §3.4
      return fail(Errc::invalid, name + " public value of " + std::to_string(peer_public.size()) + " bytes, expected " +
                                     std::to_string(public_value_len(method_)));
    }
    const BignumHandle value = number(peer_public);
    if (!value) return openssl_failure(Errc::internal, "BN_bin2bn");
    if (!in_range(value.get(), prime_.get())) return fail(Errc::invalid, name + " public value is not in 2…p-2");
    PkeyParams params;
    params.add_text(OSSL_PKEY_PARAM_GROUP_NAME, group_name(method_));
    params.add_number(OSSL_PKEY_PARAM_PUB_KEY, value.get());
    const PkeyHandle peer = params.make("DH", EVP_PKEY_PUBLIC_KEY);
    if (!peer) return openssl_failure(Errc::invalid, name + " public value");
    return derive(key_.get(), peer.get(), public_value_len(method_), PeerCheck::done);
  }

 private:
  KeMethod method_;
  PkeyHandle key_;
  BignumHandle prime_;
  Bytes public_;
};

// Published answers only; fresh keys are made by EVP_PKEY_keygen.
Result<PkeyHandle> key_from_private(KeMethod method, const BIGNUM* prime, ByteView private_value) {
  const BignumHandle value = number(private_value);
  const BignumHandle generator(BN_new());
  const BignumHandle public_value(BN_new());
  const BignumCtxHandle ctx(BN_CTX_secure_new());
  if (!value || !generator || !public_value || !ctx || BN_set_word(generator.get(), 2) != 1) {
    return openssl_failure(Errc::internal, "BN_new");
  }
  if (!in_range(value.get(), prime))
    return fail(Errc::invalid, std::string(ke_method_name(method)) + " private value is not in 2…p-2");
  BN_set_flags(value.get(), BN_FLG_CONSTTIME);
  if (BN_mod_exp(public_value.get(), generator.get(), value.get(), prime, ctx.get()) != 1) {
    return openssl_failure(Errc::internal, "BN_mod_exp");
  }
  PkeyParams params;
  params.add_text(OSSL_PKEY_PARAM_GROUP_NAME, group_name(method));
  params.add_number(OSSL_PKEY_PARAM_PUB_KEY, public_value.get());
  params.add_number(OSSL_PKEY_PARAM_PRIV_KEY, value.get());
  PkeyHandle key = params.make("DH", EVP_PKEY_KEYPAIR);
  if (!key) return openssl_failure(Errc::internal, "DH key from a private value");
  return key;
}

Result<PkeyHandle> fresh_key(KeMethod method) {
  const PkeyCtxHandle ctx(EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr));
  EVP_PKEY* key = nullptr;
  if (!ctx || EVP_PKEY_keygen_init(ctx.get()) != 1 || EVP_PKEY_CTX_set_group_name(ctx.get(), group_name(method)) != 1 ||
      EVP_PKEY_keygen(ctx.get(), &key) != 1) {
    return openssl_failure(Errc::internal, std::string(ke_method_name(method)) + " key generation");
  }
  return PkeyHandle(key);
}

}  // namespace

Result<std::unique_ptr<KeyExchange>> make_modp(KeMethod method, ByteView private_value) {
  BignumHandle prime = prime_of(method);
  if (!prime) return openssl_failure(Errc::internal, "prime of RFC 3526");
  Result<PkeyHandle> key =
      private_value.empty() ? fresh_key(method) : key_from_private(method, prime.get(), private_value);
  if (!key) return std::unexpected(key.error());

  BIGNUM* value = nullptr;
  const bool have = EVP_PKEY_get_bn_param(key->get(), OSSL_PKEY_PARAM_PUB_KEY, &value) == 1;
  const BignumHandle owner(value);
  Bytes public_value(public_value_len(method));
  if (!have || BN_bn2binpad(value, public_value.data(), static_cast<int>(public_value.size())) < 0) {
    return openssl_failure(Errc::internal, "DH public value");
  }
  return std::make_unique<Modp>(method, std::move(*key), std::move(prime), std::move(public_value));
}

}  // namespace culvert::crypto

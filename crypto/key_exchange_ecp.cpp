#include <openssl/core_names.h>

#include <string>

#include "key_exchange_group.h"
#include "openssl_handle.h"
#include "openssl_pkey.h"

namespace culvert::crypto {
namespace {

struct EcpGroup {
  const char* name;  // OpenSSL's
  int nid;
  std::size_t field_len;  // bytes
};

EcpGroup group_of(KeMethod method) noexcept {
  switch (method) {
    case KeMethod::ecp384:
      return {"P-384", NID_secp384r1, 48};
    case KeMethod::ecp521:
      return {"P-521", NID_secp521r1, 66};
    default:
      return {"P-256", NID_X9_62_prime256v1, 32};
  }
}

// SEC 1 §2.3.3: an uncompressed point is 04 | x | y. The KE payload carries x | y (RFC 5903 §7).
constexpr std::uint8_t uncompressed = 0x04;

class Ecp final : public KeyExchange {
 public:
  Ecp(KeMethod method, PkeyHandle key, Bytes public_value)
      : method_(method), key_(std::move(key)), public_(std::move(public_value)) {}

  KeMethod method() const noexcept override { return method_; }
  ByteView public_value() const noexcept override { return public_; }

  Result<Secret> shared_secret(ByteView peer_public) const override {
    if (peer_public.size() != public_value_len(method_)) {
      return fail(Errc::invalid, std::string(ke_method_name(method_)) + " public value of " +
                                     std::to_string(peer_public.size()) + " bytes, expected " +
                                     std::to_string(public_value_len(method_)));
    }
    Bytes point{uncompressed};
    append(point, peer_public);
    const EcpGroup group = group_of(method_);
    PkeyParams params;
    params.add_text(OSSL_PKEY_PARAM_GROUP_NAME, group.name);
    params.add_octets(OSSL_PKEY_PARAM_PUB_KEY, point);
    // Both steps check that the point is on the curve (RFC 6989 §2.3); the point at infinity has no such encoding.
    const PkeyHandle peer = params.make("EC", EVP_PKEY_PUBLIC_KEY);
    if (!peer) return openssl_failure(Errc::invalid, std::string(ke_method_name(method_)) + " public value");
    return derive(key_.get(), peer.get(), group.field_len, PeerCheck::by_library);
  }

 private:
  KeMethod method_;
  PkeyHandle key_;
  Bytes public_;
};

// The point of a given private value. Published answers only; fresh keys are made by EVP_PKEY_Q_keygen.
Result<Bytes> point_of(const EcpGroup& group, const BIGNUM* value) {
  const EcGroupHandle curve(EC_GROUP_new_by_curve_name(group.nid));
  const EcPointHandle point(curve ? EC_POINT_new(curve.get()) : nullptr);
  if (!point) return openssl_failure(Errc::internal, "EC_POINT_new");
  if (BN_is_zero(value) || BN_cmp(value, EC_GROUP_get0_order(curve.get())) >= 0) {
    return fail(Errc::invalid, std::string(group.name) + " private value is not in 1…n-1");
  }
  Bytes encoded(1 + 2 * group.field_len);
  if (EC_POINT_mul(curve.get(), point.get(), value, nullptr, nullptr, nullptr) != 1 ||
      EC_POINT_point2oct(curve.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, encoded.data(), encoded.size(),
                         nullptr) != encoded.size()) {
    return openssl_failure(Errc::internal, "EC_POINT_mul");
  }
  return encoded;
}

Result<PkeyHandle> key_from_private(const EcpGroup& group, ByteView private_value) {
  const BignumHandle value(BN_secure_new());
  if (!value || BN_bin2bn(private_value.data(), static_cast<int>(private_value.size()), value.get()) == nullptr) {
    return openssl_failure(Errc::internal, "BN_bin2bn");
  }
  const Result<Bytes> point = point_of(group, value.get());
  if (!point) return std::unexpected(point.error());
  PkeyParams params;
  params.add_text(OSSL_PKEY_PARAM_GROUP_NAME, group.name);
  params.add_octets(OSSL_PKEY_PARAM_PUB_KEY, *point);
  params.add_number(OSSL_PKEY_PARAM_PRIV_KEY, value.get());
  PkeyHandle key = params.make("EC", EVP_PKEY_KEYPAIR);
  if (!key) return openssl_failure(Errc::internal, std::string(group.name) + " key from a private value");
  return key;
}

}  // namespace

Result<std::unique_ptr<KeyExchange>> make_ecp(KeMethod method, ByteView private_value) {
  const EcpGroup group = group_of(method);
  PkeyHandle key;
  if (private_value.empty()) {
    key.reset(EVP_EC_gen(group.name));
    if (!key) return openssl_failure(Errc::internal, std::string(group.name) + " key generation");
  } else {
    Result<PkeyHandle> given = key_from_private(group, private_value);
    if (!given) return std::unexpected(given.error());
    key = std::move(*given);
  }
  Bytes point(1 + 2 * group.field_len);
  std::size_t len = 0;
  if (EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(), &len) != 1 ||
      len != point.size() || point.front() != uncompressed) {
    return openssl_failure(Errc::internal, std::string(group.name) + " public value");
  }
  point.erase(point.begin());
  return std::make_unique<Ecp>(method, std::move(key), std::move(point));
}

}  // namespace culvert::crypto

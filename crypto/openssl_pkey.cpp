#include "openssl_pkey.h"

#include <openssl/dh.h>
#include <openssl/param_build.h>

namespace culvert::crypto {

PkeyParams::PkeyParams() : builder_(OSSL_PARAM_BLD_new()), ok_(builder_ != nullptr) {}

PkeyParams::~PkeyParams() {
  OSSL_PARAM_BLD_free(builder_);
}

void PkeyParams::add_text(const char* name, const char* value) {
  ok_ = ok_ && OSSL_PARAM_BLD_push_utf8_string(builder_, name, value, 0) == 1;
}

void PkeyParams::add_octets(const char* name, ByteView value) {
  ok_ = ok_ && OSSL_PARAM_BLD_push_octet_string(builder_, name, value.data(), value.size()) == 1;
}

void PkeyParams::add_number(const char* name, const BIGNUM* value) {
  ok_ = ok_ && OSSL_PARAM_BLD_push_BN(builder_, name, value) == 1;
}

PkeyHandle PkeyParams::make(const char* type, int selection) const {
  if (!ok_) return {};
  using ParamsHandle = std::unique_ptr<OSSL_PARAM, FreeWith<OSSL_PARAM_free>>;
  const ParamsHandle params(OSSL_PARAM_BLD_to_param(builder_));
  const PkeyCtxHandle ctx(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !ctx || EVP_PKEY_fromdata_init(ctx.get()) != 1 ||
      EVP_PKEY_fromdata(ctx.get(), &key, selection, params.get()) != 1) {
    return {};
  }
  return PkeyHandle(key);
}

Result<Secret> derive(EVP_PKEY* own, EVP_PKEY* peer, std::size_t len, PeerCheck check) {
  const PkeyCtxHandle ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, own, nullptr));
  if (!ctx || EVP_PKEY_derive_init(ctx.get()) != 1) return openssl_failure(Errc::internal, "EVP_PKEY_derive_init");
  if (EVP_PKEY_is_a(own, "DH") == 1 && EVP_PKEY_CTX_set_dh_pad(ctx.get(), 1) != 1) {
    return openssl_failure(Errc::internal, "EVP_PKEY_CTX_set_dh_pad");
  }
  if (EVP_PKEY_derive_set_peer_ex(ctx.get(), peer, check == PeerCheck::by_library) != 1) {
    return openssl_failure(Errc::invalid, "public value");
  }
  Secret shared(len);
  std::size_t written = len;
  if (EVP_PKEY_derive(ctx.get(), shared.mutable_view().data(), &written) != 1) {
    return openssl_failure(Errc::invalid, "key agreement");
  }
  if (written != len) return fail(Errc::internal, "key agreement gave " + std::to_string(written) + " bytes");
  return shared;
}

}  // namespace culvert::crypto

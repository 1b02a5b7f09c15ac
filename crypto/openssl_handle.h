#pragma once
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "culvert/base/result.h"

namespace culvert::crypto {

/// Frees with the C function that the library names for the type.
template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* what) const noexcept {
    Free(what);
  }
};

using CipherCtxHandle = std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>>;
using PkeyHandle = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using PkeyCtxHandle = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using BignumHandle = std::unique_ptr<BIGNUM, FreeWith<BN_clear_free>>;
using BignumCtxHandle = std::unique_ptr<BN_CTX, FreeWith<BN_CTX_free>>;
using EcGroupHandle = std::unique_ptr<EC_GROUP, FreeWith<EC_GROUP_free>>;
using EcPointHandle = std::unique_ptr<EC_POINT, FreeWith<EC_POINT_free>>;
using NameHandle = std::unique_ptr<X509_NAME, FreeWith<X509_NAME_free>>;

/// The newest entry of OpenSSL's error queue as text behind what we were doing; empties the queue.
[[nodiscard]] inline std::unexpected<Error> openssl_failure(Errc code, std::string doing) {
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  if (const char* reason = error ? ERR_reason_error_string(error) : nullptr) doing.append(": ").append(reason);
  return fail(code, std::move(doing));
}

}  // namespace culvert::crypto

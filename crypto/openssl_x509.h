#pragma once
#include <openssl/asn1.h>
#include <openssl/x509.h>

#include <optional>
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/crypto/certificate.h"
#include "openssl_handle.h"

namespace culvert::crypto {

using X509Handle = std::unique_ptr<X509, FreeWith<X509_free>>;
using CrlHandle = std::unique_ptr<X509_CRL, FreeWith<X509_CRL_free>>;

inline void free_shallow(STACK_OF(X509) * stack) noexcept {
  sk_X509_free(stack);
}
inline void free_shallow_crls(STACK_OF(X509_CRL) * stack) noexcept {
  sk_X509_CRL_free(stack);
}
/// Stacks of what others own.
using CertificatesHandle = std::unique_ptr<STACK_OF(X509), FreeWith<free_shallow>>;
using CrlsHandle = std::unique_ptr<STACK_OF(X509_CRL), FreeWith<free_shallow_crls>>;

/// What an OpenSSL value points to: valid as long as it.
[[nodiscard]] ByteView string_bytes(const ASN1_STRING* string) noexcept;
[[nodiscard]] Bytes name_bytes(const X509_NAME* name);
/// UTCTime or GeneralizedTime; nullopt when it is no time.
[[nodiscard]] std::optional<WallTime> wall_time(const ASN1_TIME* time) noexcept;
[[nodiscard]] std::string pem_text(std::string_view label, ByteView der);

/// DER of an OpenSSL value by its i2d function; empty when that fails.
template <class T, class I2d>
[[nodiscard]] Bytes encode(T* value, I2d i2d) {
  std::uint8_t* der = nullptr;
  const int len = i2d(value, &der);
  if (len <= 0) return {};
  Bytes bytes(der, der + len);
  OPENSSL_free(der);
  return bytes;
}

/// A signature algorithm that CRLs, OCSP responses and responders' certificates may be signed with: RSA, ECDSA and
/// Ed25519 with SHA2.
[[nodiscard]] bool is_strong(const X509_ALGOR* algorithm);

}  // namespace culvert::crypto

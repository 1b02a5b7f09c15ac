#include "culvert/crypto/certificate_export.h"

#include <openssl/pkcs12.h>

#include "openssl_handle.h"

namespace culvert::crypto {
namespace {

using Pkcs12Handle = std::unique_ptr<PKCS12, FreeWith<PKCS12_free>>;

struct FreeBorrowed {
  void operator()(STACK_OF(X509) * stack) const noexcept { sk_X509_free(stack); }
};
constexpr int iterations = 10'000;

}  // namespace

Result<Secret> make_pkcs12(const PrivateKey& key, const Certificate& certificate, std::span<const Certificate> above,
                           const std::string& name, const Secret& passphrase) {
  if (passphrase.empty()) return fail(Errc::invalid, "an empty passphrase protects nothing");
  if (X509_check_private_key(certificate.library_certificate(), key.library_key()) != 1)
    return openssl_failure(Errc::invalid, "this key is not the one of the certificate");
  // The key must be readable, which one in a token is not.
  if (auto pem = key.to_pem(Secret()); !pem) return std::unexpected(pem.error());
  const std::unique_ptr<STACK_OF(X509), FreeBorrowed> others(sk_X509_new_null());
  for (const Certificate& one : above)
    if (!others || sk_X509_push(others.get(), one.library_certificate()) <= 0)
      return openssl_failure(Errc::internal, "PKCS#12");
  Secret text(passphrase.size() + 1);  // OpenSSL wants a NUL behind it
  std::ranges::copy(passphrase.view(), text.mutable_view().begin());
  text.mutable_view().back() = 0;
  constexpr int cipher = NID_pbe_WithSHA1And3_Key_TripleDES_CBC;
  const Pkcs12Handle made(PKCS12_create(reinterpret_cast<const char*>(text.view().data()), name.c_str(),
                                        key.library_key(), certificate.library_certificate(), others.get(), cipher,
                                        cipher, iterations, -1, 0));
  // The MAC over all of it with SHA-1, for the same old importers; what is encrypted is checked by its parser anyway.
  if (!made || PKCS12_set_mac(made.get(), reinterpret_cast<const char*>(text.view().data()), -1, nullptr, 0, iterations,
                              EVP_sha1()) != 1)
    return openssl_failure(Errc::internal, "PKCS#12");
  const int len = i2d_PKCS12(made.get(), nullptr);
  if (len <= 0) return openssl_failure(Errc::internal, "PKCS#12");
  Secret der(static_cast<std::size_t>(len));
  std::uint8_t* out = der.mutable_view().data();
  if (i2d_PKCS12(made.get(), &out) != len) return openssl_failure(Errc::internal, "PKCS#12");
  return der;
}

std::string issuer_common_name(const Certificate& certificate) {
  const X509_NAME* name = X509_get_issuer_name(certificate.library_certificate());
  int last = -1;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0;) last = at;
  if (last < 0) return {};
  std::uint8_t* text = nullptr;
  const int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
  if (len < 0) {
    ERR_clear_error();
    return {};
  }
  std::string result(reinterpret_cast<const char*>(text), static_cast<std::size_t>(len));
  OPENSSL_free(text);
  return result;
}

}  // namespace culvert::crypto

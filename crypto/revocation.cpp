#include "culvert/crypto/revocation.h"

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "culvert/crypto/distinguished_name.h"
#include "openssl_handle.h"
#include "openssl_x509.h"

namespace culvert::crypto {
namespace {

// RFC 5280 §5.2: what OpenSSL evaluates. A critical extension beside these must not be passed over.
constexpr std::array known_crl_extensions{NID_authority_key_identifier, NID_crl_number, NID_delta_crl,
                                          NID_issuing_distribution_point, NID_freshest_crl};

using IssuingPointHandle = std::unique_ptr<ISSUING_DIST_POINT, FreeWith<ISSUING_DIST_POINT_free>>;

Result<void> check_extensions(const X509_CRL* crl) {
  for (int i = 0; i < X509_CRL_get_ext_count(crl); ++i) {
    const X509_EXTENSION* extension = X509_CRL_get_ext(crl, i);
    const int nid = OBJ_obj2nid(X509_EXTENSION_get_object(const_cast<X509_EXTENSION*>(extension)));
    if (X509_EXTENSION_get_critical(extension) &&
        std::ranges::find(known_crl_extensions, nid) == known_crl_extensions.end())
      return fail(Errc::unsupported, "CRL with a critical extension that is not known");
  }
  int critical = 0;
  const IssuingPointHandle point(
      static_cast<ISSUING_DIST_POINT*>(X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, &critical, nullptr)));
  if (!point && critical != -1) return openssl_failure(Errc::malformed, "CRL with a broken issuingDistributionPoint");
  // RFC 5280 §6.3.3 leaves them to choice; nobody runs IKE with them, and they let one CA speak for another.
  if (point && point->indirectCRL > 0) return fail(Errc::unsupported, "indirect CRL");
  return {};
}

CrlHandle decode_crl(ByteView content) {
  if (as_text(content.first(std::min<std::size_t>(content.size(), 4096))).find("-----BEGIN") ==
      std::string_view::npos) {
    const std::uint8_t* end = content.data();
    CrlHandle crl(d2i_X509_CRL(nullptr, &end, static_cast<long>(content.size())));
    if (crl && end != content.data() + content.size()) crl.reset();
    return crl;
  }
  using BioHandle = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
  const BioHandle in(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  return CrlHandle(in ? PEM_read_bio_X509_CRL(in.get(), nullptr, nullptr, nullptr) : nullptr);
}

}  // namespace

Result<Crl> Crl::from_file_content(ByteView content) {
  if (content.size() > max_crl_len) return fail(Errc::exhausted, "CRL of more than 64 MiB");
  CrlHandle crl = decode_crl(content);
  if (!crl) return openssl_failure(Errc::malformed, "not a CRL");
  const auto this_update = wall_time(X509_CRL_get0_lastUpdate(crl.get()));
  if (!this_update) return fail(Errc::malformed, "CRL whose thisUpdate is no time");
  const long version = X509_CRL_get_version(crl.get());
  if (version != X509_CRL_VERSION_1 && version != X509_CRL_VERSION_2)
    return fail(Errc::malformed, "CRL of no known version");
  Result<void> checked = check_extensions(crl.get());
  if (!checked) return std::unexpected(checked.error());
  const X509_ALGOR* algorithm = nullptr;
  X509_CRL_get0_signature(crl.get(), nullptr, &algorithm);
  if (!is_strong(algorithm)) return fail(Errc::invalid, "CRL signed with a weak or unknown algorithm");

  Crl result;
  result.this_update_ = *this_update;
  if (const ASN1_TIME* next = X509_CRL_get0_nextUpdate(crl.get())) {
    result.next_update_ = wall_time(next);
    if (!result.next_update_) return fail(Errc::malformed, "CRL whose nextUpdate is no time");
  }
  result.delta_ = X509_CRL_get_ext_by_NID(crl.get(), NID_delta_crl, -1) >= 0;
  result.crl_ = std::shared_ptr<X509_CRL>(crl.release(), X509_CRL_free);
  ERR_clear_error();
  return result;
}

Bytes Crl::der() const {
  return encode(crl_.get(), i2d_X509_CRL);
}

std::string Crl::pem() const {
  return pem_text(PEM_STRING_X509_CRL, der());
}

Bytes Crl::issuer() const {
  return name_bytes(X509_CRL_get_issuer(crl_.get()));
}

std::string Crl::issuer_text() const {
  return distinguished_name_text(issuer());
}

std::optional<Bytes> Crl::number() const {
  using IntegerHandle = std::unique_ptr<ASN1_INTEGER, FreeWith<ASN1_INTEGER_free>>;
  const IntegerHandle number(
      static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(crl_.get(), NID_crl_number, nullptr, nullptr)));
  ERR_clear_error();
  if (!number) return std::nullopt;
  const ByteView bytes = string_bytes(number.get());
  return Bytes(bytes.begin(), bytes.end());
}

std::size_t Crl::num_revoked() const noexcept {
  const int count = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl_.get()));
  return count > 0 ? static_cast<std::size_t>(count) : 0;
}

bool Crl::is_signed_by(const Certificate& ca) const {
  EVP_PKEY* key = ca.public_key() ? ca.public_key()->library_key() : nullptr;
  const bool same_name =
      X509_NAME_cmp(X509_CRL_get_issuer(crl_.get()), X509_get_subject_name(ca.library_certificate())) == 0;
  const bool held = key && same_name && X509_CRL_verify(crl_.get(), key) == 1;
  ERR_clear_error();
  return held;
}

}  // namespace culvert::crypto

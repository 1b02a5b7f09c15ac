#include <openssl/x509v3.h>

#include <algorithm>

#include "culvert/crypto/issue.h"
#include "openssl_handle.h"
#include "openssl_x509.h"
#include "signing_digest.h"

namespace culvert::crypto {
namespace {

using IntegerHandle = std::unique_ptr<ASN1_INTEGER, FreeWith<ASN1_INTEGER_free>>;
using TimeHandle = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;
using RevokedHandle = std::unique_ptr<X509_REVOKED, FreeWith<X509_REVOKED_free>>;
using ExtensionHandle = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;

constexpr std::size_t max_serial_len = 20;  // RFC 5280 §4.1.2.2

TimeHandle asn1_time(WallTime time) {
  return TimeHandle(ASN1_TIME_set(nullptr, static_cast<time_t>(time.time_since_epoch().count())));
}

Result<void> add_entry(X509_CRL* crl, const RevokedCertificate& revoked) {
  if (revoked.serial.empty() || revoked.serial.size() > max_serial_len)
    return fail(Errc::invalid, "a serial number of 1 to 20 bytes");
  const BignumHandle number(BN_bin2bn(revoked.serial.data(), static_cast<int>(revoked.serial.size()), nullptr));
  const IntegerHandle serial(number ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr);
  const TimeHandle at = asn1_time(revoked.revoked_at);
  RevokedHandle entry(X509_REVOKED_new());
  if (!serial || !at || !entry || X509_REVOKED_set_serialNumber(entry.get(), serial.get()) != 1 ||
      X509_REVOKED_set_revocationDate(entry.get(), at.get()) != 1 || X509_CRL_add0_revoked(crl, entry.get()) != 1) {
    return openssl_failure(Errc::internal, "CRL entry");
  }
  entry.release();  // the list owns it now
  return {};
}

bool add_extensions(X509_CRL* crl, const Certificate& ca, std::uint64_t number) {
  const IntegerHandle crl_number(ASN1_INTEGER_new());
  X509V3_CTX context;
  X509V3_set_ctx(&context, ca.library_certificate(), nullptr, nullptr, crl, 0);
  const ExtensionHandle authority(X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always"));
  return crl_number && ASN1_INTEGER_set_uint64(crl_number.get(), number) == 1 &&
         X509_CRL_add1_ext_i2d(crl, NID_crl_number, crl_number.get(), 0, X509V3_ADD_DEFAULT) == 1 && authority &&
         X509_CRL_add_ext(crl, authority.get(), -1) == 1;
}

}  // namespace

Result<Crl> issue_crl(const PrivateKey& ca_key, const Certificate& ca, const std::vector<RevokedCertificate>& revoked,
                      std::uint64_t number, WallTime this_update, WallTime next_update) {
  if (!ca.is_ca() || !ca.public_key() || !(*ca.public_key() == ca_key.public_key()))
    return fail(Errc::invalid, ca.name() + ": the private key is another's, or it is no CA");
  if (next_update <= this_update) return fail(Errc::invalid, "the next CRL is due before this one");
  const CrlHandle crl(X509_CRL_new());
  const TimeHandle from = asn1_time(this_update);
  const TimeHandle until = asn1_time(next_update);
  if (!crl || !from || !until || X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2) != 1 ||
      X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(ca.library_certificate())) != 1 ||
      X509_CRL_set1_lastUpdate(crl.get(), from.get()) != 1 || X509_CRL_set1_nextUpdate(crl.get(), until.get()) != 1) {
    return openssl_failure(Errc::internal, "CRL");
  }
  for (const RevokedCertificate& certificate : revoked) {
    if (auto added = add_entry(crl.get(), certificate); !added) return std::unexpected(added.error());
  }
  if (!add_extensions(crl.get(), ca, number)) return openssl_failure(Errc::internal, "extensions of a CRL");
  X509_CRL_sort(crl.get());
  if (X509_CRL_sign(crl.get(), ca_key.library_key(), signing_digest(ca_key.public_key())) <= 0)
    return openssl_failure(Errc::internal, "sign a CRL");
  return Crl::from_file_content(encode(crl.get(), i2d_X509_CRL));
}

std::vector<RevokedCertificate> revoked_certificates(const Crl& crl) {
  std::vector<RevokedCertificate> entries;
  STACK_OF(X509_REVOKED)* list = X509_CRL_get_REVOKED(crl.library_crl());
  for (int i = 0; i < sk_X509_REVOKED_num(list); ++i) {
    const X509_REVOKED* entry = sk_X509_REVOKED_value(list, i);
    const ByteView serial = string_bytes(X509_REVOKED_get0_serialNumber(entry));
    const auto at = wall_time(X509_REVOKED_get0_revocationDate(entry));
    entries.push_back({Bytes(serial.begin(), serial.end()), at.value_or(WallTime{})});
  }
  return entries;
}

}  // namespace culvert::crypto

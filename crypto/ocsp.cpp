#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "culvert/crypto/revocation.h"
#include "openssl_handle.h"
#include "openssl_x509.h"

namespace culvert::crypto {
namespace {

using ResponseHandle = std::unique_ptr<OCSP_RESPONSE, FreeWith<OCSP_RESPONSE_free>>;
using RequestHandle = std::unique_ptr<OCSP_REQUEST, FreeWith<OCSP_REQUEST_free>>;
using CertIdHandle = std::unique_ptr<OCSP_CERTID, FreeWith<OCSP_CERTID_free>>;

/// Of RFC 6960 §4.4 we evaluate none but the nonce, which we do not send: a critical one must not be passed over.
bool has_unknown_critical(OCSP_BASICRESP* response) {
  for (int i = 0; i < OCSP_BASICRESP_get_ext_count(response); ++i) {
    X509_EXTENSION* extension = OCSP_BASICRESP_get_ext(response, i);
    if (X509_EXTENSION_get_critical(extension) &&
        OBJ_obj2nid(X509_EXTENSION_get_object(extension)) != NID_id_pkix_OCSP_Nonce)
      return true;
  }
  return false;
}

bool has_unknown_critical(OCSP_SINGLERESP* single) {
  for (int i = 0; i < OCSP_SINGLERESP_get_ext_count(single); ++i) {
    if (X509_EXTENSION_get_critical(OCSP_SINGLERESP_get_ext(single, i))) return true;
  }
  return false;
}

/// The entry speaks of this certificate: same serial, and the hashes of its issuer's name and key.
bool speaks_of(const OCSP_SINGLERESP* single, const Certificate& certificate, const Certificate& issuer) {
  const OCSP_CERTID* id = OCSP_SINGLERESP_get0_id(single);
  ASN1_OBJECT* hash = nullptr;
  if (OCSP_id_get0_info(nullptr, &hash, nullptr, nullptr, const_cast<OCSP_CERTID*>(id)) != 1) return false;
  const int nid = OBJ_obj2nid(hash);
  if (nid != NID_sha1 && nid != NID_sha256 && nid != NID_sha384 && nid != NID_sha512) return false;
  const CertIdHandle wanted(
      OCSP_cert_to_id(EVP_get_digestbynid(nid), certificate.library_certificate(), issuer.library_certificate()));
  return wanted && OCSP_id_cmp(const_cast<OCSP_CERTID*>(id), wanted.get()) == 0;
}

Result<OcspStatus> read_status(OCSP_SINGLERESP* single) {
  ASN1_GENERALIZEDTIME* this_update = nullptr;
  ASN1_GENERALIZEDTIME* next_update = nullptr;
  const int status = OCSP_single_get0_status(single, nullptr, nullptr, &this_update, &next_update);
  const auto from = wall_time(this_update);
  const auto until = next_update ? wall_time(next_update) : std::nullopt;
  if (!from || (next_update && !until)) return fail(Errc::malformed, "OCSP response with a time that is none");
  OcspStatus result{OcspStatus::Status::unknown, *from, until};
  if (status == V_OCSP_CERTSTATUS_GOOD) result.status = OcspStatus::Status::good;
  if (status == V_OCSP_CERTSTATUS_REVOKED) result.status = OcspStatus::Status::revoked;
  return result;
}

/// The newest entry about the certificate.
Result<OcspStatus> find_status(OCSP_BASICRESP* response, const Certificate& certificate, const Certificate& issuer) {
  std::optional<OcspStatus> found;
  for (int i = 0; i < OCSP_resp_count(response); ++i) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(response, i);
    if (!speaks_of(single, certificate, issuer)) continue;
    if (has_unknown_critical(single)) return fail(Errc::invalid, "OCSP response with an unknown critical extension");
    const auto status = read_status(single);
    if (!status) return std::unexpected(status.error());
    if (!found || status->this_update > found->this_update) found = *status;
  }
  if (!found) return fail(Errc::no_match, "OCSP response speaks of other certificates");
  return *found;
}

// RFC 6960 §4.2.2.1
Result<void> check_fresh(const OcspStatus& status, WallTime now) {
  if (status.this_update > now + revocation_clock_skew)
    return fail(Errc::invalid, "OCSP response from the future: " + wall_time_text(status.this_update));
  const WallTime until = status.next_update.value_or(status.this_update + max_ocsp_age_without_next);
  if (until + revocation_clock_skew < now) return fail(Errc::invalid, "OCSP response expired " + wall_time_text(until));
  return {};
}

bool may_sign_ocsp(X509* signer) {
  // X509_check_ca or any other purpose check has made OpenSSL read the extensions when the certificate was parsed.
  const std::uint32_t extended = X509_get_extended_key_usage(signer);
  const std::uint32_t usage = X509_get_key_usage(signer);  // all bits when there is none
  return (X509_get_extension_flags(signer) & (EXFLAG_INVALID | EXFLAG_CRITICAL)) == 0 &&
         (X509_get_extension_flags(signer) & EXFLAG_XKUSAGE) != 0 && (extended & XKU_OCSP_SIGN) != 0 &&
         (usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) != 0;
}

/// RFC 6960 §4.2.2.2: "issued directly by the CA" that issued the certificate in question, with id-kp-OCSPSigning. Its
/// own revocation is not looked at: id-pkix-ocsp-nocheck is what responders have (§4.2.2.2.1), and they live for days.
Result<void> check_delegate(X509* signer, const Certificate& issuer, WallTime now) {
  const auto delegate = Certificate::from_der(encode(signer, i2d_X509));
  if (!delegate) return fail(Errc::authentication, "OCSP responder: " + delegate.error().detail);
  const std::string who = "OCSP responder " + delegate->name() + ": ";
  X509* certificate = delegate->library_certificate();
  if (!issuer.public_key()) return fail(Errc::authentication, who + issuer.public_key().error().detail);
  const bool issued = X509_check_issued(issuer.library_certificate(), certificate) == X509_V_OK &&
                      X509_verify(certificate, issuer.public_key()->library_key()) == 1;
  ERR_clear_error();
  if (!issued) return fail(Errc::authentication, who + "not issued by " + issuer.name());
  if (!may_sign_ocsp(certificate)) return fail(Errc::authentication, who + "no OCSPSigning");
  if (now < delegate->not_before() || now > delegate->not_after())
    return fail(Errc::authentication, who + "expired, or not yet valid");
  if (!delegate->public_key()) return fail(Errc::invalid, who + delegate->public_key().error().detail);
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(nullptr, &algorithm, certificate);
  if (!is_strong(algorithm)) return fail(Errc::invalid, who + "signed with a weak algorithm");
  return {};
}

Result<void> check_signature(OCSP_BASICRESP* response, const Certificate& issuer, WallTime now) {
  if (!is_strong(OCSP_resp_get0_tbs_sigalg(response)))
    return fail(Errc::invalid, "OCSP response signed with a weak or unknown algorithm");
  const CertificatesHandle candidates(sk_X509_new_null());
  X509* signer = nullptr;
  if (!candidates || sk_X509_push(candidates.get(), issuer.library_certificate()) <= 0)
    return fail(Errc::internal, "sk_X509_push");
  if (OCSP_resp_get0_signer(response, &signer, candidates.get()) != 1)
    return openssl_failure(Errc::authentication, "OCSP response: its responder is not known");
  if (X509_cmp(signer, issuer.library_certificate()) != 0) {
    if (auto delegated = check_delegate(signer, issuer, now); !delegated) return delegated;
  } else if (!issuer.public_key()) {
    return std::unexpected(issuer.public_key().error());
  }
  if (OCSP_basic_verify(response, candidates.get(), nullptr, OCSP_NOVERIFY) != 1)
    return openssl_failure(Errc::authentication, "OCSP response: its signature does not hold");
  return {};
}

}  // namespace

Result<OcspResponse> OcspResponse::from_der(ByteView der) {
  if (der.size() > max_ocsp_response_len) return fail(Errc::exhausted, "OCSP response of more than 64 KiB");
  const std::uint8_t* end = der.data();
  const ResponseHandle response(d2i_OCSP_RESPONSE(nullptr, &end, static_cast<long>(der.size())));
  if (!response || end != der.data() + der.size()) return openssl_failure(Errc::malformed, "not an OCSP response");
  const int status = OCSP_response_status(response.get());
  if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
    return fail(Errc::no_match, std::string("OCSP responder answers: ") + OCSP_response_status_str(status));
  std::shared_ptr<OCSP_BASICRESP> basic(OCSP_response_get1_basic(response.get()), OCSP_BASICRESP_free);
  if (!basic) return openssl_failure(Errc::malformed, "OCSP response of a kind that is not known");
  OcspResponse result;
  result.response_ = std::move(basic);
  return result;
}

Result<Bytes> ocsp_request(const Certificate& certificate, const Certificate& issuer) {
  const RequestHandle request(OCSP_REQUEST_new());
  // RFC 5019 §2.1.1: SHA-1 names the issuer; nothing rests on its strength.
  CertIdHandle id(OCSP_cert_to_id(EVP_sha1(), certificate.library_certificate(), issuer.library_certificate()));
  if (!request || !id || !OCSP_request_add0_id(request.get(), id.get()))
    return openssl_failure(Errc::internal, "OCSP request");
  id.release();  // the request owns it now
  Bytes der = encode(request.get(), i2d_OCSP_REQUEST);
  if (der.empty()) return openssl_failure(Errc::internal, "OCSP request");
  return der;
}

Result<OcspStatus> check_ocsp(const OcspResponse& response, const Certificate& certificate, const Certificate& issuer,
                              WallTime now) {
  OCSP_BASICRESP* basic = response.library_response();
  const auto status = find_status(basic, certificate, issuer);
  if (!status) return status;
  if (has_unknown_critical(basic)) return fail(Errc::invalid, "OCSP response with an unknown critical extension");
  if (auto fresh = check_fresh(*status, now); !fresh) return std::unexpected(fresh.error());
  if (auto signed_well = check_signature(basic, issuer, now); !signed_well) return std::unexpected(signed_well.error());
  return status;
}

}  // namespace culvert::crypto

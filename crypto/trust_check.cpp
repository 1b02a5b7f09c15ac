#include "trust_check.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "leaf_rules.h"
#include "openssl_handle.h"

namespace culvert::crypto {
namespace {

struct Mapping {
  int error;
  TrustError reason;
};

// OpenSSL's reasons in our terms; what is not listed is `malformed`.
constexpr std::array<Mapping, 27> mappings{{
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, TrustError::untrusted_issuer},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, TrustError::untrusted_issuer},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, TrustError::untrusted_issuer},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, TrustError::untrusted_issuer},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, TrustError::untrusted_issuer},
    {X509_V_ERR_CERT_UNTRUSTED, TrustError::untrusted_issuer},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, TrustError::bad_signature},
    {X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, TrustError::bad_signature},
    {X509_V_ERR_CERT_NOT_YET_VALID, TrustError::not_yet_valid},
    {X509_V_ERR_CERT_HAS_EXPIRED, TrustError::expired},
    {X509_V_ERR_CERT_REVOKED, TrustError::revoked},
    {X509_V_ERR_INVALID_CA, TrustError::not_a_ca},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, TrustError::path_length},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, TrustError::path_length},
    {X509_V_ERR_PERMITTED_VIOLATION, TrustError::name_constraints},
    {X509_V_ERR_EXCLUDED_VIOLATION, TrustError::name_constraints},
    {X509_V_ERR_SUBTREE_MINMAX, TrustError::name_constraints},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, TrustError::name_constraints},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, TrustError::name_constraints},
    {X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, TrustError::name_constraints},
    {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, TrustError::unknown_critical_extension},
    {X509_V_ERR_KEYUSAGE_NO_CERTSIGN, TrustError::key_usage},
    {X509_V_ERR_INVALID_POLICY_EXTENSION, TrustError::certificate_policy},
    {X509_V_ERR_NO_EXPLICIT_POLICY, TrustError::certificate_policy},
    {X509_V_ERR_EE_KEY_TOO_SMALL, TrustError::weak_key},
    {X509_V_ERR_CA_KEY_TOO_SMALL, TrustError::weak_key},
    {X509_V_ERR_CA_MD_TOO_WEAK, TrustError::weak_hash},
}};

TrustError reason_of(int error) {
  const auto row = std::ranges::find(mappings, error, &Mapping::error);
  return row == mappings.end() ? TrustError::malformed : row->reason;
}

/// There is no list for the certificate, or it is old, or speaks of others: nothing is wrong with the list itself.
bool is_missing_crl(int error) {
  return error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_CRL_HAS_EXPIRED ||
         error == X509_V_ERR_DIFFERENT_CRL_SCOPE;
}

bool is_unusable_crl(int error) {
  switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD:
    case X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
      return true;
    default:
      return false;
  }
}

bool is_anchor(X509_STORE_CTX* ctx) {
  return X509_STORE_CTX_get_error_depth(ctx) + 1 >= sk_X509_num(X509_STORE_CTX_get0_chain(ctx));
}

/// basicConstraints says that it is a CA: then it is keyUsage that OpenSSL minds.
bool is_ca_by_constraints(const Certificate& certificate) {
  return (X509_get_extension_flags(certificate.library_certificate()) & EXFLAG_CA) != 0;
}

/// `candidate` has the name that `certificate` calls its issuer.
bool same_name(const Certificate& candidate, const Certificate& certificate) {
  return X509_NAME_cmp(X509_get_subject_name(candidate.library_certificate()),
                       X509_get_issuer_name(certificate.library_certificate())) == 0;
}

}  // namespace

std::expected<std::vector<Certificate>, TrustFailure> ChainCheck::run(X509_STORE_CTX* ctx) {
  X509_STORE_CTX_set_app_data(ctx, this);
  X509_STORE_CTX_set_verify_cb(ctx, on_error);
  if (X509_verify_cert(ctx) != 1) {
    if (!failure_) record(ctx, X509_STORE_CTX_get_error(ctx));
    return std::unexpected(std::move(*failure_));
  }
  std::vector<Certificate> chain;
  const STACK_OF(X509)* found = X509_STORE_CTX_get0_chain(ctx);
  for (int i = 0; i < sk_X509_num(found); ++i) {
    const Certificate* certificate = find(sk_X509_value(found, i));
    if (!certificate) return std::unexpected(TrustFailure{TrustError::malformed, "a certificate from nowhere"});
    chain.push_back(*certificate);
  }
  for (const Certificate& certificate : chain) {
    if (auto failure = check_any_rules(certificate)) return std::unexpected(std::move(*failure));
  }
  if (auto failure = check_leaf_rules(chain.front(), options_.extended_key_usage))
    return std::unexpected(std::move(*failure));
  if (auto failure = check_ocsp_revoked(chain)) return std::unexpected(std::move(*failure));
  if (options_.revocation == RevocationPolicy::none) revocation_note_ = "revocation is not looked at";
  return chain;
}

// OpenSSL's verify callback: called at each complaint; 1 goes on as if there were none. A CRL that another certificate
// than the issuer signed makes it validate that one's chain in a nested context.
int ChainCheck::on_error(int ok, X509_STORE_CTX* ctx) {
  if (ok == 1) return 1;
  X509_STORE_CTX* outermost = ctx;
  while (X509_STORE_CTX* parent = X509_STORE_CTX_get0_parent_ctx(outermost)) outermost = parent;
  auto* self = static_cast<ChainCheck*>(X509_STORE_CTX_get_app_data(outermost));
  return self && self->accept(ctx, outermost != ctx) ? 1 : 0;
}

bool ChainCheck::accept(X509_STORE_CTX* ctx, bool of_crl_issuer) {
  const int error = X509_STORE_CTX_get_error(ctx);
  if (is_missing_crl(error)) return accept_without_crl(ctx, error, of_crl_issuer);
  if (is_unusable_crl(error)) {
    if (!unusable_crl_) unusable_crl_ = X509_STORE_CTX_get0_current_crl(ctx);
    if (!failure_) {
      const Certificate* certificate = find(X509_STORE_CTX_get_current_cert(ctx));
      failure_ =
          TrustFailure{TrustError::revocation_unknown, (certificate ? certificate->name() + ": " : std::string()) +
                                                           X509_verify_cert_error_string(error)};
    }
    return false;
  }
  // Inside, it is the CRL that falls: the outer context reports X509_V_ERR_CRL_PATH_VALIDATION_ERROR.
  if (!of_crl_issuer && !failure_) record(ctx, error);
  return false;
}

bool ChainCheck::accept_without_crl(X509_STORE_CTX* ctx, int error, bool of_crl_issuer) {
  if (is_anchor(ctx)) return true;  // nobody stands above it who could revoke it
  if (of_crl_issuer) return options_.revocation != RevocationPolicy::strict;
  const Certificate* certificate = find(X509_STORE_CTX_get_current_cert(ctx));
  const Certificate* issuer = issuer_in_chain(ctx);
  const auto ocsp = certificate && issuer ? ocsp_status(*certificate, *issuer) : std::nullopt;
  if (ocsp == OcspStatus::Status::good) return true;
  if (ocsp == OcspStatus::Status::revoked) {
    failure_ = TrustFailure{TrustError::revoked, who(certificate) + "revoked, says OCSP"};
    return false;
  }
  const std::string fact =
      who(certificate) + "revocation unknown (" +
      (error == X509_V_ERR_CRL_HAS_EXPIRED ? "the CRL has expired" : "no CRL and no OCSP response") + ")";
  if (options_.revocation == RevocationPolicy::strict) {
    failure_ = TrustFailure{TrustError::revocation_unknown, fact};
    return false;
  }
  if (revocation_note_.empty()) revocation_note_ = fact;
  return true;
}

void ChainCheck::record(X509_STORE_CTX* ctx, int error) {
  TrustError reason = reason_of(error);
  const Certificate* certificate = find(X509_STORE_CTX_get_current_cert(ctx));
  if (reason == TrustError::untrusted_issuer) {
    failure_ = untrusted(certificate, error);
    return;
  }
  std::string fact = X509_verify_cert_error_string(error);
  if (certificate && reason == TrustError::expired) fact = "expired " + wall_time_text(certificate->not_after());
  if (certificate && reason == TrustError::not_yet_valid)
    fact = "not valid before " + wall_time_text(certificate->not_before());
  if (certificate && reason == TrustError::weak_key && !certificate->public_key())
    fact = certificate->public_key().error().detail;
  if (reason == TrustError::not_a_ca && certificate && is_ca_by_constraints(*certificate)) {
    reason = TrustError::key_usage;
    fact = "its keyUsage does not allow to sign certificates";
  }
  failure_ = TrustFailure{reason, who(certificate) + fact};
}

/// OpenSSL passes over an issuer that does not fit, and says only that there is none: this says which one was meant.
TrustFailure ChainCheck::untrusted(const Certificate* certificate, int error) const {
  if (!certificate) return {TrustError::untrusted_issuer, X509_verify_cert_error_string(error)};
  if (auto failure = check_any_rules(*certificate)) return std::move(*failure);
  const std::string about = who(certificate);
  for (const auto& group : {candidates_.anchors, candidates_.intermediates, candidates_.sent}) {
    for (const Certificate& candidate : group) {
      if (candidate == *certificate || !same_name(candidate, *certificate)) continue;
      const int fit = X509_check_issued(candidate.library_certificate(), certificate->library_certificate());
      if (fit == X509_V_ERR_KEYUSAGE_NO_CERTSIGN)
        return {TrustError::key_usage, about + "its issuer " + candidate.name() + " may not sign certificates"};
      if (fit != X509_V_OK)
        return {TrustError::untrusted_issuer,
                about + "issued by another " + candidate.name() + " than the one we know"};
    }
  }
  if (certificate->is_self_issued()) return {TrustError::untrusted_issuer, about + "self-signed, and no CA of ours"};
  return {TrustError::untrusted_issuer, about + "its issuer " + certificate->issuer_text() + " is not known"};
}

std::string ChainCheck::who(const Certificate* certificate) const {
  const Certificate& leaf = candidates_.sent.front();
  if (!certificate || *certificate == leaf) return leaf.name() + ": ";
  return leaf.name() + ", CA certificate " + certificate->name() + ": ";
}

const Certificate* ChainCheck::find(const X509* library_certificate) const noexcept {
  for (const auto& group : {candidates_.sent, candidates_.intermediates, candidates_.anchors}) {
    const auto found = std::ranges::find(group, library_certificate, &Certificate::library_certificate);
    if (found != group.end()) return &*found;
  }
  return nullptr;
}

const Certificate* ChainCheck::issuer_in_chain(X509_STORE_CTX* ctx) const {
  return find(sk_X509_value(X509_STORE_CTX_get0_chain(ctx), X509_STORE_CTX_get_error_depth(ctx) + 1));
}

std::optional<OcspStatus::Status> ChainCheck::ocsp_status(const Certificate& certificate,
                                                          const Certificate& issuer) const {
  std::optional<OcspStatus> newest;
  if (!revocation_) return std::nullopt;
  for (const OcspResponse& response : revocation_->ocsp) {
    const auto status = check_ocsp(response, certificate, issuer, options_.now);
    if (status && (!newest || status->this_update > newest->this_update)) newest = *status;
  }
  if (!newest) return std::nullopt;
  return newest->status;
}

std::optional<TrustFailure> ChainCheck::check_ocsp_revoked(const std::vector<Certificate>& chain) const {
  if (options_.revocation == RevocationPolicy::none) return std::nullopt;
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    if (ocsp_status(chain[i], chain[i + 1]) == OcspStatus::Status::revoked)
      return TrustFailure{TrustError::revoked, who(&chain[i]) + "revoked, says OCSP"};
  }
  return std::nullopt;
}

}  // namespace culvert::crypto

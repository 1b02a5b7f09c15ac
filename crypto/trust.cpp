#include "culvert/crypto/trust.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <set>

#include "openssl_handle.h"
#include "openssl_x509.h"
#include "trust_check.h"

namespace culvert::crypto {
namespace {

constexpr std::size_t max_store_certificates = 1024;
constexpr std::size_t key_hash_len = 20;  // SHA-1
constexpr int auth_level = 2;             // OpenSSL's: 112 bits, so RSA of 2048 bits, and no SHA-1
constexpr int max_runs = 64;
constexpr const char* any_policy = "2.5.29.32.0";  // RFC 5280 §4.2.1.4
using KeyHash = std::array<std::uint8_t, key_hash_len>;

using StoreHandle = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;
using StoreCtxHandle = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;
using ObjectHandle = std::unique_ptr<ASN1_OBJECT, FreeWith<ASN1_OBJECT_free>>;

KeyHash key_hash(const Certificate& certificate) {
  KeyHash hash{};
  std::ranges::copy(certificate.spki_sha1(), hash.begin());
  return hash;
}

std::unexpected<TrustFailure> refuse(TrustError reason, std::string detail) {
  return std::unexpected(TrustFailure{reason, std::move(detail)});
}

bool remove(STACK_OF(X509_CRL) * crls, const X509_CRL* unusable) {
  for (int i = 0; i < sk_X509_CRL_num(crls); ++i) {
    if (sk_X509_CRL_value(crls, i) == unusable) return sk_X509_CRL_delete(crls, i) != nullptr;
  }
  return false;
}

bool add_policy(X509_VERIFY_PARAM* param, const char* dotted) {
  ObjectHandle object(OBJ_txt2obj(dotted, 1));
  if (!object || X509_VERIFY_PARAM_add0_policy(param, object.get()) != 1) return false;
  object.release();  // the parameters own it now
  return true;
}

/// The flags, time and limits that every verification has.
bool set_parameters(X509_STORE_CTX* ctx, const VerifyOptions& options) {
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(ctx);
  unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_POLICY_CHECK;
  if (options.revocation != RevocationPolicy::none) {
    flags |=
        X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL | X509_V_FLAG_EXTENDED_CRL_SUPPORT | X509_V_FLAG_USE_DELTAS;
  }
  // RFC 5280 §6.1.1 (c): any policy is acceptable unless some are asked for. OpenSSL takes an empty set at its word.
  if (options.policies.empty() && !add_policy(param, any_policy)) return false;
  if (!options.policies.empty()) flags |= X509_V_FLAG_EXPLICIT_POLICY;
  for (const std::string& policy : options.policies) {
    if (!add_policy(param, policy.c_str())) return false;
  }
  // The CN is never a host name here, so name constraints on host names do not bind it.
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  X509_VERIFY_PARAM_set_depth(param, max_chain_depth);
  X509_VERIFY_PARAM_set_auth_level(param, auth_level);
  X509_VERIFY_PARAM_set_time(param, static_cast<time_t>(options.now.time_since_epoch().count()));
  return X509_VERIFY_PARAM_set_flags(param, flags) == 1;
}

}  // namespace

struct TrustStore::Contents {
  std::vector<Certificate> anchors;
  std::vector<Certificate> intermediates;
  std::set<KeyHash> anchor_keys;
  StoreHandle store;
};

std::string_view trust_error_name(TrustError error) noexcept {
  switch (error) {
    case TrustError::no_certificate:
      return "no-certificate";
    case TrustError::too_many_certificates:
      return "too-many-certificates";
    case TrustError::untrusted_issuer:
      return "untrusted-issuer";
    case TrustError::bad_signature:
      return "bad-signature";
    case TrustError::expired:
      return "expired";
    case TrustError::not_yet_valid:
      return "not-yet-valid";
    case TrustError::revoked:
      return "revoked";
    case TrustError::revocation_unknown:
      return "revocation-unknown";
    case TrustError::not_a_ca:
      return "not-a-ca";
    case TrustError::path_length:
      return "path-length";
    case TrustError::name_constraints:
      return "name-constraints";
    case TrustError::unknown_critical_extension:
      return "unknown-critical-extension";
    case TrustError::key_usage:
      return "key-usage";
    case TrustError::extended_key_usage:
      return "extended-key-usage";
    case TrustError::certificate_policy:
      return "certificate-policy";
    case TrustError::weak_key:
      return "weak-key";
    case TrustError::weak_hash:
      return "weak-hash";
    case TrustError::malformed:
      return "malformed";
  }
  return "unknown";
}

Result<TrustStore> TrustStore::create(std::vector<Certificate> anchors, std::vector<Certificate> intermediates) {
  if (anchors.size() > max_store_certificates || intermediates.size() > max_store_certificates)
    return fail(Errc::exhausted, "more than 1024 CA certificates");
  auto contents = std::make_shared<Contents>();
  contents->store.reset(X509_STORE_new());
  if (!contents->store) return fail(Errc::internal, "X509_STORE_new");
  for (const Certificate& anchor : anchors) {
    if (!anchor.is_ca()) return fail(Errc::invalid, anchor.name() + ": not a CA certificate");
    if (!anchor.public_key()) return fail(Errc::invalid, anchor.name() + ": " + anchor.public_key().error().detail);
    if (X509_STORE_add_cert(contents->store.get(), anchor.library_certificate()) != 1)
      return openssl_failure(Errc::internal, "X509_STORE_add_cert");
    contents->anchor_keys.insert(key_hash(anchor));
  }
  contents->anchors = std::move(anchors);
  contents->intermediates = std::move(intermediates);
  return TrustStore(std::move(contents));
}

const std::vector<Certificate>& TrustStore::anchors() const noexcept {
  return contents_->anchors;
}

const std::vector<Certificate>& TrustStore::intermediates() const noexcept {
  return contents_->intermediates;
}

Bytes TrustStore::certification_authorities() const {
  Bytes hashes;
  for (const KeyHash& hash : contents_->anchor_keys) append(hashes, hash);
  return hashes;
}

bool TrustStore::has_authority_of(ByteView certification_authorities) const {
  Reader reader(certification_authorities);
  while (const auto bytes = reader.take(key_hash_len)) {
    KeyHash hash{};
    std::ranges::copy(*bytes, hash.begin());
    if (contents_->anchor_keys.contains(hash)) return true;
  }
  return false;
}

std::expected<VerifiedCertificate, TrustFailure> TrustStore::verify(std::span<const Certificate> sent,
                                                                    const VerifyOptions& options,
                                                                    const RevocationData* revocation) const {
  if (sent.empty()) return refuse(TrustError::no_certificate, "no certificate");
  const Certificate& leaf = sent.front();
  if (sent.size() > max_peer_certificates)
    return refuse(TrustError::too_many_certificates, leaf.name() + ": more than 16 certificates");

  const CertificatesHandle untrusted(sk_X509_new_null());
  const CrlsHandle crls(sk_X509_CRL_new_null());
  bool ok = untrusted && crls;
  for (const Certificate& certificate : sent.subspan(1))
    ok = ok && sk_X509_push(untrusted.get(), certificate.library_certificate()) > 0;
  for (const Certificate& certificate : contents_->intermediates)
    ok = ok && sk_X509_push(untrusted.get(), certificate.library_certificate()) > 0;
  if (revocation && options.revocation != RevocationPolicy::none) {
    for (const Crl& crl : revocation->crls) ok = ok && sk_X509_CRL_push(crls.get(), crl.library_crl()) > 0;
  }

  // OpenSSL takes the CRL that fits best and does not look for a second one when it turns out to be forged: it is taken
  // away then, and all begins again.
  for (int runs = 0; ok && runs < max_runs; ++runs) {
    const StoreCtxHandle ctx(X509_STORE_CTX_new());
    ok = ctx &&
         X509_STORE_CTX_init(ctx.get(), contents_->store.get(), leaf.library_certificate(), untrusted.get()) == 1 &&
         set_parameters(ctx.get(), options);
    if (!ok) break;
    X509_STORE_CTX_set0_crls(ctx.get(), crls.get());
    ChainCheck check(options, revocation, {sent, contents_->intermediates, contents_->anchors});
    auto chain = check.run(ctx.get());
    ERR_clear_error();
    if (chain) {
      VerifiedCertificate verified;
      verified.not_after_ = std::ranges::min(*chain, {}, &Certificate::not_after).not_after();
      verified.chain_ = std::move(*chain);
      verified.revocation_note_ = check.revocation_note();
      return verified;
    }
    if (!check.unusable_crl()) return std::unexpected(std::move(chain.error()));
    if (!remove(crls.get(), check.unusable_crl())) break;
  }
  ERR_clear_error();
  if (!ok) return refuse(TrustError::malformed, leaf.name() + ": the verification cannot be set up");
  return refuse(TrustError::revocation_unknown, leaf.name() + ": too many unusable CRLs");
}

}  // namespace culvert::crypto

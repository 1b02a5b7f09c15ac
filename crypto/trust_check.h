#pragma once
#include <openssl/x509_vfy.h>

#include <expected>
#include <span>
#include <string>
#include <vector>

#include "culvert/crypto/trust.h"

namespace culvert::crypto {

/// One run of OpenSSL's path validation with our rules around it: which of its complaints about CRLs count, what OCSP
/// says, and what RFC 4945 wants of a leaf. One thread, one use.
class ChainCheck {
 public:
  struct Candidates {
    std::span<const Certificate> sent;
    std::span<const Certificate> intermediates;
    std::span<const Certificate> anchors;
  };

  /// All arguments outlive the check.
  ChainCheck(const VerifyOptions& options, const RevocationData* revocation, Candidates candidates)
      : options_(options), revocation_(revocation), candidates_(candidates) {}

  /// The chain, leaf first, or why there is none.
  [[nodiscard]] std::expected<std::vector<Certificate>, TrustFailure> run(X509_STORE_CTX* ctx);
  /// What is not known of revocation though the chain was accepted; empty when all is known.
  [[nodiscard]] const std::string& revocation_note() const noexcept { return revocation_note_; }
  /// `run` failed for this CRL, which is forged, broken or not yet valid: run again without it. nullptr: not that.
  [[nodiscard]] const X509_CRL* unusable_crl() const noexcept { return unusable_crl_; }

 private:
  static int on_error(int ok, X509_STORE_CTX* ctx);
  bool accept(X509_STORE_CTX* ctx, bool of_crl_issuer);
  bool accept_without_crl(X509_STORE_CTX* ctx, int error, bool of_crl_issuer);
  void record(X509_STORE_CTX* ctx, int error);
  TrustFailure untrusted(const Certificate* certificate, int error) const;
  /// Who a complaint is about, for the log: the leaf, and which CA certificate above it.
  [[nodiscard]] std::string who(const Certificate* certificate) const;
  [[nodiscard]] const Certificate* find(const X509* library_certificate) const noexcept;
  [[nodiscard]] const Certificate* issuer_in_chain(X509_STORE_CTX* ctx) const;
  /// nullopt: no response that can be relied on.
  [[nodiscard]] std::optional<OcspStatus::Status> ocsp_status(const Certificate& certificate,
                                                              const Certificate& issuer) const;
  std::optional<TrustFailure> check_ocsp_revoked(const std::vector<Certificate>& chain) const;

  const VerifyOptions& options_;
  const RevocationData* revocation_;
  Candidates candidates_;
  std::optional<TrustFailure> failure_;
  std::string revocation_note_;
  const X509_CRL* unusable_crl_ = nullptr;
};

}  // namespace culvert::crypto

#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/crypto/certificate.h"

struct X509_crl_st;
struct ocsp_basic_response_st;

namespace culvert::crypto {

inline constexpr std::size_t max_crl_len = 64 * 1024 * 1024;     ///< bytes
inline constexpr std::size_t max_ocsp_response_len = 64 * 1024;  ///< bytes

/// A certificate revocation list as parsed (RFC 5280 §5); its signature is checked where a certificate is verified. A
/// value: copies share one immutable list; any thread.
class Crl {
 public:
  /// A file's content: PEM ("X509 CRL") or DER, one list. Errc::malformed; Errc::unsupported: an indirect CRL (one that
  /// speaks for other issuers) or a critical extension that we do not know; Errc::invalid: signed with a weak hash;
  /// Errc::exhausted: over max_crl_len.
  [[nodiscard]] static Result<Crl> from_file_content(ByteView content);

  [[nodiscard]] Bytes der() const;
  [[nodiscard]] std::string pem() const;
  [[nodiscard]] Bytes issuer() const;  ///< DER Name
  [[nodiscard]] std::string issuer_text() const;
  [[nodiscard]] std::optional<Bytes> number() const;  ///< cRLNumber, big-endian
  [[nodiscard]] WallTime this_update() const noexcept { return this_update_; }
  [[nodiscard]] std::optional<WallTime> next_update() const noexcept { return next_update_; }
  [[nodiscard]] std::size_t num_revoked() const noexcept;
  [[nodiscard]] bool is_delta() const noexcept { return delta_; }
  /// The list is this CA's, and its signature holds. For a message at loading time; verification checks again.
  [[nodiscard]] bool is_signed_by(const Certificate& ca) const;

  [[nodiscard]] X509_crl_st* library_crl() const noexcept { return crl_.get(); }

 private:
  Crl() = default;
  std::shared_ptr<X509_crl_st> crl_;
  WallTime this_update_{};
  std::optional<WallTime> next_update_;
  bool delta_ = false;
};

/// An OCSP response as parsed (RFC 6960 §4.2); who signed it is checked where it is used. A value, any thread.
class OcspResponse {
 public:
  /// The body of an answer. Errc::malformed; Errc::exhausted; Errc::no_match: the responder refused (its status in
  /// words).
  [[nodiscard]] static Result<OcspResponse> from_der(ByteView der);
  [[nodiscard]] ocsp_basic_response_st* library_response() const noexcept { return response_.get(); }

 private:
  OcspResponse() = default;
  std::shared_ptr<ocsp_basic_response_st> response_;
};

/// What an OCSP response says of one certificate.
struct OcspStatus {
  enum class Status : std::uint8_t { good, revoked, unknown } status = Status::unknown;
  WallTime this_update{};
  std::optional<WallTime> next_update;  ///< ask again then; without it, newer information is always there
};

inline constexpr std::chrono::seconds revocation_clock_skew{300};         ///< granted to thisUpdate and nextUpdate
inline constexpr std::chrono::seconds max_ocsp_age_without_next{86'400};  ///< a response without nextUpdate

/// The body of a request for `certificate` (RFC 6960 §4.1, RFC 5019: SHA-1 CertID, no nonce), for an HTTP POST with
/// application/ocsp-request.
[[nodiscard]] Result<Bytes> ocsp_request(const Certificate& certificate, const Certificate& issuer);
/// Checks that the response speaks for `certificate`, is signed by `issuer` or by one that it delegated (OCSPSigning,
/// RFC 6960 §4.2.2.2), and is fresh at `now`. Errc::no_match: speaks of others; Errc::authentication: its signature;
/// Errc::invalid: not fresh, weak hash or key.
[[nodiscard]] Result<OcspStatus> check_ocsp(const OcspResponse& response, const Certificate& certificate,
                                            const Certificate& issuer, WallTime now);

/// What the operator's files and responders say, one snapshot for any number of verifications and threads.
struct RevocationData {
  std::vector<Crl> crls;  ///< full and delta, of any issuer
  std::vector<OcspResponse> ocsp;
};

}  // namespace culvert::crypto

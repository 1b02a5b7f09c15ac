#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/crypto/public_key.h"

struct x509_st;

namespace culvert::crypto {

/// Wall-clock time, whole seconds: what certificates are valid by. Callers read the clock; nothing here does.
using WallTime = std::chrono::sys_seconds;

[[nodiscard]] std::string wall_time_text(WallTime time);  ///< "2026-11-22 17:00:00 UTC"

inline constexpr std::size_t max_certificate_len = 32 * 1024;  ///< bytes of DER
inline constexpr std::size_t max_alternative_names = 256;      ///< of one certificate
inline constexpr std::size_t max_bundle_certificates = 1024;   ///< of one file

/// One entry of a subjectAltName (RFC 5280 §4.2.1.6) that IKE can use; other kinds are left out.
struct AlternativeName {
  enum class Type : std::uint8_t { dns, email, ip, uri } type = Type::dns;
  std::string text;  ///< as in the certificate (no NUL in it); an address as IpAddress::to_string has it
  friend bool operator==(const AlternativeName&, const AlternativeName&) = default;
};

/// An X.509 certificate as parsed: well-formed, not yet trusted (TrustStore does that). A value: copies share one
/// immutable certificate; any thread.
class Certificate {
 public:
  /// One certificate in DER with nothing behind it. Errc::malformed, Errc::exhausted (over max_certificate_len).
  [[nodiscard]] static Result<Certificate> from_der(ByteView der);
  /// A file's content: PEM with one or more certificates (a chain, a bundle; other PEM blocks are passed over), or one
  /// DER. At least one, at most max_bundle_certificates. Errc::malformed says which one of them is broken.
  [[nodiscard]] static Result<std::vector<Certificate>> from_file_content(ByteView content);

  [[nodiscard]] const Bytes& der() const noexcept;
  [[nodiscard]] std::string pem() const;
  [[nodiscard]] const Bytes& subject() const noexcept;  ///< DER Name
  [[nodiscard]] const Bytes& issuer() const noexcept;   ///< DER Name
  [[nodiscard]] std::string subject_text() const;       ///< for people; control characters escaped
  [[nodiscard]] std::string issuer_text() const;
  /// The subject, or where it is empty the first alternative name, at most 256 characters: how log lines name it.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] const Bytes& serial() const noexcept;  ///< big-endian content of the INTEGER
  [[nodiscard]] std::string serial_text() const;       ///< "0a:1b:…"
  [[nodiscard]] WallTime not_before() const noexcept;
  [[nodiscard]] WallTime not_after() const noexcept;   ///< in this very second it counts as expired (OpenSSL)
  [[nodiscard]] bool is_ca() const noexcept;           ///< basicConstraints says so
  [[nodiscard]] bool is_self_issued() const noexcept;  ///< subject and issuer are equal
  [[nodiscard]] const std::vector<AlternativeName>& alternative_names() const noexcept;
  [[nodiscard]] const Bytes& subject_key_id() const noexcept;  ///< of the extension, or empty
  /// The http(s) addresses of its CRL distribution points and OCSP responders, at most 8 each. Only those of a
  /// certificate that the operator configured may ever be fetched.
  [[nodiscard]] std::vector<std::string> crl_urls() const;
  [[nodiscard]] std::vector<std::string> ocsp_urls() const;
  /// SHA-256 of der(), "aa:bb:…".
  [[nodiscard]] std::string fingerprint() const;
  /// SHA-1 of the SubjectPublicKeyInfo as it stands in the certificate (RFC 7296 §3.7), 20 bytes.
  [[nodiscard]] const Bytes& spki_sha1() const noexcept;
  /// Its key when we are willing to rely on it; errors as PublicKey::from_spki.
  [[nodiscard]] const Result<PublicKey>& public_key() const noexcept;

  // Does the certificate assert this identity? Exact matches: a "*" in a certificate matches nothing (RFC 4945 §3.1,
  // strongSwan: only the operator's own patterns match more than one name). The CN never stands for an FQDN.
  [[nodiscard]] bool asserts_fqdn(std::string_view name) const;    ///< a dNSName, without regard to case
  [[nodiscard]] bool asserts_email(std::string_view email) const;  ///< an rfc822Name: domain without regard to case
  [[nodiscard]] bool asserts_ip(const IpAddress& address) const;   ///< an iPAddress
  [[nodiscard]] bool asserts_dn(ByteView der_name) const;          ///< the subject, by RFC 5280 §7.1
  /// The subject, "*" as a value of the pattern standing for any (see matches_distinguished_name).
  [[nodiscard]] bool matches_dn(ByteView der_pattern) const;
  /// A key id (ID_KEY_ID): the subjectKeyIdentifier, SHA-1 of the key's bits, or of its SubjectPublicKeyInfo.
  [[nodiscard]] bool asserts_key_id(ByteView key_id) const;

  [[nodiscard]] x509_st* library_certificate() const noexcept;
  friend bool operator==(const Certificate& a, const Certificate& b) noexcept { return a.der() == b.der(); }

 private:
  struct Parsed;
  explicit Certificate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace culvert::crypto

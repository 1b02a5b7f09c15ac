#pragma once
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/revocation.h"

namespace culvert::crypto {

enum class RevocationPolicy : std::uint8_t {
  none,     ///< revocation is not looked at
  relaxed,  ///< refused only when known to be revoked
  strict,   ///< refused unless known not to be revoked, each certificate below the anchor
};

/// Why a certificate was refused.
enum class TrustError : std::uint8_t {
  no_certificate,
  too_many_certificates,
  untrusted_issuer,  ///< no configured CA stands above it
  bad_signature,
  expired,
  not_yet_valid,
  revoked,
  revocation_unknown,  ///< under RevocationPolicy::strict
  not_a_ca,            ///< an issuer that is no CA
  path_length,
  name_constraints,
  unknown_critical_extension,
  key_usage,
  extended_key_usage,
  certificate_policy,
  weak_key,
  weak_hash,  ///< signed with MD5 or SHA-1
  malformed,  ///< contradicts RFC 5280
};

[[nodiscard]] std::string_view trust_error_name(TrustError error) noexcept;  ///< "untrusted-issuer"

/// `detail` names the certificate's subject and the fact, for the log; never sent to the peer.
struct TrustFailure {
  TrustError reason = TrustError::untrusted_issuer;
  std::string detail;
};

/// RFC 4945 §5.1.3.12 takes a certificate with extendedKeyUsage only where it names ipsecIKE or any. Much of what is in
/// use (public CAs, Active Directory, strongSwan's own how-tos) has serverAuth, clientAuth or iKEIntermediate instead,
/// and strongSwan does not look: hence the default. What is neither, such as a code-signing certificate, is refused
/// in both.
enum class ExtendedKeyUsagePolicy : std::uint8_t { ike_or_tls, ike_only };

struct VerifyOptions {
  WallTime now{};
  RevocationPolicy revocation = RevocationPolicy::relaxed;
  ExtendedKeyUsagePolicy extended_key_usage = ExtendedKeyUsagePolicy::ike_or_tls;
  /// Certificate policies (dotted OIDs), one of which the whole chain must be valid for (RFC 5280 §6.1.1 (c)). Empty:
  /// any.
  std::vector<std::string> policies{};
};

inline constexpr std::size_t max_peer_certificates = 16;  ///< leaf and what else a peer sends
inline constexpr int max_chain_depth = 8;                 ///< CA certificates between leaf and anchor

/// Proof that a chain held at some time: only TrustStore::verify makes one.
class VerifiedCertificate {
 public:
  [[nodiscard]] const Certificate& leaf() const noexcept { return chain_.front(); }
  [[nodiscard]] const PublicKey& public_key() const noexcept { return *leaf().public_key(); }
  /// Leaf first, anchor last.
  [[nodiscard]] const std::vector<Certificate>& chain() const noexcept { return chain_; }
  [[nodiscard]] const Certificate& anchor() const noexcept { return chain_.back(); }
  /// The first moment at which something in the chain expires.
  [[nodiscard]] WallTime not_after() const noexcept { return not_after_; }
  /// All of the chain below the anchor is known not to be revoked. False under `none`, and under `relaxed` where
  /// knowledge is missing: `revocation_note` says what, for the log.
  [[nodiscard]] bool revocation_checked() const noexcept { return revocation_note_.empty(); }
  [[nodiscard]] const std::string& revocation_note() const noexcept { return revocation_note_; }

 private:
  friend class TrustStore;
  VerifiedCertificate() = default;
  std::vector<Certificate> chain_;
  WallTime not_after_{};
  std::string revocation_note_;
};

/// The CAs that the operator trusts, and the intermediate certificates that help to reach them. A value: copies share
/// one immutable store; verify may run on any number of threads at once.
class TrustStore {
 public:
  /// Each anchor is trusted for what it says (its own validity, path length and name constraints count), a root or not.
  /// Errc::invalid names an anchor that is no CA or has a weak key. At most 1024 of each.
  [[nodiscard]] static Result<TrustStore> create(std::vector<Certificate> anchors,
                                                 std::vector<Certificate> intermediates = {});

  [[nodiscard]] const std::vector<Certificate>& anchors() const noexcept;
  [[nodiscard]] const std::vector<Certificate>& intermediates() const noexcept;
  /// CERTREQ's Certification Authority field (RFC 7296 §3.7): the SHA-1 of each anchor's SubjectPublicKeyInfo, one
  /// behind the other.
  [[nodiscard]] Bytes certification_authorities() const;
  /// One of our anchors' hashes stands in this CERTREQ data (of a peer).
  [[nodiscard]] bool has_authority_of(ByteView certification_authorities) const;

  /// `sent` are the peer's certificates: the first is the one whose key signs (RFC 7296 §3.6), the others may be in any
  /// order, useless or repeated. `revocation` may be null. About 0.1 ms a certificate.
  [[nodiscard]] std::expected<VerifiedCertificate, TrustFailure> verify(std::span<const Certificate> sent,
                                                                        const VerifyOptions& options,
                                                                        const RevocationData* revocation) const;

 private:
  struct Contents;
  explicit TrustStore(std::shared_ptr<const Contents> contents) : contents_(std::move(contents)) {}
  std::shared_ptr<const Contents> contents_;
};

}  // namespace culvert::crypto

#pragma once
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/config/http_url.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/revocation.h"
#include "culvert/crypto/trust.h"
#include "culvert/ike/revocation_feed.h"

namespace culvert::config {

/// Where the operator says that revoked certificates are to be found, for one `peer_auth` (or several that are alike).
/// The daemon reads and fetches, and publishes into the feed that ike's configuration holds too.
struct RevocationSources {
  std::string key;  ///< of the table, for messages: "peer.tokyo.peer_auth"
  std::shared_ptr<const crypto::TrustStore> trust;
  std::shared_ptr<ike::RevocationFeed> feed;
  std::vector<std::filesystem::path> crl_files;
  std::vector<HttpUrl> crl_urls;
  std::optional<HttpUrl> ocsp;
};

/// A CRL file that is sound by itself; the error names the file.
[[nodiscard]] Result<crypto::Crl> read_crl(const std::filesystem::path& file);
/// One of the CAs signed it.
[[nodiscard]] bool is_of(const crypto::Crl& crl, const crypto::TrustStore& trust);

/// One of ours, or of a CA: what stops working when it expires.
struct WatchedCertificate {
  std::string key;  ///< where it is configured: "gateway.auth.certificate"
  crypto::Certificate certificate;
};

inline constexpr std::chrono::days expiry_notice{30};
/// "CN=gw expires in 12 days, on …" when fewer than expiry_notice are left, or what else is wrong with its dates.
[[nodiscard]] std::optional<std::string> expiry_warning(const WatchedCertificate& watched, crypto::WallTime now);

}  // namespace culvert::config

#pragma once
#include <sys/types.h>

#include "revocation.h"

namespace culvert::daemon {

struct RevocationKeeper::FileStamp {
  ino_t inode = 0;
  off_t size = -1;
  std::int64_t seconds = 0, nanoseconds = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

/// One place of a CRL, whoever uses it.
struct RevocationKeeper::List {
  std::string name;  ///< path or URL
  std::optional<std::filesystem::path> file;
  std::optional<config::HttpUrl> url;
  std::vector<std::shared_ptr<const crypto::TrustStore>> trusts;  ///< whose CAs it may be of
  std::optional<crypto::Crl> crl;                                 ///< the latest sound one
  std::string trouble;                                            ///< with the last try, or empty
  FileStamp stamp;
  crypto::WallTime next_fetch{};
  int failures = 0;
  bool under_way = false;
};

struct RevocationKeeper::Source {
  config::RevocationSources config;
  std::vector<std::size_t> lists;
};

/// A chain that waits for its OCSP responses.
struct RevocationKeeper::Check {
  std::shared_ptr<ike::RevocationFeed> feed;
  std::string responder;
  std::vector<crypto::Certificate> chain;
  std::vector<crypto::OcspResponse> found;
  std::size_t num_open = 0;
  Checked done;
};

}  // namespace culvert::daemon

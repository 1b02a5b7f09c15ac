#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/time.h"
#include "culvert/config/certificates.h"
#include "culvert/control/protocol.h"
#include "culvert/crypto/revocation.h"
#include "http_client.h"

namespace culvert::daemon {

struct RevocationOptions {
  std::chrono::milliseconds look_interval{5000};  ///< between two looks at the CRL files
  std::chrono::milliseconds ocsp_timeout{5000};   ///< a peer waits for it
  NameLookup::Function lookup;                    ///< for tests; empty: the system's
  std::function<crypto::WallTime()> wall_clock;   ///< for tests; empty: the system's
};

/// Keeps what is known of revoked certificates fresh: CRL files are read again when they change, CRL addresses fetched
/// again before their list is out of date, OCSP responders asked when a peer's chain is to be checked. What is broken,
/// older than what is there, or signed by somebody else never takes the place of what is there. Publishes into the
/// feeds of ike's configuration. Lives on the control thread.
class RevocationKeeper {
 public:
  using Checked = std::function<void(std::shared_ptr<const crypto::RevocationData>)>;

  RevocationKeeper(boost::asio::io_context& io, std::vector<config::RevocationSources> sources,
                   RevocationOptions options = {});
  ~RevocationKeeper();
  RevocationKeeper(const RevocationKeeper&) = delete;
  RevocationKeeper& operator=(const RevocationKeeper&) = delete;

  /// Reads all files now, and begins to fetch.
  void start();
  /// Other sources in place of those of before. Lists that both have are not fetched again: what is known of them is
  /// published at once.
  void replace(std::vector<config::RevocationSources> sources);
  /// Everything anew, as the operator wants it (SIGHUP).
  void refresh();
  /// Asks the responder of `feed` about each certificate of `chain` (leaf first, anchor last) of which no fresh answer
  /// is kept. `done` gets the CRLs and what was answered, within ocsp_timeout and a moment; never after this is gone.
  void check(const std::shared_ptr<ike::RevocationFeed>& feed, std::vector<crypto::Certificate> chain, Checked done);

  [[nodiscard]] std::vector<control::RevocationReport> report() const;

 private:
  struct List;
  struct FileStamp;
  struct Source;
  struct Check;

  [[nodiscard]] crypto::WallTime now() const { return options_.wall_clock(); }
  void add(config::RevocationSources sources);
  [[nodiscard]] std::size_t list_of_file(const std::filesystem::path& file);
  [[nodiscard]] std::size_t list_of_url(const config::HttpUrl& url);
  void arm();
  void look();
  bool look_at_file(List& list);  ///< true: there is a newer list
  void fetch(std::size_t list);
  void on_fetched(std::size_t list, Result<Bytes> body);
  bool take(List& list, Result<crypto::Crl> crl);  ///< true: it counts
  bool fail_list(List& list, std::string why);     ///< false, to be returned
  void publish_all(std::size_t list);
  void publish(Source& source);
  [[nodiscard]] std::shared_ptr<const crypto::RevocationData> data_of(const Source& source) const;
  void on_answer(const std::shared_ptr<Check>& check, std::size_t index, Result<Bytes> body);
  void finish(const std::shared_ptr<Check>& check);
  void forget_old_answers();

  RevocationOptions options_;
  HttpClient http_;
  boost::asio::steady_timer timer_;
  bool started_ = false, armed_ = false;
  std::vector<std::unique_ptr<List>> lists_;  ///< places in it stay what they are
  std::vector<std::unique_ptr<Source>> sources_;
  struct Answer {
    crypto::OcspResponse response;
    crypto::WallTime good_until;
  };
  std::map<std::string, Answer> answers_;  ///< by responder, issuer and certificate
};

}  // namespace culvert::daemon

#pragma once
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/config/http_url.h"
#include "name_lookup.h"

namespace culvert::daemon {

struct HttpRequest {
  config::HttpUrl url;
  Bytes body;                                 ///< GET without, POST with
  std::string content_type;                   ///< of the body
  std::size_t max_len = 16u << 20;            ///< bytes of the answer; a longer one is an error
  std::chrono::milliseconds timeout{30'000};  ///< for all of it: name, connection, answer
};

/// Fetches over HTTP/1.1 what the operator named, for CRLs and OCSP: plain TCP, IPv4 and IPv6, no cookies, no
/// compression. Only "200 OK" counts; a redirect is an error that says where it leads, because following it would fetch
/// what nobody configured. Lives on the control thread.
class HttpClient {
 public:
  using Done = std::function<void(Result<Bytes>)>;

  /// `lookup` is for tests; empty: the system's.
  explicit HttpClient(boost::asio::io_context& io, NameLookup::Function lookup = {});
  ~HttpClient();  ///< what is under way is forgotten
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// `done` runs once, later, with the body or with what went wrong as a sentence that names the URL; never after this
  /// is gone.
  void fetch(HttpRequest request, Done done);

 private:
  class Transfer;
  void finish(std::uint64_t id, Result<Bytes> result);

  boost::asio::io_context& io_;
  NameLookup names_;
  std::map<std::uint64_t, std::shared_ptr<Transfer>> transfers_;
  std::uint64_t next_ = 0;
};

}  // namespace culvert::daemon

#include "http_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <utility>

#include "culvert/base/log.h"

namespace culvert::daemon {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;
using Body = http::vector_body<std::uint8_t>;
using Tcp = asio::ip::tcp;

constexpr std::size_t max_header_len = 16 * 1024;
constexpr std::size_t max_tried_addresses = 8;
constexpr std::size_t max_location_len = 200;  ///< of a redirect, as it is shown
constexpr std::chrono::seconds connect_timeout{5};

Tcp::endpoint to_endpoint(const IpAddress& address, std::uint16_t port) {
  if (address.is_v4()) {
    asio::ip::address_v4::bytes_type bytes;
    std::ranges::copy(address.bytes(), bytes.begin());
    return {asio::ip::address_v4(bytes), port};
  }
  asio::ip::address_v6::bytes_type bytes;
  std::ranges::copy(address.bytes(), bytes.begin());
  return {asio::ip::address_v6(bytes), port};
}

std::string text_of(boost::beast::string_view text) {
  return log::sanitize(std::string_view(text.data(), std::min(text.size(), max_location_len)));
}

}  // namespace

/// One request on its way. Every operation holds it, so it outlives the map of the client; once `finished_` nothing it
/// does is seen any more.
class HttpClient::Transfer : public std::enable_shared_from_this<Transfer> {
 public:
  Transfer(HttpClient& client, std::uint64_t id, HttpRequest request, Done done)
      : client_(client),
        id_(id),
        request_(std::move(request)),
        done_(std::move(done)),
        socket_(client.io_),
        deadline_(client.io_),
        attempt_(client.io_) {}

  void start() {
    deadline_.expires_after(request_.timeout);
    deadline_.async_wait([self = shared_from_this()](const ErrorCode& error) {
      if (!error) self->fail_with(fmt::format("no whole answer within {} s", self->timeout_s()));
    });
    client_.names_.find(request_.url.host, [self = shared_from_this()](Result<std::vector<IpAddress>> found) {
      if (self->finished_) return;
      if (!found)
        return self->fail_with(fmt::format("{} does not resolve: {}", self->request_.url.host, found.error().detail));
      self->addresses_ = std::move(*found);
      self->addresses_.resize(std::min(self->addresses_.size(), max_tried_addresses));
      self->connect_next();
    });
  }

  /// Ends it without a word.
  void abandon() {
    finished_ = true;
    ErrorCode ignored;
    deadline_.cancel();
    attempt_.cancel();
    socket_.close(ignored);
  }

  Done take_done() { return std::move(done_); }

 private:
  [[nodiscard]] double timeout_s() const { return static_cast<double>(request_.timeout.count()) / 1000; }

  void fail_with(std::string_view why) {
    if (!finished_) client_.finish(id_, fail(Errc::io, fmt::format("{}: {}", request_.url.to_string(), why)));
  }

  void connect_next() {
    if (next_address_ == addresses_.size())
      return fail_with(trouble_.empty() ? "it has no address" : "no connection: " + trouble_);
    const IpAddress address = addresses_[next_address_++];
    ErrorCode ignored;
    socket_.close(ignored);
    attempt_.expires_after(connect_timeout);
    attempt_.async_wait([self = shared_from_this()](const ErrorCode& error) {
      ErrorCode ignored_too;
      if (!error && !self->finished_) self->socket_.close(ignored_too);
    });
    socket_.async_connect(to_endpoint(address, request_.url.port),
                          [self = shared_from_this(), address](const ErrorCode& error) {
                            if (self->finished_) return;
                            if (!error && self->socket_.is_open()) return self->send();
                            self->note_trouble(address, error);
                            self->connect_next();
                          });
  }

  void note_trouble(const IpAddress& address, const ErrorCode& error) {
    if (!trouble_.empty()) trouble_ += "; ";
    const bool timed_out = !error || error == asio::error::operation_aborted;
    trouble_ += fmt::format("{}: {}", address.to_string(), timed_out ? "no answer" : error.message());
  }

  void send() {
    attempt_.cancel();
    message_.version(11);
    message_.method(request_.body.empty() ? http::verb::get : http::verb::post);
    message_.target(request_.url.target);
    message_.set(http::field::host, request_.url.authority());
    message_.set(http::field::user_agent, "culvert");
    message_.set(http::field::connection, "close");
    if (!request_.body.empty()) message_.set(http::field::content_type, request_.content_type);
    message_.body() = std::move(request_.body);
    message_.prepare_payload();
    http::async_write(socket_, message_, [self = shared_from_this()](const ErrorCode& error, std::size_t) {
      if (self->finished_) return;
      if (error) return self->fail_with(error.message());
      self->receive();
    });
  }

  void receive() {
    parser_.header_limit(max_header_len);
    parser_.body_limit(request_.max_len);
    http::async_read(socket_, buffer_, parser_, [self = shared_from_this()](const ErrorCode& error, std::size_t) {
      if (!self->finished_) self->on_answer(error);
    });
  }

  void on_answer(const ErrorCode& error) {
    if (error == http::error::body_limit || error == http::error::header_limit)
      return fail_with(fmt::format("the answer is longer than {} bytes", request_.max_len));
    if (error) return fail_with(fmt::format("no HTTP answer: {}", error.message()));
    const auto& answer = parser_.get();
    const unsigned status = answer.result_int();
    if (status >= 300 && status < 400) {
      return fail_with(
          fmt::format("the server redirects to {}, and redirects are not followed: if that is meant, name it "
                      "in the configuration",
                      text_of(answer[http::field::location])));
    }
    if (status != 200) return fail_with(fmt::format("the server says {} {}", status, text_of(answer.reason())));
    client_.finish(id_, std::move(parser_.get().body()));
  }

  HttpClient& client_;  ///< there as long as finished_ is false
  const std::uint64_t id_;
  HttpRequest request_;
  Done done_;
  Tcp::socket socket_;
  asio::steady_timer deadline_, attempt_;
  std::vector<IpAddress> addresses_;
  std::size_t next_address_ = 0;
  std::string trouble_;
  http::request<Body> message_;
  boost::beast::flat_buffer buffer_{max_header_len + 64 * 1024};
  http::response_parser<Body> parser_;
  bool finished_ = false;
};

HttpClient::HttpClient(asio::io_context& io, NameLookup::Function lookup) : io_(io), names_(io, std::move(lookup)) {}

HttpClient::~HttpClient() {
  for (const auto& [id, transfer] : transfers_) transfer->abandon();
}

void HttpClient::fetch(HttpRequest request, Done done) {
  const std::uint64_t id = next_++;
  const auto transfer = std::make_shared<Transfer>(*this, id, std::move(request), std::move(done));
  transfers_.emplace(id, transfer);
  transfer->start();
}

void HttpClient::finish(std::uint64_t id, Result<Bytes> result) {
  const auto found = transfers_.extract(id);
  if (!found) return;
  const std::shared_ptr<Transfer> transfer = found.mapped();
  transfer->abandon();
  const Done done = transfer->take_done();
  done(std::move(result));
}

}  // namespace culvert::daemon

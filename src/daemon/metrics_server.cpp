#include "metrics_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_static_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "culvert/base/log.h"
#include "unix_socket.h"

namespace culvert::daemon {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;

constexpr std::size_t buffer_len = 16 * 1024;

std::optional<IpAddress> address_of(const sockaddr_storage& from) {
  if (from.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
    return IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(&v4.sin_addr), 4});
  }
  if (from.ss_family != AF_INET6) return std::nullopt;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
  return IpAddress::from_bytes({v6.sin6_addr.s6_addr, 16});
}

socklen_t fill(const Endpoint& endpoint, sockaddr_storage& to) {
  to = {};
  if (endpoint.address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(to);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::ranges::copy(endpoint.address.bytes(), reinterpret_cast<std::uint8_t*>(&v4.sin_addr));
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(endpoint.port);
  std::ranges::copy(endpoint.address.bytes(), v6.sin6_addr.s6_addr);
  return sizeof v6;
}

}  // namespace

/// One connection. Its handlers keep it alive; `server_` outlives every handler that still runs, as drop() cancels them
/// all.
class MetricsServer::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(MetricsServer& server, Protocol::socket socket)
      : server_(&server), socket_(std::move(socket)), limit_(socket_.get_executor()) {}

  void start() {
    request_.header_limit(static_cast<std::uint32_t>(server_->options_.max_request_len));
    request_.body_limit(0);
    arm_limit();
    http::async_read(socket_, buffer_, request_, [self = shared_from_this()](const ErrorCode& error, std::size_t) {
      if (self->server_ != nullptr) self->on_request(error);
    });
  }

  void close() {
    server_ = nullptr;
    limit_.cancel();
    ErrorCode ignored;
    socket_.close(ignored);
  }

  [[nodiscard]] bool has_asked() const noexcept { return has_asked_; }

 private:
  void finish() {
    if (server_ != nullptr) server_->drop(shared_from_this());
  }

  /// For a whole request, or a piece of the response, however slowly its bytes trickle.
  void arm_limit() {
    limit_.expires_after(server_->options_.timeout);
    limit_.async_wait([self = shared_from_this()](const ErrorCode& error) {
      if (!error) self->finish();
    });
  }

  void on_request(const ErrorCode& error) {
    has_asked_ = true;
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return refuse(431, "Request Header Fields Too Large");
    if (error == http::error::body_limit) return refuse(413, "Content Too Large");
    if (error == http::error::end_of_stream || error.category() != http::make_error_code(http::error{}).category())
      return error ? finish() : answer();
    refuse(400, "Bad Request");
  }

  void answer() {
    const auto& request = request_.get();
    const std::string_view target(request.target().data(), request.target().size());
    if (target.substr(0, target.find('?')) != "/metrics")
      return refuse(404, "Not Found", "/metrics is what there is\n");
    const bool head_only = request.method() == http::verb::head;
    if (!head_only && request.method() != http::verb::get) return refuse(405, "Method Not Allowed");
    const auto accept = request[http::field::accept];
    const MetricsFormat format = format_for({accept.data(), accept.size()});
    body_ = server_->exposition(format);
    respond(200, "OK", content_type(format), !head_only);
  }

  void refuse(unsigned status, std::string_view reason, std::string_view text = "") {
    body_ = std::make_shared<const std::string>(text.empty() ? fmt::format("{}\n", reason) : text);
    respond(status, reason, "text/plain; charset=utf-8", true);
  }

  /// The body is shared with others who ask at the same time, and as large as the gateway has peers: it is not copied.
  void respond(unsigned status, std::string_view reason, std::string_view type, bool with_body) {
    head_ = fmt::format(
        "HTTP/1.1 {} {}\r\nServer: culvertd\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{}Connection: close\r\n\r\n",
        status, reason, type, body_->size(), status == 405 ? "Allow: GET, HEAD\r\n" : "");
    rest_ = {asio::buffer(head_), with_body ? asio::buffer(*body_) : asio::const_buffer()};
    write();
  }

  /// In pieces, each within the time allowed: a large response may take longer than a small one.
  void write() {
    std::array<asio::const_buffer, 2> piece = rest_;
    std::size_t room = server_->options_.slowest_write;
    for (auto& part : piece) {
      part = asio::buffer(part, room);
      room -= part.size();
    }
    arm_limit();
    socket_.async_write_some(piece, [self = shared_from_this()](const ErrorCode& error, std::size_t len) {
      if (self->server_ == nullptr) return;
      if (error) return self->finish();
      for (auto& part : self->rest_) {
        const std::size_t written = std::min(len, part.size());
        part += written;
        len -= written;
      }
      if (asio::buffer_size(self->rest_) > 0) return self->write();
      self->say_goodbye();
    });
  }

  /// Closing while bytes of the client are unread would reset the connection, and perhaps what it has not read yet.
  void say_goodbye() {
    ErrorCode ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    body_.reset();
    drain(buffer_len);
  }

  /// Until the client has closed, too, within the time that is left.
  void drain(std::size_t most) {
    socket_.async_read_some(asio::buffer(rubbish_),
                            [self = shared_from_this(), most](const ErrorCode& error, std::size_t len) {
                              if (self->server_ == nullptr) return;
                              if (error || len >= most) return self->finish();
                              self->drain(most - len);
                            });
  }

  MetricsServer* server_;  ///< null once dropped
  Protocol::socket socket_;
  asio::steady_timer limit_;
  boost::beast::flat_static_buffer<buffer_len> buffer_;
  http::request_parser<http::empty_body> request_;
  std::string head_;
  std::shared_ptr<const std::string> body_;
  std::array<asio::const_buffer, 2> rest_;
  std::array<char, 512> rubbish_{};
  bool has_asked_ = false;
};

Result<std::unique_ptr<MetricsServer>> MetricsServer::open(asio::io_context& io, MetricsServerOptions options,
                                                           Maker maker) {
  std::unique_ptr<MetricsServer> server(new MetricsServer(io, std::move(options), std::move(maker)));
  if (auto listening = server->listen(); !listening) return std::unexpected(listening.error());
  server->accept();
  return server;
}

MetricsServer::MetricsServer(asio::io_context& io, MetricsServerOptions options, Maker maker)
    : options_(std::move(options)), maker_(std::move(maker)), acceptor_(io), accept_pause_(io) {}

MetricsServer::~MetricsServer() {
  for (const auto& client : clients_) client->close();
  if (bound_path_) unlink(options_.address.path.c_str());
}

Result<void> MetricsServer::listen() {
  const bool is_unix = !options_.address.path.empty();
  auto fd = is_unix ? listen_unix(options_.address.path, "metrics socket", find_group(options_.group),
                                  static_cast<int>(options_.max_clients))
                    : listen_tcp();
  if (!fd) return std::unexpected(fd.error());
  bound_path_ = is_unix;
  const int family = is_unix ? AF_UNIX : options_.address.endpoint.address.is_v4() ? AF_INET : AF_INET6;
  ErrorCode error;
  acceptor_.assign(Protocol(family, 0), *fd, error);
  return {};
}

Result<int> MetricsServer::listen_tcp() const {
  const Endpoint& endpoint = options_.address.endpoint;
  sockaddr_storage address;
  const socklen_t len = fill(endpoint, address);
  const int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  const bool ready = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                     (endpoint.address.is_v4() || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
                     bind(fd, reinterpret_cast<const sockaddr*>(&address), len) == 0 &&
                     ::listen(fd, static_cast<int>(options_.max_clients)) == 0;
  if (ready) return fd;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  return fail(Errc::io, fmt::format("metrics on {}: {}", endpoint.to_string(), std::strerror(error)), error);
}

std::uint16_t MetricsServer::port() const {
  sockaddr_storage address{};
  socklen_t len = sizeof address;
  // asio's native_handle is not const
  const int fd = const_cast<boost::asio::basic_socket_acceptor<Protocol>&>(acceptor_).native_handle();
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &len) != 0) return 0;
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(address).sin_port
                                            : reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

void MetricsServer::accept() {
  acceptor_.async_accept([this](const ErrorCode& error, Protocol::socket socket) {
    if (error == asio::error::operation_aborted) return;  // we are going away
    if (!error) {
      on_accept(std::move(socket));
      return accept();
    }
    // Out of descriptors, most likely: the connection still waits in the backlog, and would wake us at once again.
    accept_pause_.expires_after(std::chrono::milliseconds(200));
    accept_pause_.async_wait([this](const ErrorCode& cancelled) {
      if (!cancelled) accept();
    });
  });
}

void MetricsServer::on_accept(Protocol::socket socket) {
  if (!may_ask(socket.native_handle()) || !make_room()) return;  // closed without a word
  const auto client = std::make_shared<Client>(*this, std::move(socket));
  clients_.push_back(client);
  client->start();
}

/// The mode of a unix socket says it for that.
bool MetricsServer::may_ask(int fd) const {
  if (!options_.address.path.empty()) return true;
  sockaddr_storage from{};
  socklen_t len = sizeof from;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&from), &len) != 0) return false;
  const auto address = address_of(from);
  if (!address) return false;
  if (address->is_loopback() || *address == options_.address.endpoint.address) return true;
  return std::ranges::any_of(options_.from, [&](const IpPrefix& prefix) { return prefix.contains(*address); });
}

/// Who connects and says nothing keeps nobody out.
bool MetricsServer::make_room() {
  if (clients_.size() < options_.max_clients) return true;
  const auto idle = std::ranges::find_if(clients_, [](const auto& client) { return !client->has_asked(); });
  if (idle == clients_.end()) return false;
  drop(std::shared_ptr<Client>(*idle));
  return true;
}

void MetricsServer::drop(const std::shared_ptr<Client>& client) {
  client->close();
  clients_.remove(client);
}

std::shared_ptr<const std::string> MetricsServer::exposition(MetricsFormat format) {
  Exposition& last = expositions_[static_cast<std::size_t>(format)];
  const auto begin = Clock::now();
  if (last.text && begin < last.good_until) return last.text;
  last.text = std::make_shared<const std::string>(maker_(format));
  const auto end = Clock::now();
  last_took_ = end - begin;
  last.good_until = end + 10 * (end - begin);
  return last.text;
}

}  // namespace culvert::daemon

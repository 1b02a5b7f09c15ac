#include "control_server.h"

#include <fmt/format.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>
#include <vector>

#include "culvert/base/log.h"
#include "unix_socket.h"

namespace culvert::daemon {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

std::string response_line(const control::Response& response) {
  return control::to_json(response) + "\n";
}

std::string refusal(std::string code, std::string text) {
  control::Response response;
  response.code = std::move(code);
  response.error = std::move(text);
  return response_line(response);
}

}  // namespace

/// One connection. Its handlers keep it alive; `server_` outlives every handler that still runs, as drop() cancels them
/// all.
class ControlServer::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(ControlServer& server, Protocol::socket socket)
      : server_(&server), socket_(std::move(socket)), limit_(socket_.get_executor()) {}

  void start() {
    arm_limit();
    read();
  }

  void close() {
    server_ = nullptr;
    limit_.cancel();
    ErrorCode ignored;
    socket_.close(ignored);
  }

 private:
  void finish() {
    if (server_ != nullptr) server_->drop(shared_from_this());
  }

  /// A whole request or a whole response within the time allowed, however slowly its bytes trickle.
  void arm_limit() {
    limit_.expires_after(server_->options_.timeout);
    limit_.async_wait([self = shared_from_this()](const ErrorCode& error) {
      if (!error) self->finish();
    });
  }

  void read() {
    socket_.async_read_some(asio::buffer(chunk_), [self = shared_from_this()](const ErrorCode& error, std::size_t len) {
      if (self->server_ == nullptr) return;
      if (error) return self->finish();
      self->received_.append(self->chunk_.data(), len);
      self->take_line();
    });
  }

  void take_line() {
    const std::size_t end = received_.find('\n');
    if (end == std::string::npos ? received_.size() > control::max_request_len : end > control::max_request_len) {
      last_ = true;
      return write(refusal("malformed", fmt::format("a request has at most {} bytes", control::max_request_len)));
    }
    if (end == std::string::npos) return read();
    const std::string line = received_.substr(0, end);
    received_.erase(0, end + 1);
    auto request = control::parse_request(line);
    const ucred peer = credentials();
    const bool is_root = peer.uid == 0 || peer.uid == geteuid();
    // What cannot be read as a configuration is quoted in the answer.
    if (request && request->command == "diff" && !request->what.empty() && !is_root)
      return write(refusal("invalid", "only root may have any file read as a configuration"));
    if (!request) return write(refusal("malformed", request.error().detail));
    if (request->command == "keys" && !is_root) {
      log::warn("control socket: uid {} (pid {}) asked for keys: refused", peer.uid, peer.pid);
      return write(refusal("invalid", "only root may have keys"));
    }
    request->by = fmt::format("uid {} (pid {})", peer.uid, peer.pid);
    const control::Response response = server_->handler_(*request);
    if (response.ok && control::is_stream(*request)) stream_ = *request;
    write(response_line(response));
  }

  /// Of nobody when they cannot be known.
  [[nodiscard]] ucred credentials() {
    ucred peer{};
    socklen_t len = sizeof peer;
    if (getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) peer.uid = UINT32_MAX;
    return peer;
  }

  void write(std::string line) {
    response_ = std::move(line);
    arm_limit();
    asio::async_write(socket_, asio::buffer(response_),
                      [self = shared_from_this()](const ErrorCode& error, std::size_t) {
                        sodium_memzero(self->response_.data(), self->response_.size());  // it may have had keys in it
                        if (self->server_ == nullptr) return;
                        if (error || self->last_) return self->finish();
                        if (self->stream_) return self->hand_over();
                        self->arm_limit();
                        self->take_line();
                      });
  }

  void hand_over() {
    const Streamer& streamer = server_->streamer_;
    Protocol::socket socket = std::move(socket_);
    finish();
    streamer(*stream_, std::move(socket));
  }

  ControlServer* server_;  ///< null once dropped
  Protocol::socket socket_;
  asio::steady_timer limit_;
  std::array<char, 4096> chunk_{};
  std::string received_;  ///< at most a request and a chunk
  std::string response_;
  std::optional<control::Request> stream_;  ///< what the connection is for, once this has been answered
  bool last_ = false;
};

Result<std::unique_ptr<ControlServer>> ControlServer::open(asio::io_context& io, ControlServerOptions options,
                                                           Handler handler) {
  std::unique_ptr<ControlServer> server(new ControlServer(io, std::move(options), std::move(handler)));
  if (auto listening = server->listen(); !listening) return std::unexpected(listening.error());
  server->accept();
  return server;
}

ControlServer::ControlServer(asio::io_context& io, ControlServerOptions options, Handler handler)
    : io_(io), options_(std::move(options)), handler_(std::move(handler)), acceptor_(io), accept_pause_(io) {}

ControlServer::~ControlServer() {
  for (const auto& client : clients_) client->close();
  if (bound_) unlink(options_.path.c_str());
}

Result<void> ControlServer::listen() {
  group_ = find_group(options_.group);
  auto fd = listen_unix(options_.path, "control socket", group_, static_cast<int>(options_.max_clients));
  if (!fd) return std::unexpected(fd.error());
  ErrorCode error;
  acceptor_.assign(Protocol(), *fd, error);
  bound_ = true;
  return {};
}

void ControlServer::accept() {
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

void ControlServer::on_accept(Protocol::socket socket) {
  const bool allowed = may_use(socket.native_handle());
  if (!allowed || clients_.size() >= options_.max_clients) {
    const std::string line =
        allowed ? refusal("busy", fmt::format("{} clients are being served: try again", options_.max_clients))
                : refusal("invalid", "only root and the control group may use this socket");
    // Into the empty buffer of a fresh socket, or not at all.
    (void)!send(socket.native_handle(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return;
  }
  const auto client = std::make_shared<Client>(*this, std::move(socket));
  clients_.insert(client);
  client->start();
}

/// The file's mode already says who may connect; this holds even where the directory or the mode was changed by hand.
bool ControlServer::may_use(int fd) const {
  ucred peer{};
  socklen_t len = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) return false;
  if (peer.uid == 0 || peer.uid == geteuid()) return true;
  if (group_) {
    if (peer.gid == *group_) return true;
    std::vector<gid_t> groups(65536);  // the kernel's NGROUPS_MAX
    len = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &len) == 0) {
      groups.resize(len / sizeof(gid_t));
      if (std::ranges::find(groups, *group_) != groups.end()) return true;
    }
  }
  log::warn("control socket: uid {} (pid {}) is neither root nor in the control group: refused", peer.uid, peer.pid);
  return false;
}

void ControlServer::drop(const std::shared_ptr<Client>& client) {
  client->close();
  clients_.erase(client);
}

}  // namespace culvert::daemon

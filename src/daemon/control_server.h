#pragma once
#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "culvert/base/result.h"
#include "culvert/control/protocol.h"

namespace culvert::daemon {

struct ControlServerOptions {
  std::filesystem::path path;
  std::string group;  ///< may use the socket beside root, when it exists
  std::size_t max_clients = 16;
  std::chrono::milliseconds timeout{5000};  ///< to send a whole request, and to take a whole response
};

/// The unix socket of the `culvert` command: one JSON request a line, one response a line. Runs on the control thread
/// and never waits for a client: every read and write is asynchronous, bounded in size and in time.
class ControlServer {
 public:
  using Handler = std::function<control::Response(const control::Request&)>;
  using Protocol = boost::asio::local::stream_protocol;
  /// Gets the connection of a request for a stream (control::is_stream), once it has been answered well. It no longer
  /// counts as a client, and has no time limit.
  using Streamer = std::function<void(const control::Request&, Protocol::socket)>;

  /// Makes the directory (0755), removes a socket on which nobody listens, and listens: mode 0660 and the group when
  /// that exists, else 0600. Errc::invalid: another daemon listens there, or the path is no socket.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> open(boost::asio::io_context& io,
                                                                   ControlServerOptions options, Handler handler);
  ~ControlServer();  ///< closes all clients and removes the socket
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  void stream_by(Streamer streamer) { streamer_ = std::move(streamer); }
  [[nodiscard]] std::size_t num_clients() const noexcept { return clients_.size(); }

 private:
  class Client;

  ControlServer(boost::asio::io_context& io, ControlServerOptions options, Handler handler);
  [[nodiscard]] Result<void> listen();
  void accept();
  void on_accept(Protocol::socket socket);
  [[nodiscard]] bool may_use(int fd) const;
  void drop(const std::shared_ptr<Client>& client);

  boost::asio::io_context& io_;
  ControlServerOptions options_;
  Handler handler_;
  Streamer streamer_ = [](const control::Request&, Protocol::socket) {};
  Protocol::acceptor acceptor_;
  boost::asio::steady_timer accept_pause_;
  std::set<std::shared_ptr<Client>> clients_;
  std::optional<gid_t> group_;
  bool bound_ = false;
};

}  // namespace culvert::daemon

#pragma once
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/config/config.h"
#include "open_metrics.h"

namespace culvert::daemon {

struct MetricsServerOptions {
  config::MetricsAddress address;
  std::vector<IpPrefix> from;  ///< who may ask beside this machine itself; of TCP
  std::string group;           ///< of a unix socket: may ask beside root, when it exists
  std::size_t max_clients = 16;
  std::size_t max_request_len = 8192;       ///< bytes of a request's head; a body is refused
  std::chrono::milliseconds timeout{5000};  ///< to send a whole request, and for each of…
  std::size_t slowest_write = 256 * 1024;   ///< …these bytes of the response
};

/// GET /metrics over HTTP/1.1, one request a connection. Runs on the control thread and never waits for a client: every
/// read and write is asynchronous, bounded in size and in time, and so is the number of connections. Where all are
/// taken a new one takes the place of the oldest that has not asked for anything yet. An exposition is made at most so
/// often that making them takes a tenth of the thread's time; who asks in between gets the last one.
class MetricsServer {
 public:
  using Maker = std::function<std::string(MetricsFormat)>;

  /// Listens. Errc::io and Errc::invalid name the address.
  [[nodiscard]] static Result<std::unique_ptr<MetricsServer>> open(boost::asio::io_context& io,
                                                                   MetricsServerOptions options, Maker maker);
  ~MetricsServer();  ///< closes all connections, and removes a unix socket
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  /// From the next connection on, in place of those of before.
  void allow(std::vector<IpPrefix> from) { options_.from = std::move(from); }
  [[nodiscard]] std::size_t num_clients() const noexcept { return clients_.size(); }
  /// It took so long to make the last one; 0: none was made.
  [[nodiscard]] std::chrono::duration<double> last_took() const noexcept { return last_took_; }
  /// The port that TCP listens on, for tests that let the kernel choose.
  [[nodiscard]] std::uint16_t port() const;

 private:
  class Client;
  using Protocol = boost::asio::generic::stream_protocol;
  using Clock = std::chrono::steady_clock;
  struct Exposition {
    std::shared_ptr<const std::string> text;
    Clock::time_point good_until{};
  };

  MetricsServer(boost::asio::io_context& io, MetricsServerOptions options, Maker maker);
  [[nodiscard]] Result<void> listen();
  [[nodiscard]] Result<int> listen_tcp() const;
  void accept();
  void on_accept(Protocol::socket socket);
  [[nodiscard]] bool may_ask(int fd) const;
  [[nodiscard]] bool make_room();
  void drop(const std::shared_ptr<Client>& client);
  [[nodiscard]] std::shared_ptr<const std::string> exposition(MetricsFormat format);

  MetricsServerOptions options_;
  Maker maker_;
  boost::asio::basic_socket_acceptor<Protocol> acceptor_;
  boost::asio::steady_timer accept_pause_;
  std::list<std::shared_ptr<Client>> clients_;  ///< the oldest first
  Exposition expositions_[2];                   ///< by MetricsFormat
  std::chrono::duration<double> last_took_{};
  bool bound_path_ = false;
};

}  // namespace culvert::daemon

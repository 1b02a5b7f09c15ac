#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "culvert/base/ids.h"
#include "culvert/base/time.h"
#include "culvert/control/ping.h"
#include "culvert/wire/echo.h"

namespace culvert::daemon {

/// `culvert ping`: each has a connection of the control socket and gets a line for every answer, and for every one that
/// did not come. Bounded: so many at a time, so many a second each, and one that does not read is let go. Control
/// thread.
class Pinger {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;
  /// Sends a question of `size` bytes of inner packet. False: it did not leave.
  using Send = std::function<bool(ChildId child, const wire::Echo& echo, std::size_t size, bool whole)>;

  Pinger(boost::asio::io_context& io, Send send) : io_(io), send_(std::move(send)) {}
  ~Pinger() { close(); }
  Pinger(const Pinger&) = delete;
  Pinger& operator=(const Pinger&) = delete;

  [[nodiscard]] bool has_room() const noexcept { return sessions_.size() < control::max_pingers; }
  /// Until it has all its answers, or closes its end.
  void add(Socket socket, ChildId child, const control::PingRequest& request);
  /// An answer to one of these, that is to say with is_ping(echo.id). `by`: the child on which it came, where the
  /// answer itself does not prove that it is one. `rtt` is without what it lay with the other end.
  void on_answer(const wire::Echo& echo, std::optional<ChildId> by, Duration rtt);
  void close();

  [[nodiscard]] static bool is_ping(std::uint32_t id) noexcept { return (id & mark) != 0; }

 private:
  class Session;
  static constexpr std::uint32_t mark = 0x80000000;  ///< no ChildId goes so far
  void drop(const std::shared_ptr<Session>& session);

  boost::asio::io_context& io_;
  Send send_;
  std::set<std::shared_ptr<Session>> sessions_;
  std::uint32_t last_id_ = 0;
};

}  // namespace culvert::daemon

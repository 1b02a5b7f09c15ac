#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/base/time.h"

struct nl_sock;
struct nl_msg;

namespace culvert::daemon {

/// Says that links, addresses or routes of this network namespace have changed: one word for a burst of events, soon
/// after its first, and seldom while they do not end (a routing daemon that reads a full table). Owned by the control
/// thread.
class NetworkWatch {
 public:
  /// `ignore`: whether a device is of no interest (our own tunnels). `lost`: at once, for such a device that has gone.
  /// All are called on the thread of `io`.
  /// Errc::io: no netlink socket.
  [[nodiscard]] static Result<std::unique_ptr<NetworkWatch>> open(boost::asio::io_context& io,
                                                                  std::function<bool(int ifindex)> ignore,
                                                                  std::function<void(int ifindex)> lost,
                                                                  std::function<void()> changed);
  ~NetworkWatch();
  NetworkWatch(const NetworkWatch&) = delete;
  NetworkWatch& operator=(const NetworkWatch&) = delete;

 private:
  struct Close {
    void operator()(nl_sock* socket) const noexcept;
  };
  NetworkWatch(boost::asio::io_context& io, nl_sock* socket, std::function<bool(int ifindex)> ignore,
               std::function<void(int ifindex)> lost, std::function<void()> changed);
  static int on_message(nl_msg* message, void* self);
  void wait();
  void read();
  void plan();

  std::unique_ptr<nl_sock, Close> socket_;
  boost::asio::posix::stream_descriptor events_;
  boost::asio::steady_timer timer_;
  std::function<bool(int ifindex)> ignore_;
  std::function<void(int ifindex)> lost_;
  std::function<void()> changed_;
  std::vector<int> gone_;  ///< ignored ones, by the read under way
  bool noticed_ = false;  ///< by the read under way
  bool planned_ = false;
  TimePoint told_{};  ///< the last time
  Duration pause_;
  Duration cost_{};  ///< how long the last one took
};

}  // namespace culvert::daemon

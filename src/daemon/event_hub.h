#pragma once
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "culvert/base/log.h"
#include "culvert/control/events.h"

namespace culvert::daemon {

/// Those who watch by the control socket: each gets a line for every event that it wants. Nobody is waited for: what
/// does not fit into the socket waits, up to max_watcher_backlog bytes, and what comes then is counted, and its number
/// told as soon as there is room. Control thread.
class EventHub {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;

  /// `on_change` hears whenever the first one comes and the last one goes.
  explicit EventHub(std::function<void(bool watched)> on_change);
  ~EventHub();
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  [[nodiscard]] bool is_watched() const noexcept { return !watchers_.empty(); }
  [[nodiscard]] bool has_room() const noexcept { return watchers_.size() < control::max_watchers; }
  [[nodiscard]] std::size_t num_watchers() const noexcept { return watchers_.size(); }
  /// Until it closes its end. `peer`: only what concerns this peer and its clients; empty: everything.
  void add(Socket socket, std::string peer);
  void publish(const control::EventReport& event);
  /// What fits into the sockets goes out, and they are closed.
  void close();

 private:
  class Watcher;
  void drop(const std::shared_ptr<Watcher>& watcher);

  std::function<void(bool)> on_change_;
  std::set<std::shared_ptr<Watcher>> watchers_;
};

/// UTC, milliseconds.
[[nodiscard]] std::string rfc3339(std::chrono::system_clock::time_point time);
/// The event that a line of the log is.
[[nodiscard]] control::EventReport make_event(const log::Subject& about, std::string_view text,
                                              std::chrono::system_clock::time_point now);

}  // namespace culvert::daemon

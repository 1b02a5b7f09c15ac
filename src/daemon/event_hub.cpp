#include "event_hub.h"

#include <fmt/chrono.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <utility>

namespace culvert::daemon {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

}  // namespace

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(milliseconds / 1000), milliseconds % 1000);
}

control::EventReport make_event(const log::Subject& about, std::string_view text,
                                std::chrono::system_clock::time_point now) {
  return {rfc3339(now),      std::string(event_name(about.event)),
          about.peer,        about.tunnel,
          about.spi,         about.reason,
          std::string(text), std::nullopt};
}

/// One connection. Its handlers keep it alive; `hub_` is null once it has been dropped.
class EventHub::Watcher : public std::enable_shared_from_this<Watcher> {
 public:
  Watcher(EventHub& hub, Socket socket, std::string peer)
      : hub_(&hub), socket_(std::move(socket)), peer_(std::move(peer)) {}

  void start() { wait_for_end(); }

  [[nodiscard]] bool wants(const control::EventReport& event) const {
    if (peer_.empty() || event.event == event_name(EventKind::stopping)) return true;
    if (!event.peer.starts_with(peer_)) return false;
    return event.peer.size() == peer_.size() || event.peer[peer_.size()] == '/';  // a client of it
  }

  void take(const std::string& line) {
    if ((missed_ > 0 && !tell_missed()) || !append(line)) ++missed_;
    if (!waiting_) flush();
  }

  void close() {
    hub_ = nullptr;
    flush_now();
    ErrorCode ignored;
    socket_.close(ignored);
  }

  void flush_now() {
    while (!backlog_.empty()) {
      const ssize_t sent =
          ::send(socket_.native_handle(), backlog_.data(), backlog_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent <= 0) return;
      backlog_.erase(0, static_cast<std::size_t>(sent));
    }
  }

 private:
  bool append(const std::string& line) {
    if (backlog_.size() + line.size() > control::max_watcher_backlog) return false;
    backlog_ += line;
    return true;
  }

  bool tell_missed() {
    control::EventReport event{.time = rfc3339(std::chrono::system_clock::now()),
                               .event = std::string(event_name(EventKind::missed)),
                               .peer = {},
                               .tunnel = {},
                               .spi = {},
                               .reason = {},
                               .text = fmt::format("{} events are missing here: they were not read in time", missed_),
                               .missed = missed_};
    if (!append(control::to_json(event) + "\n")) return false;
    missed_ = 0;
    return true;
  }

  /// What the socket takes now; the rest when it takes more.
  void flush() {
    flush_now();
    if (backlog_.empty() && missed_ > 0) {
      (void)tell_missed();
      flush_now();
    }
    if (backlog_.empty()) return;
    waiting_ = true;
    socket_.async_wait(Socket::wait_write, [self = shared_from_this()](const ErrorCode& error) {
      self->waiting_ = false;
      if (self->hub_ == nullptr || error) return;
      self->flush();
    });
  }

  /// Nothing more is expected of it but its end.
  void wait_for_end() {
    socket_.async_read_some(asio::buffer(chunk_), [self = shared_from_this()](const ErrorCode& error, std::size_t) {
      if (self->hub_ == nullptr) return;
      if (error) return self->hub_->drop(self);
      self->wait_for_end();
    });
  }

  EventHub* hub_;
  Socket socket_;
  std::string peer_;
  std::string backlog_;
  std::uint64_t missed_ = 0;
  bool waiting_ = false;  ///< for the socket to take more
  std::array<char, 256> chunk_{};
};

EventHub::EventHub(std::function<void(bool watched)> on_change) : on_change_(std::move(on_change)) {}

EventHub::~EventHub() {
  on_change_ = [](bool) {};  // whom it would tell may be gone
  close();
}

void EventHub::add(Socket socket, std::string peer) {
  if (!has_room()) return;  // closed: it was asked for when there was some
  const auto watcher = std::make_shared<Watcher>(*this, std::move(socket), std::move(peer));
  watchers_.insert(watcher);
  watcher->start();
  if (watchers_.size() == 1) on_change_(true);
}

void EventHub::publish(const control::EventReport& event) {
  if (watchers_.empty()) return;
  const std::string line = control::to_json(event) + "\n";
  for (const auto& watcher : watchers_)
    if (watcher->wants(event)) watcher->take(line);
}

void EventHub::close() {
  if (watchers_.empty()) return;
  for (const auto& watcher : std::exchange(watchers_, {})) watcher->close();
  on_change_(false);
}

void EventHub::drop(const std::shared_ptr<Watcher>& watcher) {
  const std::shared_ptr<Watcher> kept = watcher;
  kept->close();
  watchers_.erase(kept);
  if (watchers_.empty()) on_change_(false);
}

}  // namespace culvert::daemon

#include "pinger.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <utility>

namespace culvert::daemon {
namespace {

/// How long an answer is waited for, as ping(8) does not less than a second.
constexpr Duration answer_time = std::chrono::seconds(2);

}  // namespace

/// One connection. Its handlers keep it alive; `pinger_` is null once it has been dropped.
class Pinger::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Pinger& pinger, Socket socket, std::uint32_t id, ChildId child, const control::PingRequest& request)
      : pinger_(&pinger), socket_(std::move(socket)), timer_(pinger.io_), id_(id), child_(child), request_(request) {}

  void start() {
    next_at_ = Clock::now();
    wait_for_end();
    run();
  }
  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
  [[nodiscard]] ChildId child() const noexcept { return child_; }

  void on_answer(const wire::Echo& echo, Duration rtt) {
    const auto asked = std::find_if(asked_.begin(), asked_.end(), [&](const Asked& one) {
      return static_cast<std::uint16_t>(one.sequence) == echo.sequence;
    });
    if (asked == asked_.end()) return;  // too late, or twice
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(rtt).count();
    const std::uint64_t sequence = asked->sequence;
    asked_.erase(asked);
    tell({sequence, static_cast<std::uint64_t>(us), true});
    run();
  }

  void close() {
    pinger_ = nullptr;
    timer_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  struct Asked {
    std::uint64_t sequence;
    TimePoint at;
  };
  [[nodiscard]] bool wants_more() const noexcept { return request_.count == 0 || sequence_ < request_.count; }

  /// What is due: losses, and the next question; then sleeps until there is more.
  void run() {
    const TimePoint now = Clock::now();
    while (pinger_ != nullptr && !asked_.empty() && now - asked_.front().at >= answer_time) {
      const std::uint64_t sequence = asked_.front().sequence;
      asked_.pop_front();
      tell({sequence, std::nullopt, true});
    }
    if (pinger_ != nullptr && wants_more() && now >= next_at_) ask(now);
    if (pinger_ == nullptr) return;
    if (asked_.empty() && !wants_more()) return pinger_->drop(shared_from_this());
    TimePoint next = wants_more() ? next_at_ : TimePoint::max();
    if (!asked_.empty()) next = std::min(next, asked_.front().at + answer_time);
    timer_.expires_at(next);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && self->pinger_ != nullptr) self->run();
    });
  }

  void ask(TimePoint now) {
    next_at_ = std::max(next_at_ + request_.interval, now + request_.interval / 2);
    const std::uint64_t sequence = ++sequence_;
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
    const wire::Echo echo{
        wire::Echo::Type::question, static_cast<std::uint16_t>(sequence), id_, static_cast<std::uint64_t>(ns), 0, 0};
    if (!pinger_->send_(child_, echo, request_.size, request_.dont_fragment))
      return tell({sequence, std::nullopt, false});
    asked_.push_back({sequence, now});
  }

  /// One that does not read its lines has no use for more of them.
  void tell(const control::PingReport& report) {
    if (pinger_ == nullptr) return;
    const std::string line = control::to_json(report) + "\n";
    const ssize_t sent = ::send(socket_.native_handle(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(line.size())) pinger_->drop(shared_from_this());
  }

  /// Nothing more is expected of it but its end.
  void wait_for_end() {
    socket_.async_read_some(boost::asio::buffer(chunk_),
                            [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
                              if (self->pinger_ == nullptr) return;
                              if (error) return self->pinger_->drop(self);
                              self->wait_for_end();
                            });
  }

  Pinger* pinger_;
  Socket socket_;
  boost::asio::steady_timer timer_;
  const std::uint32_t id_;
  const ChildId child_;
  const control::PingRequest request_;
  std::uint64_t sequence_ = 0;
  TimePoint next_at_{};
  std::deque<Asked> asked_;  ///< the oldest first; no more than answer_time / min_ping_interval
  std::array<char, 64> chunk_{};
};

void Pinger::add(Socket socket, ChildId child, const control::PingRequest& request) {
  if (!has_room()) return;  // closed: it was asked for when there was some
  const auto session = std::make_shared<Session>(*this, std::move(socket), mark | ++last_id_, child, request);
  sessions_.insert(session);
  session->start();
}

void Pinger::on_answer(const wire::Echo& echo, std::optional<ChildId> by, Duration rtt) {
  const auto found = std::find_if(sessions_.begin(), sessions_.end(),
                                  [&](const std::shared_ptr<Session>& session) { return session->id() == echo.id; });
  if (found == sessions_.end() || (by && (*found)->child() != *by)) return;
  const std::shared_ptr<Session> session = *found;  // it may drop itself
  session->on_answer(echo, rtt);
}

void Pinger::close() {
  for (const auto& session : std::exchange(sessions_, {})) session->close();
}

void Pinger::drop(const std::shared_ptr<Session>& session) {
  const std::shared_ptr<Session> kept = session;
  kept->close();
  sessions_.erase(kept);
}

}  // namespace culvert::daemon

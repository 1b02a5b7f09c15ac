// The daemon as a service: readiness, status, watchdog, and the descriptors that outlive a restart.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "culvert/base/log.h"
#include "daemon.h"

namespace culvert::daemon {

void Daemon::be_managed() {
  keep_descriptors();
  manager_.say_ready(summary(Clock::now()));
  be_alive();
}

/// From the event loop, so that one that hangs is noticed.
void Daemon::be_alive() {
  const auto interval = manager_.watchdog_interval();
  if (!interval) return;
  manager_.say_alive();
  watchdog_.expires_after(*interval);
  watchdog_.async_wait([this](const boost::system::error_code& error) {
    if (!error && !stopping_) be_alive();
  });
}

std::string Daemon::summary(TimePoint now) const {
  const auto peers = ike_->status(now);
  const auto num_up = std::ranges::count(peers, ike::PeerStatus::State::established, &ike::PeerStatus::state);
  return fmt::format("{} of {} peers up", num_up, peers.size());
}

/// Seldom where there are many peers: it costs a look at each.
void Daemon::report_status(TimePoint now) {
  if (!manager_.is_there()) return;
  const auto pause = std::chrono::milliseconds(config_.peers.size());
  if (now - status_reported_ < pause * 10) return;
  status_reported_ = now;
  manager_.say_status(summary(now));
}

void Daemon::keep_descriptors() {
  manager_.keep(plane_->descriptors());
}

/// Somebody has deleted one of our devices. The SAs are as good as before.
void Daemon::on_lost_device(int ifindex) {
  if (stopping_ || !machine_->owns(ifindex)) return;
  if (auto renewed = machine_->renew_device(*plane_, ifindex); !renewed)
    return log::error("{}", renewed.error().detail);
  tell(log::Level::info, log::Subject{.event = EventKind::device_renewed},
       "a device that somebody had deleted is there again");
  manager_.keep({});  // the manager has given the device's up when it was gone
  keep_descriptors();
}

}  // namespace culvert::daemon

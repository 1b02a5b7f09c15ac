// What happens is told to those who watch, as it is to those who read the log.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "daemon.h"
#include "trace_report.h"

namespace culvert::daemon {

/// A line of the log that is an event, too. `text` and what `about` says have been sanitized where somebody else chose
/// them.
void Daemon::tell(log::Level level, const log::Subject& about, const std::string& text) {
  if (events_.is_watched()) events_.publish(make_event(about, text, std::chrono::system_clock::now()));
  if (log::enabled(level)) log::write(level, text, about);
}

/// Whom nobody knows is a mistake in typing more often than a peer that is to come. Clients come and go.
bool Daemon::is_mistyped(const std::string& name) const {
  if (name.empty() || name.contains('/')) return false;
  return config_.peer_named(name) == nullptr;
}

control::Response Daemon::answer_monitor(const control::Request& request) const {
  control::Response response;
  if (is_mistyped(request.peer)) {
    response.code = "not_found";
    response.error = "there is no such peer";
  } else if (!events_.has_room()) {
    response.code = "busy";
    response.error = fmt::format("{} others watch: that is as many as may", events_.num_watchers());
  } else {
    response.ok = true;
  }
  return response;
}

void Daemon::watch(const control::Request& request, ControlServer::Protocol::socket socket) {
  if (stopping_) return;
  if (request.command == "monitor") return events_.add(std::move(socket), request.peer);
  if (request.command == "mtu") return send_mtu(request.peer, std::move(socket));
  const auto child = pinged_child(request.peer);
  const auto ping = control::parse_ping(request.what);
  if (child && ping) pinger_.add(std::move(socket), *child, *ping);
}

control::Response Daemon::answer_trace(const control::Request& request) const {
  control::Response response;
  auto entries = ike_->trace(request.peer);
  response.ok = !entries.empty() || !is_mistyped(request.peer);
  if (!response.ok) {
    response.code = "not_found";
    response.error = "there is no such peer";
    return response;
  }
  const auto wall = std::chrono::system_clock::now();
  const TimePoint now = Clock::now();
  auto& trace = response.trace.emplace();
  for (const ike::TraceEntry& entry : entries)
    trace.push_back(make_trace(entry, wall - std::chrono::duration_cast<std::chrono::milliseconds>(now - entry.time)));
  return response;
}

}  // namespace culvert::daemon

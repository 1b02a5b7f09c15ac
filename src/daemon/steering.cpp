// What the operator steers beside up and down: the log, reauthentication, and what became of the routes.
#include <fmt/format.h>

#include <array>

#include "culvert/base/log.h"
#include "daemon.h"
#include "route_report.h"

namespace culvert::daemon {
namespace {

constexpr std::array<std::string_view, 4> level_names = {"debug", "info", "warning", "error"};

std::string_view level_name(log::Level level) {
  return level_names[static_cast<std::size_t>(level)];
}

log::Level current_level() {
  for (const log::Level level : {log::Level::debug, log::Level::info, log::Level::warn})
    if (log::enabled(level)) return level;
  return log::Level::error;
}

}  // namespace

/// Until a reload, which brings the level of the configuration back.
control::Response Daemon::answer_log_level(const std::string& wanted) {
  for (std::size_t i = 0; i < level_names.size(); ++i) {
    if (level_names[i] != wanted) continue;
    tell(log::Level::warn, log::Subject{.event = EventKind::log_level},
         fmt::format("the operator sets the log's level: {} (was {})", wanted, level_name(current_level())));
    log::set_level(static_cast<log::Level>(i));
  }
  control::Response response;
  response.ok = true;
  response.log_level.emplace(std::string(level_name(current_level())),
                             std::string(level_name(config_.gateway.log_level)));
  return response;
}

control::Response Daemon::answer_routes() {
  control::Response response;
  auto routes = machine_->report_routes();
  response.ok = routes.has_value();
  if (routes) {
    response.routes = std::move(*routes);
  } else {
    response.code = "invalid";
    response.error = routes.error().detail;
  }
  return response;
}

Result<std::vector<control::RouteReport>> Machine::report_routes() {
  const auto kernel = netlink_.all_routes();
  if (!kernel) return std::unexpected(kernel.error());
  const auto rules = netlink_.our_rules();
  if (!rules) return std::unexpected(rules.error());
  std::vector<DeviceRoute> guards;
  for (const GuardRecord& guard : ours_.guards) guards.push_back({guard.to, {guard.table, 0}, our_protocol});
  return daemon::report_routes(*config_, guards, *kernel, *rules);
}

}  // namespace culvert::daemon

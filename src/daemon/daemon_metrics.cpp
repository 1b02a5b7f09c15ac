// What /metrics serves.
#include <chrono>

#include "daemon.h"

namespace culvert::daemon {

Result<void> Daemon::open_metrics() {
  metrics_.reset();
  if (!config_.gateway.metrics) return {};
  MetricsServerOptions options;
  options.address = *config_.gateway.metrics;
  options.from = config_.gateway.metrics_from;
  options.group = config_.gateway.control_group;
  auto server =
      MetricsServer::open(io_, std::move(options), [this](MetricsFormat format) { return write_metrics(format); });
  if (!server) return std::unexpected(server.error());
  metrics_ = std::move(*server);
  return {};
}

std::string Daemon::write_metrics(MetricsFormat format) {
  const ike::Measures measures = ike_->measures();
  return make_metrics(format, {config_, *plane_, measures, config_history_, counter_history_,
                               [this](TunnelId id) { return machine_->mtu(id); }, Clock::now(),
                               std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()), started_at_,
                               metrics_->last_took().count()});
}

}  // namespace culvert::daemon

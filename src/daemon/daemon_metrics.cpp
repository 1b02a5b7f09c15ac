// What /metrics serves.
#include <chrono>

#include "daemon.h"

namespace culvert::daemon {

Result<std::unique_ptr<MetricsServer>> Daemon::open_metrics() {
  if (!config_.gateway.metrics) return std::unique_ptr<MetricsServer>();
  MetricsServerOptions options;
  options.address = *config_.gateway.metrics;
  options.from = config_.gateway.metrics_from;
  options.group = config_.gateway.control_group;
  return MetricsServer::open(io_, std::move(options), [this](MetricsFormat format) { return write_metrics(format); });
}

/// What of a reload cannot fail.
void Daemon::change_metrics(const config::Config& before) {
  if (before.gateway.metrics != config_.gateway.metrics) {
    metrics_ = std::move(next_metrics_);
  } else if (metrics_) {
    metrics_->allow(config_.gateway.metrics_from);
  }
}

void Daemon::note_counters() {
  if (metrics_) counter_history_.note(config_, *plane_, ike_->measures());
}

std::string Daemon::write_metrics(MetricsFormat format) {
  const ike::Measures measures = ike_->measures();
  return make_metrics(format, {config_, *plane_, measures, config_history_, counter_history_, traffic_,
                               [this](TunnelId id) { return machine_->mtu(id); }, Clock::now(),
                               std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()), started_at_,
                               metrics_ ? metrics_->last_took().count() : 0});
}

}  // namespace culvert::daemon

#pragma once
#include <vector>

#include "culvert/config/config.h"
#include "culvert/control/routes.h"
#include "netlink_linux.h"

namespace culvert::daemon {

/// What has become of the routes that the configuration wants, of the guards behind them (`guards`: prefix and table)
/// and of our rules: whether they are there, and which routes of others take their packets. Pure.
[[nodiscard]] std::vector<control::RouteReport> report_routes(const config::Config& config,
                                                              const std::vector<DeviceRoute>& guards,
                                                              const std::vector<KernelRoute>& kernel,
                                                              const std::vector<RoutingRule>& rules);

}  // namespace culvert::daemon

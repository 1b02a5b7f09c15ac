#include "route_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

namespace culvert::daemon {
namespace {

constexpr std::size_t max_shadows = 8;

using Key = std::tuple<std::uint32_t, IpPrefix>;  // table, prefix
Key key_of(const KernelRoute& route) {
  return {route.place.table, route.to};
}

std::string words(const KernelRoute& route) {
  std::string text = route.to.to_string();
  text += route.unreachable || route.device.empty() ? " unreachable" : " dev " + route.device;
  if (route.place.metric != 0) text += fmt::format(" metric {}", route.place.metric);
  return text;
}

/// The routing table in an order in which all that lies inside a prefix stands together.
class Kernel {
 public:
  explicit Kernel(const std::vector<KernelRoute>& routes) {
    for (const KernelRoute& route : routes) sorted_.push_back(&route);
    std::ranges::sort(sorted_, {}, [](const KernelRoute* route) { return key_of(*route); });
  }

  /// Of `to` and what lies inside it, in this table.
  template <class Visit>
  void for_each_inside(std::uint32_t table, const IpPrefix& to, Visit visit) const {
    const Key first{table, {to.network(), 0}};
    auto at = std::ranges::lower_bound(sorted_, first, {}, [](const KernelRoute* route) { return key_of(*route); });
    for (; at != sorted_.end() && (*at)->place.table == table && to.contains((*at)->to.address); ++at)
      if ((*at)->to.length >= to.length) visit(**at);
  }

 private:
  std::vector<const KernelRoute*> sorted_;
};

control::RouteReport base_of(std::string kind, const IpPrefix& to, RoutePlace place) {
  control::RouteReport report;
  report.kind = std::move(kind);
  report.to = to.to_string();
  report.table = place.table;
  report.metric = place.metric;
  report.state = "installed";
  return report;
}

/// Which routes of others win over it: to the same prefix by a better metric, or by a longer prefix.
void look_for_shadows(const Kernel& kernel, const KernelRoute& ours, const std::set<std::string>& our_devices,
                      control::RouteReport& report) {
  std::size_t more = 0;
  kernel.for_each_inside(ours.place.table, ours.to, [&](const KernelRoute& other) {
    const bool same_prefix = other.to.length == ours.to.length;
    const bool wins = same_prefix ? other.place.metric < ours.place.metric : true;
    if (!wins || other.protocol == our_protocol || our_devices.contains(other.device)) return;
    if (same_prefix) report.state = "shadowed";
    if (report.state == "installed") report.state = "crossed";
    if (report.shadowed_by.size() < max_shadows) {
      report.shadowed_by.push_back(words(other));
    } else {
      ++more;
    }
  });
  if (report.shadowed_by.empty()) return;
  report.why = report.state == "shadowed" ? "another route to the same prefix has a better metric: nothing comes here"
                                          : "routes to a part of it lead elsewhere";
  if (more > 0) report.why += fmt::format(" (and {} more)", more);
}

class Reporter {
 public:
  Reporter(const config::Config& config, const std::vector<KernelRoute>& routes) : routes_(routes), kernel_(routes) {
    for (const auto& settings : config.tunnels) our_devices_.insert(settings.plane.device);
  }

  void add_tunnel(const config::TunnelSettings& settings) {
    const RoutePlace wanted{settings.table, settings.metric};
    for (const IpPrefix& to : settings.routes) {
      control::RouteReport report = base_of("route", to, as_kernel_has_it(to, wanted));
      report.tunnel = settings.plane.name;
      report.device = settings.plane.device;
      if (const KernelRoute* found = find(to, as_kernel_has_it(to, wanted), settings.plane.device)) {
        told_.insert(found);
        look_for_shadows(kernel_, *found, our_devices_, report);
      } else {
        report.state = "missing";
        report.why = why_missing(to, as_kernel_has_it(to, wanted), settings.plane.device);
      }
      reports.push_back(std::move(report));
    }
    if (settings.table == 0) {
      control::RouteReport report = base_of("route", {}, {0, 0});
      report.tunnel = settings.plane.name;
      report.to.clear();
      report.device = settings.plane.device;
      report.state = "off";
      report.why = "table = \"off\": routes are somebody else's to make";
      reports.push_back(std::move(report));
    }
  }

  void add_guard(const DeviceRoute& guard) {
    control::RouteReport report = base_of("guard", guard.to, guard.place);
    bool there = false;
    kernel_.for_each_inside(guard.place.table, guard.to, [&](const KernelRoute& route) {
      if (route.to.length != guard.to.length || !route.unreachable || route.protocol != our_protocol) return;
      there = true;
      report.metric = route.place.metric;
    });
    if (!there) {
      report.state = "missing";
      report.why = "somebody has removed it: without its route packets would leave in the clear";
    }
    reports.push_back(std::move(report));
  }

  /// What peers have granted: routes of ours that no configuration names.
  void add_rest() {
    for (const KernelRoute& route : routes_) {
      if (route.protocol != our_protocol || route.unreachable || told_.contains(&route)) continue;
      control::RouteReport report = base_of("route", route.to, route.place);
      report.device = route.device;
      look_for_shadows(kernel_, route, our_devices_, report);
      reports.push_back(std::move(report));
    }
  }

  std::vector<control::RouteReport> reports;

 private:
  [[nodiscard]] const KernelRoute* find(const IpPrefix& to, RoutePlace place, const std::string& device) const {
    const KernelRoute* found = nullptr;
    kernel_.for_each_inside(place.table, to, [&](const KernelRoute& route) {
      if (route.to == to && route.place == place && route.device == device && route.protocol == our_protocol)
        found = &route;
    });
    return found;
  }

  [[nodiscard]] std::string why_missing(const IpPrefix& to, RoutePlace place, const std::string& device) const {
    std::string text;
    kernel_.for_each_inside(place.table, to, [&](const KernelRoute& route) {
      if (route.to == to && route.place == place) text = "another route stands there: " + words(route);
    });
    return text.empty() ? fmt::format("the kernel does not have it: device {} is down, or somebody removed it", device)
                        : text;
  }

  const std::vector<KernelRoute>& routes_;
  Kernel kernel_;
  std::set<std::string> our_devices_;
  std::set<const KernelRoute*> told_;
};

control::RouteReport report_rule(const RoutingRule& rule) {
  control::RouteReport report;
  report.kind = "rule";
  report.to = rule.to ? rule.to->to_string() : rule.family == IpFamily::v4 ? "0.0.0.0/0" : "::/0";
  report.table = rule.table;
  report.metric = rule.priority;
  report.state = "installed";
  if (rule.only_specific) report.why = "but for the default route";
  if (rule.mark != 0) report.why = fmt::format("of packets with mark 0x{:x}", rule.mark);
  return report;
}

}  // namespace

std::vector<control::RouteReport> report_routes(const config::Config& config, const std::vector<DeviceRoute>& guards,
                                                const std::vector<KernelRoute>& kernel,
                                                const std::vector<RoutingRule>& rules) {
  Reporter reporter(config, kernel);
  for (const auto& settings : config.tunnels) reporter.add_tunnel(settings);
  reporter.add_rest();
  for (const DeviceRoute& guard : guards) reporter.add_guard(guard);
  for (const RoutingRule& rule : rules) reporter.reports.push_back(report_rule(rule));
  return std::move(reporter.reports);
}

}  // namespace culvert::daemon

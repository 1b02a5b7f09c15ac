// Which route wins is the kernel's rule: the longest prefix, then the lowest metric (ip-route(8)).
#include "route_report.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace culvert;
using daemon::DeviceRoute;
using daemon::KernelRoute;
using daemon::RoutingRule;

namespace {

IpPrefix prefix(const char* text) {
  return *IpPrefix::parse(text);
}

KernelRoute ours(const char* to, const char* device, std::uint32_t metric = 0, std::uint32_t table = 254) {
  return {prefix(to), {table, metric}, daemon::our_protocol, false, 5, device};
}

KernelRoute other(const char* to, const char* device, std::uint32_t metric = 0, std::uint32_t table = 254) {
  return {prefix(to), {table, metric}, 4, false, 2, device};
}

KernelRoute guard(const char* to) {
  return {prefix(to), {254, 4'000'000'000}, daemon::our_protocol, true, 0, ""};
}

config::Config with_routes(std::vector<IpPrefix> routes, std::uint32_t table = 254, std::uint32_t metric = 0) {
  config::Config config;
  config::TunnelSettings& settings = config.tunnels.emplace_back();
  settings.plane.name = "tokyo";
  settings.plane.device = "cv0";
  settings.routes = std::move(routes);
  settings.table = table;
  settings.metric = metric;
  return config;
}

}  // namespace

TEST_CASE("a route that is there is installed, and its guard behind it does not shadow it") {
  const auto reports =
      daemon::report_routes(with_routes({prefix("10.2.0.0/16")}), {{prefix("10.2.0.0/16"), {254, 0}}},
                            {ours("10.2.0.0/16", "cv0"), guard("10.2.0.0/16"), other("0.0.0.0/0", "eth0")}, {});
  REQUIRE(reports.size() == 2);
  CHECK(reports[0].kind == "route");
  CHECK(reports[0].state == "installed");
  CHECK(reports[0].tunnel == "tokyo");
  CHECK(reports[0].device == "cv0");
  CHECK(reports[0].shadowed_by.empty());
  CHECK(reports[1].kind == "guard");
  CHECK(reports[1].state == "installed");
}

TEST_CASE("a route that is not there is missing, and who stands in its place is named") {
  const auto config = with_routes({prefix("10.2.0.0/16"), prefix("10.3.0.0/16")});
  const auto reports =
      daemon::report_routes(config, {{prefix("10.2.0.0/16"), {254, 0}}}, {other("10.2.0.0/16", "eth1")}, {});
  REQUIRE(reports.size() == 3);
  CHECK(reports[0].state == "missing");
  CHECK(reports[0].why == "another route stands there: 10.2.0.0/16 dev eth1");
  CHECK(reports[1].state == "missing");
  CHECK(reports[1].why.contains("cv0"));
  CHECK(reports[2].kind == "guard");
  CHECK(reports[2].state == "missing");
}

TEST_CASE("a better metric shadows a route, a longer prefix crosses it, and other tables and prefixes do neither") {
  const auto config = with_routes({prefix("10.2.0.0/16")}, 254, 100);
  const KernelRoute route = ours("10.2.0.0/16", "cv0", 100);
  const auto state_with = [&](KernelRoute beside) {
    return daemon::report_routes(config, {}, {route, std::move(beside)}, {}).front();
  };
  CHECK(state_with(other("10.2.0.0/16", "eth1", 50)).state == "shadowed");
  CHECK(state_with(other("10.2.0.0/16", "eth1", 50)).shadowed_by ==
        std::vector<std::string>{"10.2.0.0/16 dev eth1 metric 50"});
  CHECK(state_with(other("10.2.0.0/16", "eth1", 200)).state == "installed");
  CHECK(state_with(other("10.2.7.0/24", "eth1", 4000)).state == "crossed");
  CHECK(state_with(other("10.2.0.0/24", "eth1")).state == "crossed");
  CHECK(state_with(other("10.0.0.0/8", "eth1")).state == "installed");
  CHECK(state_with(other("10.3.0.0/24", "eth1")).state == "installed");
  CHECK(state_with(other("10.2.7.0/24", "eth1", 0, 100)).state == "installed");
  CHECK(state_with(other("fd00::/16", "eth1")).state == "installed");
  CHECK(state_with(other("10.2.7.0/24", "cv0")).state == "installed");  // our own device, by a routing daemon
}

TEST_CASE("however many routes cross one, eight are named") {
  std::vector<KernelRoute> kernel = {ours("10.0.0.0/8", "cv0")};
  for (int i = 0; i < 100; ++i) kernel.push_back(other(("10.1." + std::to_string(i) + ".0/24").c_str(), "eth1"));
  const auto report = daemon::report_routes(with_routes({prefix("10.0.0.0/8")}), {}, kernel, {}).front();
  CHECK(report.shadowed_by.size() == 8);
  CHECK(report.why.contains("92 more"));
}

TEST_CASE("table off is told, as are routes that a gateway has granted, and rules") {
  RoutingRule rule;
  rule.priority = 5220;
  rule.table = 5220;
  const auto reports =
      daemon::report_routes(with_routes({}, 0), {}, {ours("0.0.0.0/0", "cv0", 0, 5220), guard("10.9.0.0/16")}, {rule});
  REQUIRE(reports.size() == 3);
  CHECK(reports[0].state == "off");
  CHECK(reports[1].to == "0.0.0.0/0");
  CHECK(reports[1].table == 5220);
  CHECK(reports[2].kind == "rule");
  CHECK(reports[2].to == "0.0.0.0/0");
}

#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::control {

/// A route, a guard or a rule of ours (`culvert routes`).
struct RouteReport {
  std::string kind;    ///< "route", "guard", "rule"
  std::string tunnel;  ///< [tunnel.NAME]; of what the peer grants and of rules empty
  std::string to;      ///< prefix; of a rule its destination, or empty
  std::string device;  ///< of a route
  std::uint32_t table = 0;
  std::uint32_t metric = 0;  ///< of a rule its priority
  std::string state;  ///< "installed", "missing", "shadowed" (nothing comes to it), "crossed" (a part does not), "off"
  std::string why;    ///< in words, unless installed
  std::vector<std::string> shadowed_by;  ///< routes of others that win, at most 8: "10.2.3.0/24 dev eth1 metric 100"
};

/// What `culvert routes --json` prints: one object on one line. Pure; any thread.
[[nodiscard]] std::string to_json(const std::vector<RouteReport>& routes);

}  // namespace culvert::control

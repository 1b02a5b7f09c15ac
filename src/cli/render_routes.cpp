#include <fmt/format.h>

#include "culvert/base/text.h"
#include "render.h"

namespace culvert::cli {
namespace {

std::string painted(const std::string& state, const Display& display) {
  const std::string padded = fmt::format("{:<10}", printable(state));
  if (state == "installed") return display.green(padded);
  return state == "missing" || state == "shadowed" ? display.red(padded) : display.yellow(padded);
}

std::string table_name(std::uint32_t table) {
  return table == 254 ? "main" : fmt::format("{}", table);
}

std::string facts_of(const control::RouteReport& route) {
  if (route.kind == "rule")
    return fmt::format("rule {} to {} lookup {}", route.metric, printable(route.to), table_name(route.table));
  std::string text = fmt::format("{} {}", printable(route.kind), route.to.empty() ? "-" : printable(route.to));
  if (!route.device.empty()) text += " dev " + printable(route.device);
  if (route.state != "off") text += " table " + table_name(route.table);
  if (route.metric != 0 && route.kind == "route") text += fmt::format(" metric {}", route.metric);
  if (!route.tunnel.empty()) text += " (tunnel " + printable(route.tunnel) + ")";
  return text;
}

}  // namespace

std::string render_routes(const std::vector<control::RouteReport>& routes, const Display& display) {
  if (routes.empty()) return "culvertd has no routes here\n";
  constexpr std::size_t indent = 12;
  const std::size_t room = display.width > indent + 30 ? display.width - indent : 0;
  std::string text;
  for (const auto& route : routes) {
    text += painted(route.state, display) + "  " + wrapped(facts_of(route), indent, room) + "\n";
    if (!route.why.empty()) text += std::string(indent, ' ') + wrapped(printable(route.why), indent, room) + "\n";
    for (const std::string& other : route.shadowed_by)
      text += std::string(indent, ' ') + wrapped("by " + printable(other), indent + 3, room) + "\n";
  }
  return text;
}

}  // namespace culvert::cli

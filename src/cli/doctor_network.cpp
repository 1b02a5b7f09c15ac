// Routes, forwarding, reverse path filters: what the kernel does with packets before and behind the tunnels.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "doctor.h"

namespace culvert::cli {
namespace {

constexpr unsigned flag_gateway = 0x2, flag_reject = 0x200;  // linux/route.h

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(std::move(word));
  return words;
}

template <class T>
std::optional<T> hex(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

/// /proc/net/route: device, destination, gateway, flags, refcnt, use, metric, mask…; addresses as the host stores them.
std::optional<RouteFacts> route_v4(const std::vector<std::string>& words) {
  if (words.size() < 8) return std::nullopt;
  const auto to = hex<std::uint32_t>(words[1]), flags = hex<std::uint32_t>(words[3]),
             mask = hex<std::uint32_t>(words[7]);
  if (!to || !flags || !mask) return std::nullopt;
  RouteFacts route;
  route.to = {IpAddress::v4(__builtin_bswap32(*to)), static_cast<std::uint8_t>(__builtin_popcount(*mask))};
  route.device = words[0];
  route.gateway = (*flags & flag_gateway) != 0;
  route.reject = (*flags & flag_reject) != 0;
  return route;
}

/// /proc/net/ipv6_route: destination, its length, source, its length, next hop, metric, refcnt, use, flags, device.
std::optional<RouteFacts> route_v6(const std::vector<std::string>& words) {
  if (words.size() < 10 || words[0].size() != 32) return std::nullopt;
  Bytes address(16);
  for (std::size_t i = 0; i < 16; ++i) {
    const auto byte = hex<std::uint8_t>(std::string_view(words[0]).substr(2 * i, 2));
    if (!byte) return std::nullopt;
    address[i] = *byte;
  }
  const auto length = hex<std::uint8_t>(words[1]);
  const auto flags = hex<std::uint32_t>(words[8]);
  const auto to = IpAddress::from_bytes(address);
  if (!length || *length > 128 || !flags || !to) return std::nullopt;
  RouteFacts route;
  route.to = {*to, *length};
  route.device = words[9];
  route.gateway = (*flags & flag_gateway) != 0;
  route.reject = (*flags & flag_reject) != 0;
  return route;
}

bool uninteresting(const RouteFacts& route) {
  static const IpPrefix link_local = *IpPrefix::parse("fe80::/10");
  return route.to.address.is_multicast() || link_local.contains(route.to.address) || route.device == "lo";
}

bool setting_is(Host& host, const std::string& name, std::string_view value) {
  std::string file = "/proc/sys/" + name;
  const auto text = host.read(file);
  return text && std::string_view(*text).substr(0, value.size()) == value;
}

Fix setting(const std::string& name, const std::string& value) {
  std::string words = name;
  std::ranges::replace(words, '/', '.');
  return {Fix::Kind::write_file, "/proc/sys/" + name, value, 0, fmt::format("sysctl {}={}", words, value)};
}

/// Of all our tunnels: what lies behind the peers.
struct Behind {
  const config::TunnelSettings* tunnel;
  IpPrefix prefix;
};

std::vector<Behind> behind_tunnels(const config::Config& config) {
  std::vector<Behind> all;
  for (const auto& tunnel : config.tunnels)
    for (const auto& prefix : tunnel.routes) all.push_back({&tunnel, prefix});
  return all;
}

bool is_ours(const config::Config& config, const std::string& device) {
  return std::ranges::any_of(config.tunnels,
                             [&](const config::TunnelSettings& tunnel) { return tunnel.plane.device == device; });
}

void check_forwarding(const Case& patient, const std::vector<Behind>& behind, Findings& findings) {
  const auto any = [&](bool v4) {
    return std::ranges::any_of(behind, [&](const Behind& one) { return one.prefix.address.is_v4() == v4; });
  };
  const auto check = [&](const std::string& name, const char* what) {
    if (!setting_is(patient.host, name, "0")) return true;
    const Fix fix = setting(name, "1");
    findings.push_back(
        {Severity::problem,
         "forwarding",
         what,
         fmt::format("this host does not forward {}: it uses the tunnels itself, and carries nothing for the "
                     "hosts behind it",
                     what),
         fmt::format("{}; put it into /etc/sysctl.d so that it stays", fix.words),
         {fix}});
    return false;
  };
  bool well = true;
  if (any(true)) well = check("net/ipv4/ip_forward", "IPv4") && well;
  if (any(false)) well = check("net/ipv6/conf/all/forwarding", "IPv6") && well;
  if (well && !behind.empty())
    findings.push_back({Severity::ok, "forwarding", "", "this host forwards what the tunnels carry", {}, {}});
}

/// rp_filter 1 drops what comes by another device than the one its source is routed to: the greater of `all` and the
/// device's own counts (ip-sysctl).
void check_reverse_path(const Case& patient, Findings& findings) {
  const bool all_strict = setting_is(patient.host, "net/ipv4/conf/all/rp_filter", "1");
  for (const auto& tunnel : patient.config->tunnels) {
    const std::string name = fmt::format("net/ipv4/conf/{}/rp_filter", tunnel.plane.device);
    const bool loose = setting_is(patient.host, name, "2");
    if (loose || !(all_strict || setting_is(patient.host, name, "1"))) continue;
    if (!patient.host.look_at("/proc/sys/" + name)) continue;
    const Fix fix = setting(name, "2");
    findings.push_back({Severity::warning,
                        "rp_filter",
                        tunnel.plane.device,
                        fmt::format("the strict reverse path filter drops what comes out of {} and is not routed back "
                                    "into it",
                                    tunnel.plane.device),
                        fmt::format("where routing is not symmetric: {}", fix.words),
                        {fix}});
  }
}

void check_overlaps(const Case& patient, const std::vector<Behind>& behind, Findings& findings) {
  for (const auto& address : patient.host.addresses()) {
    if (is_ours(*patient.config, address.device) || address.prefix.address.is_loopback()) continue;
    if (address.prefix.length == address.prefix.address.bits() || address.prefix.length == 0) continue;
    for (const Behind& one : behind) {
      if (one.prefix.length == 0 || !one.prefix.overlaps(address.prefix)) continue;
      findings.push_back(
          {Severity::problem,
           "overlap",
           one.tunnel->plane.name,
           fmt::format(
               "the net {} behind the peer overlaps {} of our own device {}: the two sides use the same addresses",
               one.prefix.to_string(), IpPrefix{address.prefix.network(), address.prefix.length}.to_string(),
               address.device),
           "renumber one side, or translate one of the nets (NETMAP) before it enters the tunnel",
           {}});
    }
  }
  for (std::size_t i = 0; i < behind.size(); ++i) {
    for (std::size_t j = i + 1; j < behind.size(); ++j) {
      if (behind[i].tunnel == behind[j].tunnel || behind[i].prefix.network() != behind[j].prefix.network() ||
          behind[i].prefix.length != behind[j].prefix.length)
        continue;
      findings.push_back({Severity::problem,
                          "overlap",
                          behind[i].tunnel->plane.name,
                          fmt::format("{} is routed into tunnel {} as well: only one of the two gets the packets",
                                      behind[i].prefix.to_string(), behind[j].tunnel->plane.name),
                          "give each tunnel nets of its own",
                          {}});
    }
  }
}

/// A more specific route elsewhere takes a part of what the tunnel is for; the same or a wider one that wins takes all.
void check_shadows(const Case& patient, const std::vector<Behind>& behind, const std::vector<RouteFacts>& routes,
                   Findings& findings) {
  const std::vector<AddressFacts> addresses = patient.host.addresses();
  const auto connected = [&](const RouteFacts& route) {
    return std::ranges::any_of(addresses, [&](const AddressFacts& address) {
      return address.device == route.device && !route.gateway && address.prefix.network() == route.to.network();
    });
  };
  for (const Behind& one : behind) {
    if (one.tunnel->table != config::main_table) continue;  // the rules say who looks there
    bool there = false;
    for (const RouteFacts& route : routes) {
      if (route.to.address.family() != one.prefix.address.family() || route.reject) continue;
      if (route.device == one.tunnel->plane.device) {
        there |= route.to.length <= one.prefix.length && route.to.contains(one.prefix.network());
        continue;
      }
      if (is_ours(*patient.config, route.device) || uninteresting(route)) continue;
      if (route.to.length < one.prefix.length || !one.prefix.contains(route.to.network())) continue;
      if (connected(route)) continue;  // said by check_overlaps
      findings.push_back(
          {Severity::problem,
           "route",
           one.tunnel->plane.name,
           fmt::format("the route {} dev {} shadows {} of this tunnel: these packets leave outside the tunnel",
                       route.to.to_string(), route.device, one.prefix.to_string()),
           fmt::format("ip route del {} dev {}; or leave it out of `routes` if it is meant so", route.to.to_string(),
                       route.device),
           {}});
    }
    if (there || patient.status == nullptr || one.prefix.length == 0) continue;
    if (one.tunnel->virtual_address) continue;  // as granted
    findings.push_back({Severity::problem,
                        "route",
                        one.tunnel->plane.name,
                        fmt::format("no route leads {} into {}: somebody has removed it", one.prefix.to_string(),
                                    one.tunnel->plane.device),
                        fmt::format("ip route add {} dev {}", one.prefix.to_string(), one.tunnel->plane.device),
                        {}});
  }
}

/// The way to the peer must not lead through the tunnel that the peer is the end of.
void check_loops(const Case& patient, const std::vector<RouteFacts>& routes, Findings& findings) {
  if (patient.config->gateway.fwmark != 0) return;  // our own packets may be routed by other tables
  for (const auto& peer : patient.config->peers) {
    for (const auto& name : peer.addresses) {
      const auto address = IpAddress::parse(name);
      const RouteFacts* route = address ? route_to(routes, *address) : nullptr;
      if (!address) continue;
      if (route == nullptr || route->reject) {
        findings.push_back({Severity::problem,
                            "route",
                            peer.name,
                            fmt::format("this host has no route to {}", address->to_string()),
                            "add one, or bring the link up: `ip route`",
                            {}});
      } else if (is_ours(*patient.config, route->device)) {
        findings.push_back(
            {Severity::problem,
             "route",
             peer.name,
             fmt::format("the route to {} leads into our own tunnel device {}", address->to_string(), route->device),
             fmt::format("add a route to {} that does not use the tunnel", address->to_string()),
             {}});
      }
    }
  }
}

}  // namespace

std::vector<RouteFacts> main_routes(Host& host) {
  std::vector<RouteFacts> routes;
  const auto take = [&](const char* file, auto parse) {
    const auto text = host.read(file);
    std::istringstream lines(text.value_or(""));
    for (std::string line; std::getline(lines, line);)
      if (auto route = parse(words_of(line))) routes.push_back(std::move(*route));
  };
  take("/proc/net/route", route_v4);
  take("/proc/net/ipv6_route", route_v6);
  return routes;
}

const RouteFacts* route_to(const std::vector<RouteFacts>& routes, const IpAddress& address) {
  const RouteFacts* best = nullptr;
  for (const RouteFacts& route : routes) {
    if (route.to.address.family() != address.family() || !route.to.contains(address)) continue;
    if (best == nullptr || route.to.length > best->to.length) best = &route;
  }
  return best;
}

void check_network(const Case& patient, Findings& findings) {
  if (patient.config == nullptr) return;
  const std::vector<Behind> behind = behind_tunnels(*patient.config);
  const std::vector<RouteFacts> routes = main_routes(patient.host);
  check_forwarding(patient, behind, findings);
  check_reverse_path(patient, findings);
  check_overlaps(patient, behind, findings);
  check_shadows(patient, behind, routes, findings);
  check_loops(patient, routes, findings);
}

}  // namespace culvert::cli

// What lies between us and the peers: names, UDP 500 and 4500, and how large packets may be.
//
// Nobody has to trust us for that: an IKE header of major version 3 is answered with INVALID_MAJOR_VERSION (RFC 7296
// §2.5), before anything else is looked at. The answer proves nothing and changes nothing; it only says that packets of
// that size reach the port, and that others come back.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "doctor.h"

namespace culvert::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t max_peers = 16;  ///< that are asked: each may take seconds when it is silent
constexpr std::size_t small_len = 80;
constexpr std::size_t min_path_v4 = 576, min_path_v6 = 1280;  // RFC 791, RFC 8200: less needs no search
constexpr milliseconds patience{900}, search_patience{450};

struct Target {
  std::string peer;
  IpAddress address;
  std::uint16_t port = 500, nat_port = 4500;
  bool up = false;
  std::uint32_t tunnel_mtu = 0;  ///< the largest of its tunnels
  bool fixed_mtu = false;        ///< `mtu` is configured
};

std::optional<IpAddress> address_of(const std::string& endpoint) {
  const std::size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  std::string host = endpoint.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return IpAddress::parse(host);
}

const control::PeerReport* report_of(const Case& patient, const std::string& name) {
  if (patient.status == nullptr) return nullptr;
  const auto found = std::ranges::find(patient.status->peers, name, &control::PeerReport::name);
  return found == patient.status->peers.end() ? nullptr : &*found;
}

/// Where the peer is: as it is up, else its first address; a name that nobody knows is a finding.
std::optional<Target> target_of(const Case& patient, const ike::PeerConfig& config, Findings& findings) {
  Target target{config.name, {}, config.port, config.nat_port};
  const control::PeerReport* report = report_of(patient, config.name);
  for (const auto& settings : patient.config->tunnels) {
    if (settings.peer != config.id) continue;
    target.fixed_mtu |= settings.plane.mtu != 0;
    target.tunnel_mtu = std::max<std::uint32_t>(target.tunnel_mtu, settings.plane.mtu);
  }
  if (report != nullptr)
    for (const auto& tunnel : report->tunnels) target.tunnel_mtu = std::max(target.tunnel_mtu, tunnel.mtu);
  if (report != nullptr && report->state == "up") {
    target.up = true;
    if (const auto address = address_of(report->remote)) target.address = *address;
    return target.address.is_unspecified() ? std::nullopt : std::optional(target);
  }
  for (const std::string& name : config.addresses) {
    if (const auto literal = IpAddress::parse(name)) {
      target.address = *literal;
      return target;
    }
    std::string why;
    const auto found = patient.host.resolve(name, why);
    if (!found.empty()) {
      target.address = found.front();
      return target;
    }
    findings.push_back({Severity::problem,
                        "dns",
                        config.name,
                        fmt::format("\"{}\" has no address: {}", name, why),
                        "check the name in `address` and the DNS servers of this host",
                        {}});
  }
  return std::nullopt;
}

void check_ports(const Case& patient, const Target& target, Findings& findings) {
  const auto ask = [&](std::uint16_t port, bool marker) {
    return patient.host.ask_ike({target.address, port}, marker, small_len, patience);
  };
  const IkeAnswer plain = ask(target.port, false), encapsulated = ask(target.nat_port, true);
  const bool first = plain == IkeAnswer::answered, second = encapsulated == IkeAnswer::answered;
  const std::string where = target.address.to_string();
  const auto add = [&](Severity severity, std::string text, std::string advice) {
    findings.push_back({severity, "reach", target.peer, std::move(text), std::move(advice), {}});
  };
  if (first && second)
    return add(Severity::ok, fmt::format("{} answers on UDP {} and {}", where, target.port, target.nat_port), {});
  if (first)
    return add(
        Severity::problem,
        fmt::format("{} answers on UDP {}, and nothing comes back from UDP {}: a firewall or a NAT drops UDP {}, in "
                    "one direction or both",
                    where, target.port, target.nat_port, target.nat_port),
        fmt::format("let UDP {} pass in both directions, on both sides and between; `tcp_port` crosses networks "
                    "that block UDP",
                    target.nat_port));
  if (second)
    return add(
        Severity::warning,
        fmt::format("{} answers on UDP {}, and nothing comes back from UDP {}", where, target.nat_port, target.port),
        fmt::format("let UDP {} pass, or begin on the other port: `port = {}` of this peer", target.port,
                    target.nat_port));
  if (plain == IkeAnswer::refused)
    return add(Severity::problem,
               fmt::format("{} is there, and no IKE daemon listens on its UDP {}", where, target.port),
               "start IKE on the other side, or correct `address` and `port`");
  if (plain == IkeAnswer::unreachable)
    return add(Severity::problem, fmt::format("{} cannot be reached: a router says that there is no way", where),
               "check the routes here and on the way: `ip route get`, `traceroute`");
  if (target.up) return add(Severity::note, fmt::format("{} does not answer strangers, which is its right", where), {});
  add(Severity::problem,
      fmt::format("nothing comes back from {}, neither from UDP {} nor from UDP {}: it is down, unreachable, or a "
                  "firewall drops both",
                  where, target.port, target.nat_port),
      "check the address with `ping`, and that UDP 500 and 4500 pass on both sides");
}

std::size_t device_mtu(Host& host, const std::string& device) {
  const auto text = host.read("/sys/class/net/" + device + "/mtu");
  std::size_t mtu = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), mtu);
  return mtu == 0 ? 1500 : std::min<std::size_t>(mtu, 9216);
}

/// The port that answers is the one to measure by.
std::optional<std::pair<Endpoint, bool>> way_in(Host& host, const Target& target) {
  const Endpoint encapsulated{target.address, target.nat_port}, plain{target.address, target.port};
  if (host.ask_ike(encapsulated, true, small_len, patience) == IkeAnswer::answered)
    return std::pair(encapsulated, true);
  if (host.ask_ike(plain, false, small_len, patience) == IkeAnswer::answered) return std::pair(plain, false);
  return std::nullopt;
}

/// By bisection: what passes, in bytes of IP; at least `passes`, less than `vanishes`.
std::size_t search(Host& host, const Endpoint& remote, bool marker, std::size_t passes, std::size_t vanishes) {
  while (vanishes - passes > 4) {
    const std::size_t len = (passes + vanishes) / 2 / 4 * 4;
    (host.ask_ike(remote, marker, len, search_patience) == IkeAnswer::answered ? passes : vanishes) = len;
  }
  return passes;
}

void check_path_mtu(const Case& patient, const Target& target, const std::vector<RouteFacts>& routes,
                    Findings& findings) {
  const RouteFacts* route = route_to(routes, target.address);
  if (route == nullptr || route->reject) return;
  const auto way = way_in(patient.host, target);
  if (!way) return;
  const std::size_t largest = device_mtu(patient.host, route->device);
  const std::size_t smallest = target.address.is_v4() ? min_path_v4 : min_path_v6;
  const auto passes = [&](std::size_t len) {
    return patient.host.ask_ike(way->first, way->second, len, patience) == IkeAnswer::answered;
  };
  if (largest <= smallest || passes(largest)) {
    findings.push_back({Severity::ok,
                        "mtu",
                        target.peer,
                        fmt::format("packets of {} bytes reach {}", largest, target.address.to_string()),
                        {},
                        {}});
    return;
  }
  if (!passes(smallest)) {
    findings.push_back(
        {Severity::problem,
         "mtu",
         target.peer,
         fmt::format("packets of {} bytes do not reach {}, smaller ones do", smallest, target.address.to_string()),
         "look for a link on the way with a broken MTU",
         {}});
    return;
  }
  const std::size_t found = search(patient.host, way->first, way->second, smallest, largest);
  const std::uint32_t fits =
      target.tunnel_mtu > largest - found ? target.tunnel_mtu - static_cast<std::uint32_t>(largest - found) : 0;
  findings.push_back(
      {Severity::problem,
       "mtu",
       target.peer,
       fmt::format(
           "MTU black hole: packets of more than {} bytes vanish on the way to {}, without a word; our link takes {}",
           found, target.address.to_string(), largest),
       fits == 0 ? "let ICMP \"too big\" pass on the way"
                 : fmt::format("set `mtu = {}` in its [tunnel] tables, or let ICMP \"too big\" pass on the way", fits),
       {}});
}

}  // namespace

void check_reach(const Case& patient, Findings& findings) {
  if (patient.config == nullptr) return;
  const std::vector<RouteFacts> routes = main_routes(patient.host);
  std::size_t asked = 0;
  // Those that are down first: they are why somebody asks.
  for (const bool want_up : {false, true}) {
    for (const auto& peer : patient.config->peers) {
      const control::PeerReport* report = report_of(patient, peer.name);
      if ((report != nullptr && report->state == "up") != want_up || asked == max_peers) continue;
      if (report != nullptr && report->state == "admin-down") continue;
      const auto target = target_of(patient, peer, findings);
      if (!target) continue;
      ++asked;
      if (!target->up) check_ports(patient, *target, findings);
      check_path_mtu(patient, *target, routes, findings);
    }
  }
  if (asked == max_peers)
    findings.push_back({Severity::note,
                        "reach",
                        "",
                        fmt::format("only {} peers were asked whether they can be reached", asked),
                        {},
                        {}});
}

}  // namespace culvert::cli

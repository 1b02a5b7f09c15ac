#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "culvert/config/program_file.h"
#include "rules.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_device_len = 15;   // IFNAMSIZ - 1
constexpr std::int64_t min_ipv6_mtu = 1280;  // RFC 8200 §5

/// As the kernel sees it (dev_valid_name), less what it expands (%), splits (:) or keeps for itself in /proc/sys/net.
std::string why_device_is_bad(const std::string& name) {
  constexpr std::array<std::string_view, 5> reserved = {"lo", "all", "default", ".", ".."};
  if (name.size() > max_device_len)
    return fmt::format("has {} characters, at most {} are possible", name.size(), max_device_len);
  for (const char c : name) {
    if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x7f)
      return "holds a space, a control or a non-ASCII character";
    if (c == '/' || c == ':' || c == '%' || c == '"' || c == '\\') return fmt::format("holds a '{}'", c);
  }
  if (std::ranges::find(reserved, name) != reserved.end()) return "is reserved by the kernel";
  return {};
}

void check_device(const RawTunnel& raw, Findings& findings) {
  if (!raw.device.value) return;
  const std::string why = why_device_is_bad(*raw.device.value);
  if (!why.empty())
    findings.error(raw.device.at, raw.key("device"), fmt::format("{} {}", in_quotes(*raw.device.value), why));
}

template <class T>
void refuse(const RawTunnel& raw, const Field<T>& field, std::string_view name, std::string_view carry,
            Findings& findings) {
  if (!field.present) return;
  findings.error(field.at, raw.key(name),
                 fmt::format("belongs to carry = \"{}\" only: remove it, or change carry", carry));
}

void check_gre_endpoints(const RawTunnel& raw, Findings& findings) {
  if (raw.source.present != raw.destination.present) {
    const bool lone_source = raw.source.present;
    findings.error(lone_source ? raw.source.at : raw.destination.at, raw.key(lone_source ? "source" : "destination"),
                   fmt::format("stands without {}: name both GRE endpoints, or none to use the IKE addresses",
                               lone_source ? "destination" : "source"));
  }
  if (raw.source.value && raw.destination.value) {
    const IpAddress &source = *raw.source.value, &destination = *raw.destination.value;
    if (source.family() != destination.family()) {
      findings.error(raw.destination.at, raw.key("destination"),
                     "source and destination are not of one family (IPv4, IPv6)");
    } else if (source == destination) {
      findings.error(raw.destination.at, raw.key("destination"), "source and destination are the same address");
    }
  }
  for (const auto& [field, name] : {std::pair{&raw.source, "source"}, std::pair{&raw.destination, "destination"}}) {
    if (field->value && (field->value->is_unspecified() || field->value->is_multicast())) {
      findings.error(field->at, raw.key(name), fmt::format("{} is no address of a gateway", field->value->to_string()));
    }
  }
  const bool inner_endpoints = raw.source.present || raw.destination.present;
  if (raw.mode.value == TunnelMode::transport && inner_endpoints) {
    findings.error(raw.mode.at, raw.key("mode"),
                   "transport mode has no inner addresses: remove source and destination, or use mode = \"tunnel\"");
  }
}

void check_gre(const RawTunnel& raw, Findings& findings) {
  refuse(raw, raw.local, "local", "ip", findings);
  refuse(raw, raw.remote, "remote", "ip", findings);
  check_gre_endpoints(raw, findings);
}

bool has_family(const std::vector<Located<IpPrefix>>& list, IpFamily family) {
  return std::ranges::any_of(list, [&](const auto& entry) { return entry.value.address.family() == family; });
}

void check_selectors(const RawTunnel& raw, Findings& findings) {
  for (const auto& [list, name] : {std::pair{&raw.local, "local"}, std::pair{&raw.remote, "remote"}}) {
    if (!list->present)
      findings.error(raw.at, raw.key(name), "is required with carry = \"ip\", and missing: the nets of that side");
    if (list->value && list->value->size() > max_selectors_of_tunnel) {
      findings.error(list->at, raw.key(name),
                     fmt::format("more than {} prefixes: IKE carries no more selectors", max_selectors_of_tunnel));
    }
  }
  if (!raw.local.value || !raw.remote.value || raw.local.value->empty() || raw.remote.value->empty()) return;
  for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
    const bool in_local = has_family(*raw.local.value, family), in_remote = has_family(*raw.remote.value, family);
    if (in_local == in_remote) continue;
    findings.error(
        in_local ? raw.local.at : raw.remote.at, raw.key(in_local ? "local" : "remote"),
        fmt::format("has {0} prefixes while {1} has none: no {0} packet could pass. Add some to {1}, or remove these",
                    family == IpFamily::v4 ? "IPv4" : "IPv6", in_local ? "remote" : "local"));
  }
}

void check_plain(const RawTunnel& raw, Findings& findings) {
  refuse(raw, raw.gre_key, "key", "gre", findings);
  refuse(raw, raw.sequence, "sequence", "gre", findings);
  refuse(raw, raw.checksum, "checksum", "gre", findings);
  refuse(raw, raw.source, "source", "gre", findings);
  refuse(raw, raw.destination, "destination", "gre", findings);
  if (raw.mode.value == TunnelMode::transport) {
    findings.error(raw.mode.at, raw.key("mode"),
                   "carry = \"ip\" between nets needs tunnel mode: use \"tunnel\", or remove the key");
  }
  check_selectors(raw, findings);
}

void check_device_addresses(const RawTunnel& raw, Findings& findings) {
  if (!raw.address.value) return;
  for (const auto& [prefix, at] : *raw.address.value) {
    const IpAddress& address = prefix.address;
    const bool is_point =
        prefix.length + 2 > address.bits();  // /31, /127 (RFC 3021, RFC 6164) and single addresses have no net address
    if (address.is_unspecified() || address.is_multicast() || prefix.length == 0) {
      findings.error(at, raw.key("address"), fmt::format("{} is no address of a device", prefix.to_string()));
    } else if (!is_point && !prefix.has_host_bits()) {
      findings.error(at, raw.key("address"),
                     fmt::format("{} is a net: expected the address that the device has in it, with the length of "
                                 "the net, such as \"169.254.10.1/30\"",
                                 prefix.to_string()));
    }
  }
}

void check_mss(const RawTunnel& raw, Findings& findings) {
  if (!raw.mss.present || raw.clamp_mss.value.value_or(true)) return;
  findings.error(raw.mss.at, raw.key("mss"), "has no effect with clamp_mss = false: remove one of the two");
}

void check_mtu(const RawTunnel& raw, Findings& findings) {
  if (!raw.mtu.value || *raw.mtu.value >= min_ipv6_mtu) return;
  const auto has_v6 = [](const List<IpPrefix>& list) { return list.value && has_family(*list.value, IpFamily::v6); };
  if (has_v6(raw.address) || has_v6(raw.routes) || has_v6(raw.remote)) {
    findings.error(raw.mtu.at, raw.key("mtu"),
                   fmt::format("IPv6 inside needs at least {} (RFC 8200 §5)", min_ipv6_mtu));
  }
}

void check_table(const RawTunnel& raw, Findings& findings) {
  const bool off = raw.table.value == 0U;
  if (off && raw.metric.present)
    findings.error(raw.metric.at, raw.key("metric"), "has no effect with table = \"off\": remove one of the two");
  if (off && raw.routes.value && !raw.routes.value->empty())
    findings.warn(raw.routes.at, raw.key("routes"), "has no effect with table = \"off\"");
  if (!raw.virtual_local || !raw.routes_as_granted) return;
  if (raw.table.value && !off && *raw.table.value != main_table)
    findings.error(raw.table.at, raw.key("table"),
                   "routes that the peer grants go into the main table or, with table = \"off\", nowhere: name "
                   "`routes`, or leave them to others");
  if (raw.metric.present)
    findings.error(raw.metric.at, raw.key("metric"), "does not go with routes that the peer grants: name `routes`");
}

void check_hooks(const RawTunnel& raw, Findings& findings) {
  constexpr std::size_t max_arguments = 64, max_len = 16384;
  for (const auto& [field, name] : {std::pair{&raw.up, "up"}, std::pair{&raw.down, "down"}}) {
    if (!field->value || field->value->empty()) continue;
    std::size_t len = 0;
    for (const auto& [argument, at] : *field->value) {
      len += argument.size() + 1;
      if (argument.find('\0') != std::string::npos)
        findings.error(at, raw.key(name), "holds a NUL, which no argument of a program can");
    }
    if (field->value->size() > max_arguments || len > max_len)
      findings.error(field->at, raw.key(name),
                     fmt::format("at most {} arguments and {} bytes of them are possible", max_arguments, max_len));
    const auto& [program, at] = field->value->front();
    if (const auto fine = check_program_file(program); !fine) findings.error(at, raw.key(name), fine.error().detail);
  }
}

std::vector<std::string> texts_of(const List<std::string>& list) {
  std::vector<std::string> texts;
  if (list.value)
    for (const auto& entry : *list.value) texts.push_back(entry.value);
  return texts;
}

void check_probe(const RawTunnel& raw, Findings& findings) {
  if (!raw.probe.value) return;
  const IpAddress& probe = *raw.probe.value;
  const auto refuse = [&](std::string why) { findings.error(raw.probe.at, raw.key("probe"), std::move(why)); };
  if (probe.is_unspecified() || probe.is_multicast()) return refuse("must be the address of one host");
  if (raw.address.value && std::ranges::any_of(*raw.address.value, [&](const auto& own) { return own.value.address == probe; }))
    return refuse("is an address of our own device: name one at the peer's end");
  if (raw.carry.value != tunnel::Carry::ip || !raw.remote.value) return;
  if (std::ranges::none_of(*raw.remote.value, [&](const auto& net) { return net.value.contains(probe); }))
    refuse("lies outside `remote`: no packet to it would enter the tunnel");
}

std::vector<IpPrefix> values_of(const std::vector<Located<IpPrefix>>& list) {
  std::vector<IpPrefix> values;
  for (const auto& entry : list) values.push_back(entry.value);
  return values;
}

tunnel::TunnelConfig plane_of(const RawTunnel& raw, TunnelId id) {
  tunnel::TunnelConfig plane;
  plane.id = id;
  plane.name = raw.name;
  plane.carry = raw.carry.value.value_or(tunnel::Carry::gre);
  plane.device = raw.device.value.value_or("");
  plane.mtu = static_cast<std::uint16_t>(raw.mtu.value.value_or(0));
  if (raw.gre_key.value) plane.gre_key = static_cast<std::uint32_t>(*raw.gre_key.value);
  plane.gre_sequence = raw.sequence.value.value_or(false);
  plane.gre_checksum = raw.checksum.value.value_or(false);
  plane.gre_source = raw.source.value;
  plane.gre_destination = raw.destination.value;
  plane.clamp_mss = raw.clamp_mss.value.value_or(true);
  plane.max_mss = static_cast<std::uint16_t>(raw.mss.value.value_or(plane.max_mss));
  plane.copy_dscp = raw.copy_dscp.value.value_or(true);
  return plane;
}

}  // namespace

const std::vector<Located<IpPrefix>>& effective_routes(const RawTunnel& raw) {
  static const std::vector<Located<IpPrefix>> none;
  if (raw.table.value == 0U) return none;
  if (raw.routes.present) return raw.routes.value ? *raw.routes.value : none;
  return raw.carry.value == tunnel::Carry::ip && raw.remote.value ? *raw.remote.value : none;
}

TunnelSettings check_tunnel(const RawTunnel& raw, TunnelId id, PeerId peer, Findings& findings) {
  check_device(raw, findings);
  if (raw.carry.value == tunnel::Carry::gre) check_gre(raw, findings);
  if (raw.carry.value == tunnel::Carry::ip) check_plain(raw, findings);
  check_device_addresses(raw, findings);
  check_mtu(raw, findings);
  check_mss(raw, findings);
  check_table(raw, findings);
  check_hooks(raw, findings);
  check_probe(raw, findings);

  TunnelSettings settings;
  settings.peer = peer;
  settings.plane = plane_of(raw, id);
  if (raw.address.value) settings.addresses = values_of(*raw.address.value);
  settings.probe = raw.probe.value;
  settings.routes = values_of(effective_routes(raw));
  settings.virtual_address = raw.virtual_local;
  settings.table = route_target(raw).table;
  settings.metric = route_target(raw).metric;
  settings.routes_as_granted = raw.routes_as_granted && settings.table != 0;
  if (raw.up.present || raw.down.present)
    settings.hooks = std::make_shared<const TunnelHooks>(TunnelHooks{texts_of(raw.up), texts_of(raw.down)});
  settings.fail_closed = raw.fail_closed.value.value_or(true);
  return settings;
}

void check_devices(const std::vector<RawTunnel>& raw, Findings& findings) {
  std::map<std::string_view, const RawTunnel*> devices;
  std::map<IpPrefix, const RawTunnel*> addresses;
  for (const RawTunnel& tunnel : raw) {
    if (tunnel.device.value) {
      const auto [first, is_new] = devices.try_emplace(*tunnel.device.value, &tunnel);
      if (!is_new) {
        findings.error(tunnel.device.at, tunnel.key("device"),
                       fmt::format("{} is the device of tunnel {} ({}) already: each tunnel has its own",
                                   in_quotes(*tunnel.device.value), first->second->name, findings.place(first->second->at)));
      }
    }
    if (!tunnel.address.value) continue;
    for (const auto& [prefix, at] : *tunnel.address.value) {
      const auto [first, is_new] = addresses.try_emplace(prefix, &tunnel);
      // A single address may stand on several devices: that is how unnumbered links are made.
      if (is_new || (prefix.length == prefix.address.bits() && first->second != &tunnel)) continue;
      findings.error(at, tunnel.key("address"),
                     fmt::format("{} is on tunnel {} ({}) already", prefix.to_string(), first->second->name,
                                 findings.place(first->second->at)));
    }
  }
}

}  // namespace culvert::config

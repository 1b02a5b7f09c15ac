#include "status_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "culvert/base/log.h"
#include "culvert/crypto/aead.h"
#include "culvert/crypto/certificate.h"
#include "privileges.h"

namespace culvert::daemon {
namespace {

/// Whole seconds from `from` to `to`, 0 when that lies the other way round.
std::uint64_t seconds_between(TimePoint from, TimePoint to) {
  return to <= from ? 0
                    : static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(to - from).count());
}

std::optional<std::uint64_t> seconds_until(const std::optional<TimePoint>& when, TimePoint now) {
  if (!when) return std::nullopt;
  return seconds_between(now, *when);
}

std::string state_text(const ike::PeerStatus& peer) {
  if (peer.admin_down) return "admin-down";
  using State = ike::PeerStatus::State;
  switch (peer.state) {
    case State::resolving:
      return "resolving";
    case State::connecting:
      return "connecting";
    case State::established:
      return "up";
    case State::waiting:
      return "waiting";
    case State::down:
      break;
  }
  return "down";
}

std::string protocol_text(std::uint8_t protocol) {
  switch (protocol) {
    case 1:
      return "icmp";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    case 47:
      return "gre";
    case 58:
      return "icmpv6";
    case 89:
      return "ospf";
    default:
      return fmt::format("{}", protocol);
  }
}

std::string range_text(const TrafficSelector& selector) {
  for (int length = 0; length <= selector.first.bits(); ++length) {
    const IpPrefix prefix{selector.first, static_cast<std::uint8_t>(length)};
    if (prefix.network() == selector.first && prefix.last() == selector.last) return prefix.to_string();
  }
  return fmt::format("{}-{}", selector.first.to_string(), selector.last.to_string());
}

std::vector<std::string> texts(const std::vector<TrafficSelector>& selectors) {
  std::vector<std::string> result;
  for (const auto& selector : selectors) result.push_back(selector_text(selector));
  return result;
}

std::uint64_t microseconds(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
}

std::uint64_t rounded(float rate) {
  return static_cast<std::uint64_t>(rate + 0.5F);
}

/// Of a child that is up.
void fill_traffic(const ike::ChildStatus& child, const StatusSources& sources, control::ChildReport& report) {
  const TrafficWatch::Child* known = sources.traffic != nullptr ? sources.traffic->find(child.child) : nullptr;
  const ike::PeerConfig* peer = known != nullptr ? sources.config.peer(known->peer) : nullptr;
  if (peer == nullptr) return;
  const bool asked = peer->probe_interval != Duration::zero();
  TrafficState state = traffic_state(*known, sources.now, peer->probe_interval);
  report.traffic = std::move(state.name);
  report.traffic_reason = std::move(state.reason);
  report.probe = asked ? probe_name(known->probe) : "off";
  if (const auto rtt = known->passage.rtt()) {
    report.rtt_us = microseconds(*rtt);
    report.jitter_us = microseconds(known->passage.jitter());
  }
  if (known->counts()) {
    report.probes = known->passage.num_results();
    report.probes_lost = known->passage.num_lost();
  }
  const Passage::Rates& rates = known->passage.rates();
  report.inbound_bps = rounded(rates.in_bytes * 8);
  report.inbound_pps = rounded(rates.in_packets);
  report.outbound_bps = rounded(rates.out_bytes * 8);
  report.outbound_pps = rounded(rates.out_packets);
}

control::ChildReport make_child(const ike::ChildStatus& child, const StatusSources& sources) {
  control::ChildReport report;
  report.name = child.name;
  report.state = child.up ? "up" : "down";
  report.reason = child.up ? "" : log::sanitize(child.reason);
  if (!child.up) return report;
  report.inbound_spi = fmt::format("0x{:08x}", child.inbound_spi.value());
  report.outbound_spi = fmt::format("0x{:08x}", child.outbound_spi.value());
  report.suite = child.suite;
  report.mode = child.mode == EspMode::tunnel ? "tunnel" : "transport";
  report.encapsulation = child.encapsulation == EspEncapsulation::udp ? "udp" : "raw";
  report.esn = child.suite.ends_with(" ESN");
  report.local = texts(child.local);
  report.remote = texts(child.remote);
  report.established_s = seconds_between(child.established, sources.now);
  report.rekey_in_s = seconds_until(child.rekey_at, sources.now);
  if (const auto traffic = sources.plane.traffic(child.inbound_spi)) {
    report.inbound_packets = traffic->inbound_packets;
    report.inbound_bytes = traffic->inbound_bytes;
    report.outbound_packets = traffic->outbound_packets;
    report.outbound_bytes = traffic->outbound_bytes;
  }
  fill_traffic(child, sources, report);
  return report;
}

bool passes(const ike::ChildStatus& child, const StatusSources& sources) {
  const TrafficWatch::Child* known = sources.traffic != nullptr ? sources.traffic->find(child.child) : nullptr;
  const ike::PeerConfig* peer = known != nullptr ? sources.config.peer(known->peer) : nullptr;
  return peer == nullptr || !traffic_state(*known, sources.now, peer->probe_interval).degraded();
}

control::TunnelReport make_tunnel(const config::TunnelSettings& settings, const ike::PeerStatus* peer,
                                  const StatusSources& sources) {
  control::TunnelReport report;
  report.name = settings.plane.name;
  report.device = settings.plane.device;
  report.carry = settings.plane.carry == tunnel::Carry::gre ? "gre" : "ip";
  report.state = sources.config.peer(settings.peer)->pools.empty() ? "down" : "up";  // ready for clients
  if (peer != nullptr) {
    for (const auto& child : peer->children) {
      if (child.child != settings.plane.child) continue;
      report.child = child.name;
      if (child.up) report.state = passes(child, sources) ? "up" : "degraded";
    }
  }
  report.mtu = sources.mtu(settings.plane.id);
  report.key = settings.plane.gre_key;
  for (const auto& address : settings.addresses) report.addresses.push_back(address.to_string());
  for (const auto& route : settings.routes) report.routes.push_back(route.to_string());
  const auto counters = sources.plane.counters(settings.plane.id);
  report.inbound_packets = counters.inbound_packets;
  report.inbound_bytes = counters.inbound_bytes;
  report.outbound_packets = counters.outbound_packets;
  report.outbound_bytes = counters.outbound_bytes;
  return report;
}

void fill_established(const ike::PeerStatus& peer, const StatusSources& sources, control::PeerReport& report) {
  report.local = peer.path.local.to_string();
  report.remote = sources.endpoint_text(peer.path.remote);
  report.local_auth = log::sanitize(peer.local_auth);
  report.remote_auth = log::sanitize(peer.remote_auth);
  if (peer.remote_certificate_until)
    report.remote_auth += ", valid until " + crypto::wall_time_text(*peer.remote_certificate_until);
  report.role = peer.initiator ? "initiator" : "responder";
  report.suite = peer.suite;
  report.spi_i = fmt::format("0x{:016x}", peer.spi_i.value());
  report.spi_r = fmt::format("0x{:016x}", peer.spi_r.value());
  report.nat_local = peer.nat_local;
  report.nat_remote = peer.nat_remote;
  report.mobike = peer.mobike;
  if (peer.rtt) {
    report.rtt_us = microseconds(*peer.rtt);
    report.jitter_us = microseconds(peer.jitter);
  }
  if (const PathMtu* path = sources.paths != nullptr ? sources.paths->find(peer.peer) : nullptr) {
    report.path_mtu = path->size();
    report.path_mtu_state = path_state_text(path->state());
  }
  report.established_s = seconds_between(peer.established, sources.now);
  report.rekey_in_s = seconds_until(peer.rekey_at, sources.now);
}

control::PeerReport make_peer(const ike::PeerConfig& config, const ike::PeerStatus* peer,
                              const StatusSources& sources) {
  control::PeerReport report;
  report.name = config.name;
  report.remote_id = config.remote_id.to_string();
  report.state = "down";
  if (peer != nullptr) {
    report.state = state_text(*peer);
    if (!peer->remote_id.empty()) report.remote_id = log::sanitize(peer->remote_id);
    if (peer->state == ike::PeerStatus::State::established) {
      fill_established(*peer, sources, report);
    } else {
      report.reason = log::sanitize(peer->reason);
      report.retry_in_s = seconds_until(peer->retry_at, sources.now);
    }
    report.downs = peer->downs;
    report.last_down = log::sanitize(peer->last_down);
    if (peer->last_down_at) report.last_down_s = seconds_between(*peer->last_down_at, sources.now);
    report.clients = peer->clients;
    if (peer->virtual_net) {
      for (const auto& address : peer->virtual_net->addresses) report.virtual_addresses.push_back(address.to_string());
      for (const auto& server : peer->virtual_net->dns) report.dns.push_back(server.to_string());
      report.domains = peer->virtual_net->domains;
    }
    report.ike_sas = peer->ike_sas;
    report.child_sas = peer->child_sas;
    // A peer with clients has no children of its own.
    if (config.pools.empty())
      for (const auto& child : peer->children) report.children.push_back(make_child(child, sources));
  }
  for (const auto& settings : sources.config.tunnels)
    if (settings.peer == config.id) report.tunnels.push_back(make_tunnel(settings, peer, sources));
  return report;
}

control::CertificateReport make_certificate(const config::WatchedCertificate& watched, crypto::WallTime now) {
  control::CertificateReport report;
  report.key = watched.key;
  report.name = watched.certificate.name();
  const crypto::WallTime not_after = watched.certificate.not_after();
  report.not_after = crypto::wall_time_text(not_after);
  report.expires_in_s = not_after > now ? static_cast<std::uint64_t>((not_after - now).count()) : 0;
  report.warning = config::expiry_warning(watched, now).value_or("");
  return report;
}

}  // namespace

control::StatusReport make_status(const StatusSources& sources) {
  control::StatusReport report;
  report.version = CULVERT_VERSION;
  report.id = sources.config.gateway.id.to_string();
  report.uptime_s = seconds_between(sources.started, sources.now);
  report.pid = static_cast<std::uint64_t>(::getpid());
  report.aead = std::string(crypto::aead_implementation());
  report.workers = sources.config.gateway.workers;
  report.packet_memory = sources.plane.packet_memory();
  for (const auto& config : sources.config.peers) {
    const auto found = std::ranges::find(sources.peers, config.id, &ike::PeerStatus::peer);
    report.peers.push_back(make_peer(config, found == sources.peers.end() ? nullptr : &*found, sources));
  }
  for (const auto& watched : sources.config.certificates)
    report.certificates.push_back(make_certificate(watched, sources.wall_time));
  report.revocation = sources.revocation;
  PrivilegeReport may = privileges();
  report.uid = may.uid;
  report.capabilities = std::move(may.capabilities);
  report.protections = std::move(may.protections);
  return report;
}

control::UserReport make_user(const ike::PeerStatus& client, const config::Config& config,
                              const tunnel::DataPlane& plane, TimePoint now) {
  control::UserReport report;
  report.user = log::sanitize(client.user);
  report.name = log::sanitize(client.name);
  const ike::PeerConfig* of = client.client_of ? config.peer(*client.client_of) : nullptr;
  if (of) report.peer = of->name;
  report.groups = client.groups;
  if (client.virtual_net)
    for (const auto& address : client.virtual_net->addresses) report.addresses.push_back(address.to_string());
  report.remote = client.path.remote.to_string();
  report.remote_auth = log::sanitize(client.remote_auth);
  report.established_s = seconds_between(client.established, now);
  for (const auto& child : client.children) {
    const auto traffic = child.up ? plane.traffic(child.inbound_spi) : std::nullopt;
    report.inbound_bytes += traffic ? traffic->inbound_bytes : 0;
    report.outbound_bytes += traffic ? traffic->outbound_bytes : 0;
  }
  return report;
}

std::vector<control::DropReport> make_drops(const tunnel::DataPlane& plane) {
  const auto counters = plane.drops();
  std::vector<control::DropReport> reports;
  for (std::size_t i = 0; i < num_drop_reasons && i < counters.size(); ++i) {
    const auto reason = static_cast<DropReason>(i);
    reports.push_back({std::string(drop_reason_name(reason)), std::string(drop_reason_text(reason)), counters[i]});
  }
  return reports;
}

std::string path_state_text(PathMtu::State state) {
  switch (state) {
    case PathMtu::State::unconfirmed:
      return "unconfirmed";
    case PathMtu::State::searching:
      return "searching";
    case PathMtu::State::confirmed:
      return "confirmed";
    case PathMtu::State::dark:
      return "dark";
    case PathMtu::State::off:
      break;
  }
  return "off";
}

std::string selector_text(const TrafficSelector& selector) {
  std::string text = range_text(selector);
  const bool all_ports = selector.start_port == 0 && selector.end_port == 65535;
  if (selector.protocol == 0 && all_ports) return text;
  text += "[" + (selector.protocol == 0 ? std::string("any") : protocol_text(selector.protocol));
  if (selector.start_port == 65535 && selector.end_port == 0) {
    text += "/opaque";  // RFC 7296 §3.13.1
  } else if (!all_ports) {
    text += selector.start_port == selector.end_port ? fmt::format("/{}", selector.start_port)
                                                     : fmt::format("/{}-{}", selector.start_port, selector.end_port);
  }
  return text + "]";
}

}  // namespace culvert::daemon

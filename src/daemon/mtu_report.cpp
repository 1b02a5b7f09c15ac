// `culvert mtu`: what the path to a peer carries, and what is left of it inside.
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "culvert/control/mtu.h"
#include "daemon.h"
#include "status_report.h"
#include "tunnel_mtu.h"

namespace culvert::daemon {
namespace {

/// RFC 9293 §3.2 and RFC 791 §3.1, RFC 8200 §3: headers without options.
constexpr std::uint64_t tcp_over_v4 = 40, tcp_over_v6 = 60;

std::vector<control::MtuShare> shares_of(const tunnel::TunnelConfig& tunnel, const SaShape& sa, std::uint64_t outer,
                                         std::uint64_t inner) {
  const crypto::CipherSuiteInfo& suite = crypto::info(sa.suite);
  const bool v4 = sa.outer_family == IpFamily::v4, udp = sa.encapsulation == EspEncapsulation::udp;
  std::vector<control::MtuShare> shares = {{v4 ? "outer IPv4 header" : "outer IPv6 header", v4 ? 20u : 40u}};
  if (udp) shares.push_back({"UDP header (ESP in UDP)", 8});
  shares.push_back({"ESP header", 8});
  shares.push_back({"ESP IV", suite.iv_len});
  if (tunnel.carry == tunnel::Carry::gre) {
    const std::size_t gre = 4u + (tunnel.gre_checksum ? 4u : 0u) + (tunnel.gre_key ? 4u : 0u) + (tunnel.gre_sequence ? 4u : 0u);
    const std::size_t delivery = tunnel_overhead(tunnel, sa) - gre;
    if (delivery != 0) shares.push_back({"delivery header of GRE", delivery});
    shares.push_back({"GRE header", gre});
  }
  shares.push_back({"ESP trailer", 2});
  shares.push_back({"ESP ICV", suite.icv_len});
  std::uint64_t sum = inner;
  for (const control::MtuShare& share : shares) sum += share.bytes;
  if (outer > sum) shares.push_back({fmt::format("left over: ESP is made of blocks of {}", suite.block_len), outer - sum});
  return shares;
}

}  // namespace

/// `search`: asks about the path anew.
control::Response Daemon::answer_mtu(const control::Request& request) {
  control::Response response;
  const ike::PeerConfig* peer = config_.peer_named(request.peer);
  if (peer == nullptr) {
    response.code = "not_found";
    response.error = "there is no such peer";
    return response;
  }
  if (paths_.find(peer->id) == nullptr) {
    response.code = "invalid";
    response.error = fmt::format("{}: nothing is known of its path: it is not up, or is reached by TCP, or has clients, or "
                                 "path_mtu_discovery is off", request.peer);
    return response;
  }
  response.ok = true;
  if (request.what != "search") return response;
  paths_.on_suspicion(Clock::now(), peer->id);
  probe_soon();
  perform({});
  return response;
}

control::MtuReport Daemon::mtu_report(const ike::PeerConfig& peer) const {
  control::MtuReport report;
  report.peer = peer.name;
  const PathMtu* path = paths_.find(peer.id);
  if (path == nullptr) return report;
  report.path_mtu = path->size();
  report.link_mtu = path->largest();
  report.state = path_state_text(path->state());
  report.asking = path->asked().has_value();
  report.asked_by = path->state() == PathMtu::State::off   ? "nothing"
                    : pinged_paths_.contains(peer.id) ? "echoes through the tunnel"
                                                      : "IKE";
  for (const auto& settings : config_.tunnels) {
    if (settings.peer != peer.id) continue;
    const InstalledSa* sa = installed_for(settings.plane.child);
    if (sa == nullptr) continue;
    report.remote = sa->remote.to_string();
    control::MtuTunnel tunnel;
    tunnel.name = settings.plane.name;
    tunnel.device = settings.plane.device;
    tunnel.device_mtu = machine_->mtu(settings.plane.id);
    tunnel.configured = settings.plane.mtu != 0;
    tunnel.inner_mtu = largest_inner(settings.plane, sa->shape, path->size());
    const std::uint64_t used = std::min(tunnel.inner_mtu, tunnel.device_mtu);
    tunnel.mss_v4 = used > tcp_over_v4 ? used - tcp_over_v4 : 0;
    tunnel.mss_v6 = used > tcp_over_v6 ? used - tcp_over_v6 : 0;
    tunnel.shares = shares_of(settings.plane, sa->shape, path->size(), tunnel.inner_mtu);
    report.tunnels.push_back(std::move(tunnel));
  }
  return report;
}

/// One line, into the empty buffer of a socket.
void Daemon::send_mtu(const std::string& name, ControlServer::Protocol::socket socket) const {
  const ike::PeerConfig* peer = config_.peer_named(name);
  if (peer == nullptr) return;
  const std::string line = control::to_json(mtu_report(*peer)) + "\n";
  (void)!::send(socket.native_handle(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace culvert::daemon

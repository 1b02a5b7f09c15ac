// What `culvert capture` asks for: where the packets are, and keys to read them with. The packets themselves the
// command takes from the kernel.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "culvert/base/log.h"
#include "daemon.h"

namespace culvert::daemon {
namespace {

/// More of them would make a long program of every packet's filter, for little.
constexpr std::size_t max_hosts = 32;

/// The later parts of a fragmented datagram have no ports.
constexpr const char* later_fragments = " or (ip proto 17 and ip[6:2] & 0x1fff != 0) or ip6 proto 44";

control::Response refuse_capture(std::string code, std::string error) {
  control::Response response;
  response.code = std::move(code);
  response.error = std::move(error);
  return response;
}

/// pcap-filter(7): one end has one of our ports, whatever a NAT makes of the other.
std::string outer_filter(const config::Config& config, const std::set<IpAddress>& hosts) {
  const auto& gateway = config.gateway;
  std::string packets = fmt::format("esp or udp port {} or udp port {}", gateway.ike_port, gateway.nat_port);
  std::set<std::uint16_t> tcp_ports{gateway.tcp_port};
  for (const auto& peer : config.peers) tcp_ports.insert(peer.tcp_port);
  for (const std::uint16_t port : tcp_ports)
    if (port != 0) packets += fmt::format(" or tcp port {}", port);
  if (hosts.empty() || hosts.size() > max_hosts) return packets;
  std::vector<std::string> each;
  for (const IpAddress& host : hosts) each.push_back("host " + host.to_string());
  return fmt::format("({}{}) and ({})", packets, later_fragments, fmt::join(each, " or "));
}

}  // namespace

std::optional<Daemon::CaptureTarget> Daemon::find_target(const std::string& name) const {
  CaptureTarget target;
  if (name.empty()) {
    target.text = "all peers";
    for (const auto& tunnel : config_.tunnels) target.tunnels.push_back(&tunnel);
    return target;
  }
  if (const ike::PeerConfig* peer = config_.peer_named(name)) {
    target.peer = peer->id;
    target.text = fmt::format("peer {}", name);
    for (const auto& tunnel : config_.tunnels)
      if (tunnel.peer == peer->id) target.tunnels.push_back(&tunnel);
    return target;
  }
  const config::TunnelSettings* tunnel = config_.tunnel_named(name);
  if (tunnel == nullptr) return std::nullopt;
  target.peer = tunnel->peer;
  target.text = fmt::format("peer {}", name_of(tunnel->peer));
  target.tunnels.push_back(tunnel);
  return target;
}

control::Response Daemon::answer_capture(const std::string& name) const {
  const auto target = find_target(name);
  if (!target) return refuse_capture("not_found", fmt::format("there is no peer or tunnel {}", log::sanitize(name)));
  std::set<IpAddress> hosts;
  if (target->peer) {
    for (const IpAddress& address : ike_->whereabouts(*target->peer)) {
      hosts.insert(address);
      hosts.insert(streams_.true_remote(address));  // by TCP: the other end of the connection
    }
  }
  control::Response response;
  response.ok = true;
  auto& capture = response.capture.emplace();
  for (const auto* tunnel : target->tunnels)
    capture.devices.push_back({tunnel->plane.name, tunnel->plane.device, name_of(tunnel->peer)});
  capture.outer = outer_filter(config_, hosts);
  capture.allow_key_export = config_.gateway.allow_key_export;
  return response;
}

control::Response Daemon::answer_keys(TimePoint now, const control::Request& request) {
  control::Response response;
  response.ok = true;
  if (request.what == "stop") {
    if (key_export_.take(now, request.by)) end_key_export("it was stopped");
    return response;
  }
  if (request.what != "more") {
    if (!config_.gateway.allow_key_export)
      return refuse_capture("invalid", "keys are not given out: [gateway] has no allow_key_export = true");
    const auto target = find_target(request.peer);
    if (!target)
      return refuse_capture("not_found", fmt::format("there is no peer or tunnel {}", log::sanitize(request.peer)));
    KeyExport::Order order{request.by, target->text, target->peer, std::chrono::seconds(std::stoul(request.what))};
    if (auto begun = key_export_.begin(now, std::move(order)); !begun)
      return refuse_capture("busy", begun.error().detail);
    ike_->emit_keys(true);
    for (const auto& keys : ike_->copy_keys()) export_keys(keys);
    for (const auto& keys :
         plane_->copy_keys([this](PeerId id) { return key_export_.wants(ike_->configured_peer(id)); }))
      export_keys(keys);
  }
  auto lines = key_export_.take(now, request.by);
  if (!lines) return refuse_capture("not_found", lines.error().detail);
  response.keys = std::move(*lines);
  return response;
}

void Daemon::end_key_export(const std::string& why) {
  key_export_.end(why);
  ike_->emit_keys(debug_keys_.has_value());
}

void Daemon::watch_key_export(TimePoint now) {
  if (!key_export_.active()) return;
  key_export_.on_tick(now);
  if (!key_export_.active()) return ike_->emit_keys(debug_keys_.has_value());
  if (!config_.gateway.allow_key_export) end_key_export("the configuration allows it no more");
}

/// Of somebody who calls and has not said yet who he is it counts whether he comes from where the peer is.
void Daemon::export_keys(const ike::DebugIkeKeys& keys) {
  if (!key_export_.active()) return;
  bool wanted = keys.peer && key_export_.wants(*keys.peer);
  if (!keys.peer) {
    const auto named = key_export_.peer();
    const auto places = named ? ike_->whereabouts(*named) : std::vector<IpAddress>{};
    wanted = places.empty() || std::ranges::find(places, keys.remote) != places.end();
  }
  if (!wanted) return;
  if (auto line = tshark_ike_line(keys)) key_export_.add(std::move(*line));
}

void Daemon::export_keys(const ChildSaKeys& keys) {
  if (!key_export_.active() || !key_export_.wants(ike_->configured_peer(keys.peer))) return;
  const IpFamily outer = keys.remote_endpoint.address.family();
  auto inbound = tshark_esp_line(outer, keys.inbound_spi, keys.suite, keys.inbound);
  auto outbound = tshark_esp_line(outer, keys.outbound_spi, keys.suite, keys.outbound);
  if (inbound) key_export_.add(std::move(*inbound));
  if (outbound) key_export_.add(std::move(*outbound));
}

}  // namespace culvert::daemon

#include "stream_paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace culvert::daemon {
namespace {

constexpr std::uint32_t loopback = 0x7f000001;

/// The relay reaches the data plane by IPv4: where that listens, or by 127.0.0.1 when it listens everywhere.
std::optional<IpAddress> reachable(const std::vector<IpAddress>& listen) {
  const auto v4 = std::ranges::find_if(listen, &IpAddress::is_v4);
  if (v4 == listen.end()) return std::nullopt;
  return v4->is_unspecified() ? IpAddress::v4(loopback) : *v4;
}

}  // namespace

Result<StreamPaths> StreamPaths::open(const config::Config& config) {
  StreamPaths paths;
  const auto& gateway = config.gateway;
  const bool called = std::ranges::any_of(config.peers, [](const auto& peer) { return peer.tcp_port != 0; });
  if (gateway.tcp_port == 0 && !called) return paths;
  if (auto opened = paths.open_relay(gateway); !opened) return std::unexpected(opened.error());
  for (const IpAddress& address : gateway.listen) {
    if (gateway.tcp_port == 0) break;
    if (auto listening = paths.relay_->listen({address, gateway.tcp_port}); !listening)
      return std::unexpected(listening.error());
  }
  if (auto added = paths.replace_peers(config); !added) return std::unexpected(added.error());
  return paths;
}

Result<void> StreamPaths::open_relay(const config::GatewayConfig& gateway) {
  const auto ours = reachable(gateway.listen);
  if (!ours) return fail(Errc::unsupported, "tcp_port needs an IPv4 address in gateway.listen");
  ours_ = {*ours, gateway.nat_port};
  auto relay = StreamRelay::create({.daemon = ours_});
  if (!relay) return std::unexpected(relay.error());
  relay_ = std::move(*relay);
  return {};
}

Result<void> StreamPaths::replace_peers(const config::Config& config) {
  std::map<PeerId, StandIn> next;
  std::vector<Endpoint> spare = spare_;
  for (const auto& peer : config.peers) {
    if (peer.tcp_port == 0) continue;
    const auto known = stand_ins_.find(peer.id);
    if (known != stand_ins_.end() && known->second.endpoint.port == peer.nat_port) {
      next[peer.id] = {known->second.endpoint, peer.tcp_port};
      continue;
    }
    if (!relay_)
      if (auto opened = open_relay(config.gateway); !opened) return opened;
    if (const auto free = std::ranges::find(spare, peer.nat_port, &Endpoint::port); free != spare.end()) {
      next[peer.id] = {*free, peer.tcp_port};
      spare.erase(free);
      continue;
    }
    const auto stands_for = relay_->add_target(peer.nat_port);
    if (!stands_for) return std::unexpected(stands_for.error());
    next[peer.id] = {{*stands_for, peer.nat_port}, peer.tcp_port};
  }
  for (const auto& [id, stand_in] : stand_ins_) {
    const auto kept = next.find(id);
    if (kept != next.end() && kept->second.endpoint == stand_in.endpoint) continue;
    relay_->set_target(stand_in.endpoint.address, std::nullopt);
    spare.push_back(stand_in.endpoint);
  }
  stand_ins_ = std::move(next);
  spare_ = std::move(spare);
  return {};
}

void StreamPaths::add_to(PeerId peer, std::vector<ike::Path>& paths) {
  const auto found = stand_ins_.find(peer);
  if (found == stand_ins_.end() || paths.empty()) return;
  const StandIn& stand_in = found->second;
  relay_->set_target(stand_in.endpoint.address, Endpoint{paths.front().remote.address, stand_in.tcp_port});
  paths.push_back({ours_, stand_in.endpoint});
}

std::optional<ike::Path> StreamPaths::take_from(PeerId peer, std::vector<IpAddress>& remotes) const {
  const auto found = stand_ins_.find(peer);
  if (found == stand_ins_.end()) return std::nullopt;
  const Endpoint& endpoint = found->second.endpoint;
  if (std::erase(remotes, endpoint.address) == 0) return std::nullopt;
  return ike::Path{ours_, endpoint};
}

void StreamPaths::on_network_change() {
  if (relay_) relay_->reconnect();
}

IpAddress StreamPaths::true_remote(const IpAddress& address) const {
  const auto other = relay_ ? relay_->other_end(address) : std::nullopt;
  return other ? other->address : address;
}

std::string StreamPaths::text_of(const Endpoint& endpoint) const {
  const auto other = relay_ ? relay_->other_end(endpoint.address) : std::nullopt;
  return other ? other->to_string() + " by TCP" : endpoint.to_string();
}

}  // namespace culvert::daemon

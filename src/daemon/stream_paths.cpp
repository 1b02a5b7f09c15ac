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
  const auto ours = reachable(gateway.listen);
  if (!ours) return fail(Errc::unsupported, "tcp_port needs an IPv4 address in gateway.listen");
  paths.ours_ = {*ours, gateway.nat_port};
  auto relay = StreamRelay::create({.daemon = paths.ours_});
  if (!relay) return std::unexpected(relay.error());
  paths.relay_ = std::move(*relay);
  for (const IpAddress& address : gateway.listen) {
    if (gateway.tcp_port == 0) break;
    if (auto listening = paths.relay_->listen({address, gateway.tcp_port}); !listening)
      return std::unexpected(listening.error());
  }
  for (const auto& peer : config.peers) {
    if (peer.tcp_port == 0) continue;
    const auto stands_for = paths.relay_->add_target(peer.nat_port);
    if (!stands_for) return std::unexpected(stands_for.error());
    paths.stand_ins_[peer.id] = {{*stands_for, peer.nat_port}, peer.tcp_port};
  }
  return paths;
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

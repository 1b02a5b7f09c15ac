// The MTU of the paths to the peers: who is asked when, and what follows from the answers. What is asked is in
// path_mtu.cpp, how it is asked in src/ike/path_probe.cpp. ICMP has no part in it: whoever forges a "too big" changes
// nothing.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "culvert/base/log.h"
#include "daemon.h"

namespace culvert::daemon {
namespace {

/// A path that carries many large packets is asked about now and then, whether or not anything comes back: two streams
/// may hide that one of them has stopped.
constexpr Duration confirm_every = std::chrono::seconds(10);
constexpr std::uint64_t large_packet = 1000;  // bytes, on average
constexpr std::uint64_t busy_packets = 2;     // in a tick: a stream that has stopped still repeats itself

}  // namespace

/// New SAs, or SAs that have moved. A device of many clients has many paths, and a TCP connection has none of its own.
void Daemon::watch_path(PeerId peer, const IpAddress& remote) {
  const ike::PeerConfig* config = config_.peer(peer);
  if (config == nullptr || !config->pools.empty() || !config->path_mtu_discovery ||
      streams_.true_remote(remote) != remote)
    return;
  paths_.on_path(peer, remote);
  probe_soon();
}

/// Something left by an SA pair and nothing has come back: perhaps it was too large.
void Daemon::suspect_path(TimePoint now, Spi inbound_spi) {
  const auto sa = installed_.find(inbound_spi);
  if (sa == installed_.end()) return;
  paths_.on_suspicion(now, sa->second.peer);
  probe_soon();
}

void Daemon::suspect_busy_path(TimePoint now, InstalledSa& sa, const ChildTraffic& traffic) {
  const std::uint64_t packets = traffic.outbound_packets - sa.traffic.outbound_packets;
  const std::uint64_t bytes = traffic.outbound_bytes - sa.traffic.outbound_bytes;
  if (packets < busy_packets || bytes / packets < large_packet || now - sa.confirmed_at < confirm_every) return;
  sa.confirmed_at = now;
  paths_.on_suspicion(now, sa.peer);
}

void Daemon::adapt_mtu(const InstalledSa& sa) {
  const PathMtu* known = paths_.find(sa.peer);
  machine_->adapt_mtu(*plane_, sa.child, sa.shape, sa.remote, known != nullptr ? known->size() : 65535u);
}

/// Behind whatever is being performed now.
void Daemon::probe_soon() {
  follow_ups_.push_back([this](TimePoint now) { return next_probe(now); });
}

ike::Actions Daemon::next_probe(TimePoint now) {
  const auto probe = paths_.next(now, [this](const IpAddress& remote) {
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(machine_->path_mtu(remote), 9216));
  });
  if (!probe) return {};
  probe_soon();  // for the peer behind it
  if (pinged_paths_.contains(probe->peer) && ping_path(now, probe->peer, probe->size)) return {};
  auto [begun, actions] = ike_->probe_path(now, probe->peer, probe->size);
  if (!begun && !ping_path(now, probe->peer, probe->size)) paths_.switch_off(probe->peer);  // until it has new SAs
  return std::move(actions);
}

void Daemon::perform_one(ike::PathProbed& probed) {
  const TimePoint now = Clock::now();
  if (!probed.possible) {
    const PathMtu* asked = paths_.find(probed.peer);
    if (asked && asked->asked() && ping_path(now, probed.peer, *asked->asked())) return;
    log::info("peer {}: it takes no IKE fragments in INFORMATIONAL, so that the MTU of the path cannot be found out",
              name_of(probed.peer));
    return paths_.switch_off(probed.peer);
  }
  const PathMtu* known = paths_.find(probed.peer);
  const auto before = known != nullptr ? known->state() : PathMtu::State::off;
  const bool changed = paths_.on_result(now, probed);
  probe_soon();
  if (known == nullptr) return;
  if (known->state() == PathMtu::State::dark && before != PathMtu::State::dark)
    log::debug("peer {}: the MTU of the path is unknown: not even small probes were answered", name_of(probed.peer));
  if (!changed) return;
  tell(log::Level::info, log::Subject{.peer = name_of(probed.peer), .event = EventKind::path_mtu},
       fmt::format("peer {}: the path to {} carries packets of {} bytes{}", name_of(probed.peer),
                   probed.path.remote.address.to_string(), known->size(),
                   known->size() < known->largest()
                       ? fmt::format(" (our link takes {}); larger ones vanish", known->largest())
                       : ""));
  for (const auto& [spi, sa] : installed_)
    if (sa.peer == probed.peer) adapt_mtu(sa);
}

}  // namespace culvert::daemon

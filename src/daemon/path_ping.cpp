// The MTU of the path to a peer that IKE cannot ask about (path_watch.cpp): by echoes through the tunnel, which make
// outer packets of the size in question with DF. Somebody behind the tunnel answers with as much, so what is found is
// what both directions carry. Only who is known to answer is asked: silence would mean nothing.
#include <algorithm>
#include <chrono>

#include "daemon.h"
#include "tunnel_mtu.h"

namespace culvert::daemon {
namespace {

constexpr std::uint32_t path_mark = 0x40000000;  // in the identifier of an echo; no ChildId goes so far
constexpr int most_tries = 3;                    // RFC 8899 §5.1.2: MAX_PROBES
constexpr Duration shortest_ping_wait = std::chrono::milliseconds(200), longest_ping_wait = std::chrono::seconds(1);

}  // namespace

bool Daemon::is_path_echo(std::uint32_t id) noexcept {
  return (id & path_mark) != 0;
}

/// The child of the peer that a ping can go through, and whether it would be answered.
const Daemon::InstalledSa* Daemon::pingable_sa(PeerId peer) const {
  for (const auto& [spi, sa] : installed_) {
    if (sa.peer != peer) continue;
    const TrafficWatch::Child* child = traffic_.find(sa.child);
    if (child == nullptr) continue;
    const auto far = machine_->far_end(sa.child);
    const bool answers =
        child->probe == TrafficWatch::Probe::echo || (far && (far->named || child->passage.answered()));
    if (answers) return &sa;
  }
  return nullptr;
}

/// False: nobody behind the peer is known to answer.
bool Daemon::ping_path(TimePoint now, PeerId peer, std::uint16_t size) {
  const InstalledSa* sa = pingable_sa(peer);
  if (sa == nullptr) {
    pinged_paths_.erase(peer);
    return false;
  }
  PathPing& ping = pinged_paths_[peer];
  ping.size = size;
  ping.tries = 0;
  send_path_ping(now, peer, *sa, ping);
  return true;
}

void Daemon::send_path_ping(TimePoint now, PeerId peer, const InstalledSa& sa, PathPing& ping) {
  const config::TunnelSettings* tunnel = config_.tunnel_of(sa.child);
  const std::size_t inner = tunnel ? largest_inner(tunnel->plane, sa.shape, ping.size) : 0;
  const auto asked = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  const wire::Echo echo{
      wire::Echo::Type::question, ++ping.number, path_mark | peer.value(), static_cast<std::uint64_t>(asked), 0, 0};
  if (ping.tries == 0) ping.first_number = ping.number;
  ++ping.tries;
  // What does not leave is as good as lost: our own link is too small for it.
  if (inner != 0) [[maybe_unused]]
    const bool sent = send_probe(sa.child, echo, inner, true);
  const TrafficWatch::Child* child = traffic_.find(sa.child);
  const Duration rtt = child ? child->passage.rtt().value_or(Duration{}) + 4 * child->passage.jitter() : Duration{};
  ping.due = now + std::clamp<Duration>(rtt * 2, shortest_ping_wait, longest_ping_wait);
  arm_path_pings();
}

void Daemon::arm_path_pings() {
  TimePoint next = TimePoint::max();
  for (const auto& [peer, ping] : pinged_paths_)
    if (ping.size != 0) next = std::min(next, ping.due);
  if (next == TimePoint::max()) return;
  path_pings_.expires_at(next);
  path_pings_.async_wait([this](const boost::system::error_code& error) {
    if (!error && !stopping_) on_path_ping_lost(Clock::now());
  });
}

void Daemon::on_path_ping_lost(TimePoint now) {
  std::vector<PeerId> failed;
  for (auto& [peer, ping] : pinged_paths_) {
    if (ping.size == 0 || now < ping.due) continue;
    const InstalledSa* sa = ping.tries < most_tries ? pingable_sa(peer) : nullptr;
    if (sa != nullptr) {
      send_path_ping(now, peer, *sa, ping);
    } else {
      failed.push_back(peer);
    }
  }
  for (const PeerId peer : failed) finish_path_ping(peer, false);
  arm_path_pings();
}

void Daemon::on_path_ping_answer(const wire::Echo& echo, std::optional<ChildId> by) {
  const auto found = pinged_paths_.find(PeerId(echo.id & ~path_mark));
  if (found == pinged_paths_.end() || found->second.size == 0) return;
  const TrafficWatch::Child* child = by ? traffic_.find(*by) : nullptr;
  if (by && (child == nullptr || child->peer != found->first)) return;
  const PathPing& ping = found->second;
  if (static_cast<std::uint16_t>(echo.sequence - ping.first_number) >= ping.tries) return;  // of another size
  finish_path_ping(found->first, true);
}

void Daemon::finish_path_ping(PeerId peer, bool passed) {
  const std::uint16_t size = std::exchange(pinged_paths_[peer].size, std::uint16_t{0});
  const auto sa = std::ranges::find_if(installed_, [&](const auto& entry) { return entry.second.peer == peer; });
  if (sa == installed_.end()) {
    pinged_paths_.erase(peer);
    return paths_.switch_off(peer);  // until it has new SAs
  }
  ike::PathProbed probed{.peer = peer, .path = {}, .size = size, .passed = passed};
  probed.path.remote.address = sa->second.remote;
  perform_one(probed);
  perform({});  // what follows from it
}

/// Somebody behind the peer has answered for the first time: now its path can be asked about.
void Daemon::on_first_answer(PeerId peer) {
  const PathMtu* known = paths_.find(peer);
  const InstalledSa* sa = pingable_sa(peer);
  if (known == nullptr || known->state() != PathMtu::State::off || sa == nullptr) return;
  watch_path(peer, sa->remote);
  perform({});
}

}  // namespace culvert::daemon

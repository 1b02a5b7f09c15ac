#include "path_prober.h"

namespace culvert::daemon {

void PathProber::on_path(TimePoint now, PeerId peer, const IpAddress& remote, std::uint16_t largest) {
  const auto found = paths_.find(peer);
  const bool same = found != paths_.end() && found->second.remote == remote && found->second.mtu.largest() == largest &&
                    found->second.mtu.state() != PathMtu::State::off;
  if (same) return found->second.mtu.on_suspicion(now);
  paths_.insert_or_assign(peer, Known{remote, PathMtu(largest, remote.family())});
}

void PathProber::on_suspicion(TimePoint now, PeerId peer) {
  const auto found = paths_.find(peer);
  if (found != paths_.end()) found->second.mtu.on_suspicion(now);
}

bool PathProber::on_result(TimePoint now, const ike::PathProbed& result) {
  const auto found = paths_.find(result.peer);
  if (found == paths_.end() || found->second.remote != result.path.remote.address) return false;
  const std::uint16_t before = found->second.mtu.size();
  found->second.mtu.on_result(now, result.size, result.passed);
  return found->second.mtu.size() != before;
}

void PathProber::switch_off(PeerId peer) {
  const auto found = paths_.find(peer);
  if (found != paths_.end()) found->second.mtu.switch_off();
}

std::optional<PathProber::Probe> PathProber::next(TimePoint now) {
  for (auto& [peer, known] : paths_)
    if (const auto size = known.mtu.next(now)) return Probe{peer, *size};
  return std::nullopt;
}

const PathMtu* PathProber::find(PeerId peer) const {
  const auto found = paths_.find(peer);
  return found == paths_.end() ? nullptr : &found->second.mtu;
}

}  // namespace culvert::daemon

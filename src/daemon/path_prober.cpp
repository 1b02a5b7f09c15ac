#include "path_prober.h"

#include <utility>

namespace culvert::daemon {

void PathProber::on_path(TimePoint now, PeerId peer, const IpAddress& remote, std::uint16_t largest) {
  const auto found = paths_.find(peer);
  const bool same = found != paths_.end() && found->second.remote == remote && found->second.mtu.largest() == largest &&
                    found->second.mtu.state() != PathMtu::State::off;
  if (same) return on_suspicion(now, peer);
  const bool listed = found != paths_.end() && found->second.listed;
  const auto [known, added] = paths_.insert_or_assign(peer, Known{remote, PathMtu(largest, remote.family()), listed});
  list(peer, known->second, Place::last);
}

void PathProber::list(PeerId peer, Known& known, Place place) {
  if (std::exchange(known.listed, true)) return;
  if (place == Place::first) {
    to_look_at_.push_front(peer);
  } else {
    to_look_at_.push_back(peer);
  }
}

void PathProber::on_suspicion(TimePoint now, PeerId peer) {
  const auto found = paths_.find(peer);
  if (found == paths_.end()) return;
  found->second.mtu.on_suspicion(now);
  list(peer, found->second, Place::first);
}

bool PathProber::on_result(TimePoint now, const ike::PathProbed& result) {
  const auto found = paths_.find(result.peer);
  if (found == paths_.end() || found->second.remote != result.path.remote.address) return false;
  const std::uint16_t before = found->second.mtu.size();
  found->second.mtu.on_result(now, result.size, result.passed);
  list(result.peer, found->second, Place::first);  // a search that has begun is finished
  return found->second.mtu.size() != before;
}

void PathProber::switch_off(PeerId peer) {
  const auto found = paths_.find(peer);
  if (found != paths_.end()) found->second.mtu.switch_off();
}

void PathProber::on_tick() {
  num_sent_ = 0;
  for (auto& [peer, known] : paths_) list(peer, known, Place::last);
}

std::optional<PathProber::Probe> PathProber::next(TimePoint now) {
  while (!to_look_at_.empty() && num_sent_ < max_a_tick) {
    const PeerId peer = to_look_at_.front();
    to_look_at_.pop_front();
    const auto found = paths_.find(peer);
    if (found == paths_.end()) continue;
    found->second.listed = false;
    if (const auto size = found->second.mtu.next(now)) {
      ++num_sent_;
      return Probe{peer, *size};
    }
  }
  return std::nullopt;
}

const PathMtu* PathProber::find(PeerId peer) const {
  const auto found = paths_.find(peer);
  return found == paths_.end() ? nullptr : &found->second.mtu;
}

}  // namespace culvert::daemon

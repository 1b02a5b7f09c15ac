#include "path_prober.h"

#include <utility>

namespace culvert::daemon {

void PathProber::on_path(PeerId peer, const IpAddress& remote) {
  Known& known = paths_[peer];
  if (known.remote != remote) known.mtu.reset();
  known.remote = remote;
  known.changed = true;
  list(peer, known, known.mtu ? Place::first : Place::last);
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
  if (found == paths_.end() || !found->second.mtu) return;
  found->second.mtu->on_suspicion(now);
  list(peer, found->second, Place::first);
}

bool PathProber::on_result(TimePoint now, const ike::PathProbed& result) {
  const auto found = paths_.find(result.peer);
  if (found == paths_.end() || !found->second.mtu || found->second.remote != result.path.remote.address) return false;
  PathMtu& mtu = *found->second.mtu;
  const std::uint16_t before = mtu.size();
  mtu.on_result(now, result.size, result.passed);
  list(result.peer, found->second, Place::first);  // a search that has begun is finished
  return mtu.size() != before;
}

void PathProber::switch_off(PeerId peer) {
  const auto found = paths_.find(peer);
  if (found != paths_.end() && found->second.mtu) found->second.mtu->switch_off();
}

void PathProber::forget_if(const std::function<bool(PeerId)>& gone) {
  std::erase_if(paths_, [&](const auto& entry) { return gone(entry.first); });
}

void PathProber::on_tick() {
  num_sent_ = 0;
  for (auto& [peer, known] : paths_) list(peer, known, Place::last);
}

std::optional<PathProber::Probe> PathProber::next(TimePoint now, const LinkMtu& link_mtu) {
  while (!to_look_at_.empty() && num_sent_ < max_a_tick) {
    const PeerId peer = to_look_at_.front();
    to_look_at_.pop_front();
    const auto found = paths_.find(peer);
    if (found == paths_.end()) continue;
    Known& known = found->second;
    known.listed = false;
    if (std::exchange(known.changed, false)) look_anew(now, known, link_mtu(known.remote));
    if (const auto size = known.mtu->next(now)) {
      ++num_sent_;
      return Probe{peer, *size};
    }
  }
  return std::nullopt;
}

void PathProber::look_anew(TimePoint now, Known& known, std::uint16_t largest) {
  const bool same = known.mtu && known.mtu->largest() == largest && known.mtu->state() != PathMtu::State::off;
  if (same) return known.mtu->on_suspicion(now);
  known.mtu.emplace(largest, known.remote.family());
}

const PathMtu* PathProber::find(PeerId peer) const {
  const auto found = paths_.find(peer);
  return found == paths_.end() || !found->second.mtu ? nullptr : &*found->second.mtu;
}

}  // namespace culvert::daemon

// A peer when the machine's own addresses or routes change.
#include <algorithm>

#include "peer.h"
#include "session.h"

namespace culvert::ike {

namespace {

constexpr Duration network_pause = std::chrono::seconds(5);  // between attempts that changes of the network cause

}  // namespace

void Peer::on_network_change() {
  if (Association* association = preferred()) return association->on_network_change();
  if (admin_down_ || !wanted_ || has_association()) return;
  if (phase_ == Phase::connecting && attempt_ && attempt_->state() == Session::State::init_sent) abandon_attempt();
  // What failed may work now: at once, instead of at the end of a pause that has grown. Not at each of many changes.
  if (phase_ != Phase::backing_off && phase_ != Phase::idle) return;
  const TimePoint earliest = network_retry_ + network_pause;
  if (core_.now() < earliest) {
    phase_ = Phase::backing_off;
    retry_at_ = std::min(retry_at_.value_or(earliest), earliest);
    return;
  }
  network_retry_ = core_.now();
  phase_ = Phase::idle;
  retry_at_.reset();
  want();
}

void Peer::on_paths(std::vector<Path> paths) {
  if (Association* association = preferred()) association->on_paths(std::move(paths));
}

bool Peer::configures_address(const IpAddress& address) const {
  return std::ranges::find(literal_addresses_, address) != literal_addresses_.end();
}

std::vector<IpAddress> Peer::known_addresses() const {
  std::vector<IpAddress> known;
  for (const Path& path : paths_) known.push_back(path.remote.address);
  if (redirected_from_) return known;  // the configured ones are another gateway's, which has none of our IKE SAs
  for (const IpAddress& address : literal_addresses_) known.push_back(address);
  return known;
}

void Peer::start_over(Association& association, const std::string& reason) {
  association.end(reason, false);
  if (admin_down_ || !wanted_ || phase_ != Phase::backing_off) return;
  phase_ = Phase::idle;
  retry_at_.reset();
  want();
}

}  // namespace culvert::ike

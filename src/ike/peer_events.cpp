// What a peer's children come to, for those who watch: a tunnel is down when its last SA is gone, whichever way it
// went.
#include "association.h"
#include "peer.h"

namespace culvert::ike {

void Peer::tell_children() {
  child_gone_ = false;
  for (ChildNeed& need : needs_) {
    if (!need.up || best_child(*need.config, Spi(0))) continue;
    need.up = false;
    const std::string& known = need.reason.empty() ? reason_ : need.reason;
    const std::string reason = known.empty() ? "its SA was deleted" : known;
    log::Subject about = this->about(reason).as(EventKind::tunnel_down);
    about.tunnel = need.config->name;
    core_.report(log::Level::debug, std::move(about),
                 fmt::format("{}: child {} down: {}", label(), need.config->name, reason));
  }
}

void Peer::tell_deleted(const ChildConfig& config, Spi inbound) {
  log::Subject about = this->about().as(EventKind::child_deleted);
  about.tunnel = config.name;
  about.spi = fmt::format("0x{:08x}", inbound.value());
  core_.report(log::Level::debug, std::move(about),
               fmt::format("{}: child {}: an SA that has a successor is gone", label(), config.name));
}

}  // namespace culvert::ike

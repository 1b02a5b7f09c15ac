#pragma once
#include <map>
#include <optional>

#include "culvert/base/ids.h"
#include "culvert/ike/endpoint.h"
#include "path_mtu.h"

namespace culvert::daemon {

/// What is known of the path to each peer that has SAs, and what is to be asked next. Owned by the daemon; control
/// thread.
class PathProber {
 public:
  /// The peer's ESP goes to `remote`, and our link takes `largest` bytes of IP. New to us: nothing is known of it yet.
  /// As before: looked at again, there may be another route behind it.
  void on_path(TimePoint now, PeerId peer, const IpAddress& remote, std::uint16_t largest);
  void on_suspicion(TimePoint now, PeerId peer);
  /// Whether size() is another one now.
  [[nodiscard]] bool on_result(TimePoint now, const ike::PathProbed& result);
  void switch_off(PeerId peer);

  struct Probe {
    PeerId peer;
    std::uint16_t size = 0;  ///< bytes of IP
  };
  /// The next that is due, if any.
  [[nodiscard]] std::optional<Probe> next(TimePoint now);
  /// nullptr: nothing is known of it.
  [[nodiscard]] const PathMtu* find(PeerId peer) const;

 private:
  struct Known {
    IpAddress remote;
    PathMtu mtu;
  };
  std::map<PeerId, Known> paths_;
};

}  // namespace culvert::daemon

#pragma once
#include <cstddef>
#include <deque>
#include <functional>
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
  /// The peer's ESP goes to `remote`. New to us: nothing is known of it yet. As before: looked at again, there may be
  /// another route behind it.
  void on_path(PeerId peer, const IpAddress& remote);
  void on_suspicion(TimePoint now, PeerId peer);
  /// Whether size() is another one now.
  [[nodiscard]] bool on_result(TimePoint now, const ike::PathProbed& result);
  void switch_off(PeerId peer);
  /// Peers that a reload has removed.
  void forget_if(const std::function<bool(PeerId)>& gone);

  /// How many bytes of IP our own link to an address takes: a question to the kernel.
  using LinkMtu = std::function<std::uint16_t(const IpAddress&)>;
  struct Probe {
    PeerId peer;
    std::uint16_t size = 0;  ///< bytes of IP
  };
  /// About once a second: times may have come, and as many probes as max_a_tick may be sent until the next tick.
  void on_tick();
  /// The next that is due, if any: suspicions first, new paths last. When thousands of peers come up at once that has
  /// time, and setting them up has not.
  [[nodiscard]] std::optional<Probe> next(TimePoint now, const LinkMtu& link_mtu);
  static constexpr std::size_t max_a_tick = 100;
  /// nullptr: nothing is known of it.
  [[nodiscard]] const PathMtu* find(PeerId peer) const;

 private:
  struct Known {
    IpAddress remote;
    std::optional<PathMtu> mtu;
    bool changed = false;  ///< perhaps; the link has not been asked
    bool listed = false;
  };
  enum class Place : std::uint8_t { first, last };
  void list(PeerId peer, Known& known, Place place);
  static void look_anew(TimePoint now, Known& known, std::uint16_t largest);

  std::map<PeerId, Known> paths_;
  std::deque<PeerId> to_look_at_;  ///< those that may have a probe that is due; each once, those that are gone, too
  std::size_t num_sent_ = 0;       ///< since the last tick
};

}  // namespace culvert::daemon

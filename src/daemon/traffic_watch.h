#pragma once
#include <optional>
#include <string>
#include <unordered_map>

#include "culvert/base/ids.h"
#include "passage.h"

namespace culvert::daemon {

/// What is known of the traffic of each child SA that is up, by configured peers; clients' are too many, and come and
/// go. Owned by the daemon; control thread.
class TrafficWatch {
 public:
  /// How a child is asked.
  enum class Probe : std::uint8_t {
    none,
    echo,        ///< in a dummy packet: the peer is a culvert
    ping,        ///< by ICMP, somebody behind the tunnel who may answer
    named_ping,  ///< …whom the configuration names: he does
  };
  struct Child {
    PeerId peer;
    Passage passage;
    Probe probe = Probe::none;
    std::uint8_t num_pairs = 0;
    bool told = false;  ///< that nothing gets through

    /// Whether silence means something.
    [[nodiscard]] bool counts() const noexcept {
      return probe == Probe::echo || probe == Probe::named_ping || (probe == Probe::ping && passage.answered());
    }
  };

  /// A pair of SAs of it is there; `first_at`: when it may be asked first. `echoes`: the peer answers echoes.
  void on_installed(TimePoint first_at, PeerId peer, ChildId child, bool echoes);
  void on_removed(ChildId child);
  [[nodiscard]] Child* find(ChildId child) {
    const auto found = children_.find(child);
    return found == children_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] const Child* find(ChildId child) const {
    const auto found = children_.find(child);
    return found == children_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] std::unordered_map<ChildId, Child>& children() noexcept { return children_; }

 private:
  std::unordered_map<ChildId, Child> children_;
};

[[nodiscard]] std::string_view probe_name(TrafficWatch::Probe probe) noexcept;  ///< "echo", "ping", "none"

/// What `status` says of it.
struct TrafficState {
  std::string name;    ///< "passes", "idle", "unanswered", "blocked"
  std::string reason;  ///< why not, in words; empty when nothing is wrong
  [[nodiscard]] bool degraded() const noexcept { return !reason.empty(); }
};
[[nodiscard]] TrafficState traffic_state(const TrafficWatch::Child& child, TimePoint now, Duration interval);

}  // namespace culvert::daemon

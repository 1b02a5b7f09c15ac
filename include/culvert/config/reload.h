#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/config/config.h"
#include "culvert/ike/endpoint.h"

namespace culvert::config {

// From the configuration that runs to another one: what is the same, and what has to be done about the rest. Pure.

/// What a reload does about a key that has changed. The worst comes last.
enum class ReloadEffect : std::uint8_t {
  in_place,         ///< counts at once, or from its next use on: nothing else happens
  rekeys,           ///< the peer's SAs are rekeyed, without loss
  reauthenticates,  ///< a new IKE SA with the peer takes over, without loss
  renegotiates,     ///< the tunnel's child SA is negotiated anew
  reconnects,       ///< the peer's IKE SA is closed and made anew
  remakes,          ///< the tunnel's device is made anew
  restart,          ///< refused: culvertd has to be restarted
};
/// As the reference says it: "in place".
[[nodiscard]] std::string_view reload_text(ReloadEffect effect);
/// Of a key of a table as the reference has it: "peer", "auth.psk_file".
[[nodiscard]] ReloadEffect reload_effect(std::string_view kind, std::string_view key);

struct ConfigChange {
  enum class Kind : std::uint8_t { added, removed, changed };
  Kind kind = Kind::changed;
  std::string key;  ///< "peer.tokyo" of what was added or removed, else "peer.tokyo.start"
  std::string before,
      after;  ///< TOML; empty: not in the file. Both: what stands in the files that it names has changed
  ReloadEffect effect = ReloadEffect::in_place;
};

struct ReloadPlan {
  std::vector<ConfigChange> changes;        ///< for people, in the order of the file
  std::map<PeerId, ike::Renewal> renewals;  ///< of peers that both configurations have, and that are not the same
  std::vector<PeerId> new_peers, gone_peers;
  std::vector<TunnelId> new_tunnels, gone_tunnels, changed_tunnels;  ///< changed: the device stays

  /// Keys that no reload can change, each once.
  [[nodiscard]] std::vector<std::string> needing_restart() const;
  /// "2 peers added, 1 changed; 1 tunnel removed", or "nothing has changed".
  [[nodiscard]] std::string summary() const;
};

/// Gives what `running` has, too, its ids there, and everything else ids that nothing ever had. Peers are the same when
/// they have the same name, children when they negotiate the same (or have the same name), tunnels when the same
/// device can go on.
void keep_ids(const Config& running, Config& next);
/// What is to be done, after keep_ids.
[[nodiscard]] ReloadPlan plan_reload(const Config& running, const Config& next);
/// "~ peer.tokyo.start: \"always\" -> \"wait\" (in place)"
[[nodiscard]] std::string to_string(const ConfigChange& change);

/// Both ends prove the same in the same way, whatever objects and files that stands in.
[[nodiscard]] bool same_credentials(const ike::AuthConfig& a, const ike::AuthConfig& b);

}  // namespace culvert::config

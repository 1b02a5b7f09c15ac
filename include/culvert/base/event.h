#pragma once
#include <cstdint>
#include <string_view>

namespace culvert {

/// What has happened, for those who watch (`culvert monitor`) and for those who search the log. docs/control.md lists
/// the names: each is a promise.
enum class EventKind : std::uint8_t {
  none,            ///< no event: a line of the log that tells something else
  connecting,      ///< we begin an IKE SA
  peer_up,         ///< an IKE SA came up by authentication
  peer_down,       ///< it was up, and is not any more
  attempt_failed,  ///< an attempt of ours came to nothing
  auth_failed,     ///< who claims to be this peer was refused, or could not prove it
  refused,         ///< who called was turned away before anybody knew who it is
  ike_rekeyed,     ///< an IKE SA took the place of another one
  ike_closed,      ///< one of several IKE SAs with the peer is gone
  reauthenticating,
  tunnel_up,         ///< a child SA came up where there was none
  tunnel_down,       ///< the last child SA is gone
  tunnel_degraded,   ///< it is up, and no traffic passes
  tunnel_recovered,  ///< traffic passes again
  child_up,          ///< one more child SA for the same traffic
  child_rekeyed,
  child_deleted,   ///< one of several for the same traffic is gone
  child_failed,    ///< one could not be made
  rekey_failed,    ///< of an IKE SA or a child SA; what is up goes on
  peer_moved,      ///< an address or port of either end has changed
  redirected,      ///< the peer sends us to another gateway
  path_mtu,        ///< of the path to a peer
  device_renewed,  ///< somebody had deleted it
  certificate,     ///< it expires soon, or has
  reloaded,
  reload_refused,  ///< the configuration has mistakes, or could not be applied: nothing has changed
  reload_confirmed,
  reload_reverted,
  log_level,  ///< changed by the operator, or back by a reload
  operator_command,
  stopping,  ///< culvertd ends
  missed,    ///< who watches was too slow: so many events are not told
  count_,
};

/// "peer-up"; "" for none. Any thread.
[[nodiscard]] std::string_view event_name(EventKind kind) noexcept;

}  // namespace culvert

#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/time.h"

namespace culvert::ike {

/// What is counted for each configured peer, those of its clients with it.
enum class PeerEvent : std::uint8_t {
  handshake,         ///< an IKE SA came up by IKE_AUTH, in either role
  handshake_failed,  ///< an attempt of ours came to nothing, or who claimed to be this peer was refused
  ike_rekey,
  child_up,  ///< a child SA that takes no other's place
  child_rekey,
  down,  ///< it was up, and is not any more
  lost,  ///< …because nothing came back
  liveness_check,
  move,  ///< an address or port of either end has changed while it was up
  retransmit,
  count_,
};
inline constexpr std::size_t num_peer_events = static_cast<std::size_t>(PeerEvent::count_);

/// Since the start. Control thread.
struct PeerCounters {
  std::array<std::uint64_t, num_peer_events> counts{};
  void add(PeerEvent event) noexcept { ++counts[static_cast<std::size_t>(event)]; }
  [[nodiscard]] std::uint64_t operator[](PeerEvent event) const noexcept {
    return counts[static_cast<std::size_t>(event)];
  }
};

/// A configured peer in numbers: what status says in words. Cheap enough for ten thousand of them at once.
struct PeerMeasure {
  PeerId peer;
  bool up = false;        ///< an IKE SA is established
  bool expected = false;  ///< it should be up all the time: start = "always", and nobody took it down
  bool nat_local = false, nat_remote = false;
  std::optional<TimePoint> established;  ///< the current IKE SA
  std::optional<TimePoint>
      last_handshake;  ///< the last key exchange of an IKE SA that came through: first ones and rekeys
  std::size_t ike_sas = 0, child_sas = 0;  ///< with those of its clients
  std::size_t clients = 0;
  PeerCounters counters;
};

/// A [pool.NAME], one family.
struct PoolMeasure {
  std::string name;
  bool v4 = true;
  double size = 0;  ///< addresses that may be given out; of IPv6 there may be more than any integer counts
  std::size_t taken = 0, kept = 0;
};

/// Error notifies by type (RFC 7296 §3.10.1), protected or not. Types that nobody has registered share a place.
class ErrorCounters {
 public:
  void add(std::uint16_t type) noexcept { ++counts_[type < counts_.size() ? type : 0]; }
  struct Entry {
    std::string_view name;  ///< "NO_PROPOSAL_CHOSEN"; "other"
    std::uint64_t count = 0;
  };
  /// Every type that has a name, also those at 0, and "other" for the rest.
  [[nodiscard]] std::vector<Entry> entries() const;

 private:
  std::array<std::uint64_t, 48> counts_{};
};

struct Measures {
  std::vector<PeerMeasure> peers;  ///< in the order of the configuration
  std::vector<ChildId> children_up;
  std::vector<PoolMeasure> pools;
  ErrorCounters errors_sent, errors_received;
  std::size_t half_open = 0, ike_sas = 0, child_sas = 0;
  std::size_t barred_sources = 0;  ///< addresses and prefixes whose failed authentications are remembered
  bool flood = false;              ///< COOKIE is demanded of everybody
};

}  // namespace culvert::ike

#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "culvert/ike/endpoint.h"
#include "lifetime.h"
#include "message.h"
#include "nat.h"

namespace culvert::ike {

/// What the two ends of an association know about each other's addresses (RFC 4555). It survives rekeys of the IKE SA.
/// "Initiator" is who initiated the first IKE SA (§1.3): it alone decides which addresses are used.
struct Mobility {
  bool supported = false;                 ///< both ends announced MOBIKE_SUPPORTED
  std::vector<IpAddress> peer_addresses;  ///< what the peer announced beside the one in use
  std::vector<IpAddress> announced;       ///< the same of ours, as last announced
  std::uint32_t moves = 0;  ///< counts changes of the IKE SA's addresses: an answer to an older question is ignored
  std::uint32_t updated_on = 0;  ///< the generation of the IKE SA on which the last update came
  /// The IKE SA has moved, the children wait here until the new address is verified.
  std::optional<Path> children_path;
  std::optional<NatStatus> pending_nat;  ///< what it found on the new path, in force once that is verified
  std::optional<Path> check;             ///< where ESP came from: to be verified before anything moves
  std::optional<IpAddress> assigned;     ///< ours that the peer uses, while we had to change to another one
  IkeSpi nat_spi;                        ///< with which nat_seen was made
  Bytes nat_seen;                        ///< our address as the peer last saw it, hashed (§3.8)

  // The initiator's choice.
  std::vector<Path> candidates;        ///< usable pairs, the best first
  TimePoint moved_at{};                ///< the last time
  bool stranded = false;               ///< no route has led by the path in use, and to no other one
  std::vector<Path> refused;           ///< UNACCEPTABLE_ADDRESSES since the last change of our network
  std::optional<TimePoint> prefer_at;  ///< when to test the paths that are better than the one in use
  Backoff prefer_pause{std::chrono::seconds(10), std::chrono::minutes(5)};
};

/// What a message says about addresses.
struct AddressNotifies {
  bool supported = false, update = false, unacceptable = false, unexpected_nat = false;
  bool nat_detection = false;
  bool listed = false;                ///< an address list came, perhaps an empty one
  std::vector<IpAddress> additional;  ///< unicast ones, each once, bounded
  Bytes cookie2;                      ///< empty: none
};
[[nodiscard]] AddressNotifies read_addresses(const Message& message);

/// ADDITIONAL_IP4_ADDRESS and ADDITIONAL_IP6_ADDRESS for each, or NO_ADDITIONAL_ADDRESSES (RFC 4555 §4.2.2, §4.2.3).
void add_address_list(std::vector<Payload>& payloads, const std::vector<IpAddress>& addresses);
/// NO_NATS_ALLOWED (RFC 4555 §4.2.6) for a message that leaves by `path`.
[[nodiscard]] NotifyPayload no_nats_allowed(const Path& path);
/// Whether the message, which came by `path`, has no NO_NATS_ALLOWED, or one that fits (§3.9).
[[nodiscard]] bool no_nat_between(const Message& message, const Path& path);

inline constexpr std::size_t max_additional_addresses = 8;  ///< of either side; strongSwan sends as many
inline constexpr std::size_t cookie2_len = 16;              ///< §4.2.5: 8 to 64

}  // namespace culvert::ike

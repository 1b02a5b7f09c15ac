#pragma once
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/time.h"
#include "culvert/child_sa.h"
#include "culvert/ike/auth_config.h"
#include "culvert/ike/identity.h"
#include "culvert/ike/proposal.h"

namespace culvert::ike {

/// A traffic selector of the configuration. Without a prefix it is the IKE SA's own address on that side (GRE between the gateways).
struct SelectorSpec {
  std::optional<IpPrefix> prefix;
  std::uint8_t protocol = 0;  ///< 0 = any, 47 = GRE
  friend bool operator==(const SelectorSpec&, const SelectorSpec&) noexcept = default;
};

enum class ModePreference : std::uint8_t {
  tunnel,            ///< never transport
  prefer_transport,  ///< ask for transport, live with tunnel
  transport,         ///< transport or nothing
};

/// One child SA that a peer's tunnels share: several GRE tunnels with different keys ride on one.
struct ChildConfig {
  ChildId id;
  std::string name;  ///< of the tunnel(s), for logs and status
  ModePreference mode = ModePreference::tunnel;
  std::vector<SelectorSpec> local;   ///< with virtual_local: what the peer assigns to us
  std::vector<SelectorSpec> remote;  ///< of a peer with pools: the addresses that each client has from there
  bool virtual_local = false;
  std::uint32_t replay_window = 4096;
};

enum class StartMode : std::uint8_t {
  always,      ///< bring up at start, restart when lost
  on_traffic,  ///< bring up when a packet needs it
  wait,        ///< the peer initiates
};

enum class EncapsulationPreference : std::uint8_t {
  automatic,  ///< UDP where a NAT is detected, raw ESP elsewhere
  udp,        ///< always UDP: announce a NAT on our side (NAT_DETECTION_SOURCE_IP that does not match)
  raw,        ///< never UDP: fail where a NAT is on the path
};

/// What a second IKE SA with an identity that has one already means. Simultaneous initiation is no second one: the ends
/// agree which of the two stays (RFC 7296 §2.8.1). INITIAL_CONTACT (§2.4) removes the older one, but with `never`.
enum class UniquePolicy : std::uint8_t {
  replace,  ///< the newer one takes the older one's place, without losing a packet
  keep,     ///< the older one stays: from another address the newer is refused; from the same it reauthenticates
  never,    ///< both stay, INITIAL_CONTACT is ignored: several gateways or users share the identity
};

/// IKE_AUTH without a child SA, RFC 6023.
enum class ChildlessPolicy : std::uint8_t {
  allow,   ///< announced and accepted, not asked for
  prefer,  ///< asked for where the peer announces it: every child is made by CREATE_CHILD_SA, with its own key exchange
  never,   ///< not announced, refused
};

struct PeerConfig {
  PeerId id;
  std::string name;
  Identity local_id;
  Identity remote_id;  ///< with a certificate it may have wildcards: Identity::covers
  AuthConfig auth;
  std::vector<std::string> addresses;  ///< names or addresses in order of preference; empty: "any", we never initiate
  std::uint16_t port = 500;            ///< where its IKE listens
  std::uint16_t nat_port = 4500;       ///< where its IKE and ESP in UDP listen, behind the non-ESP marker (RFC 7296 §2.23)
  std::uint16_t tcp_port = 0;  ///< where it takes them in TCP (RFC 9329), for when UDP fails; 0: it does not
  StartMode start = StartMode::always;
  EncapsulationPreference encapsulation = EncapsulationPreference::udp;
  /// IP datagrams that a protected IKE message longer than this is cut into (RFC 7383), bytes ≥ 576; 0: never cut.
  std::uint16_t fragment_size = 1280;
  std::vector<Proposal> ike_proposals;  ///< in order of preference, never empty
  std::vector<Proposal> esp_proposals;
  std::list<ChildConfig> children;  ///< what lives refers to them: a reload moves none

  // Lifetimes. A rekey starts at the soft time less up to `jitter` of it; the hard time is soft + 10 %, at least 30 s more… at most
  // twice the soft time when that is short.
  Duration ike_lifetime = std::chrono::hours(4);
  Duration child_lifetime = std::chrono::hours(1);
  std::uint64_t child_bytes = 0;    ///< 0: by sequence number and time alone
  std::uint64_t child_packets = 0;
  double jitter = 0.1;              ///< 0…0.5

  /// How long an authentication counts; 0: for ever. Its initiator makes a new IKE SA in time and moves to it; a
  /// responder announces it (AUTH_LIFETIME, RFC 4478). An IKE SA that nobody reauthenticates ends 10 % later, at least
  /// 30 s.
  Duration reauth_lifetime{};
  bool resumption = false;  ///< session tickets, RFC 5723: asked for, used, given and taken
  bool follow_redirects = false;  ///< go where the peer sends us, RFC 5685
  UniquePolicy unique = UniquePolicy::replace;
  ChildlessPolicy childless = ChildlessPolicy::allow;

  Duration liveness = std::chrono::seconds(30);             ///< silence before a liveness check; 0: never
  Duration retransmit_first = std::chrono::milliseconds(1000);
  double retransmit_factor = 1.8;
  int retransmit_tries = 7;         ///< after this many sends without an answer the peer is lost
  Duration probe_interval = std::chrono::seconds(10);  ///< of probes of its tunnels by their users' way; 0: none (the daemon's business)
  bool path_mtu_discovery = true;  ///< asks now and then which packets reach it (RFC 8899)
  bool mobike = true;  ///< RFC 4555: addresses of either end may change without a new IKE SA
  /// Places in EndpointOptions::pools, in order of preference. Not empty: everybody who authenticates as this peer (whose
  /// addresses are "any") is a client of his own, with addresses of these pools.
  std::vector<std::size_t> pools;
  std::size_t max_clients = 1000;
  /// Ask the peer for addresses of these families (RFC 7296 §2.19); one of two is enough.
  bool request_v4 = false, request_v6 = false;
  std::vector<IpAddress> local_addresses;  ///< ours towards this peer, in order of preference; empty: the kernel's choice
  Duration keepalive = std::chrono::seconds(20);            ///< NAT keepalive, RFC 3948 §4, only when we are behind a NAT
};

}  // namespace culvert::ike

#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "credentials.h"
#include "findings.h"
#include "raw.h"

namespace culvert::config {

// How keys fit together. Each part reports all that it finds and returns what can be made of the rest: when there was
// any error the result is thrown away.

/// "" for "auto". What the CPU does not have is an error that names what it has: `available`.
[[nodiscard]] std::string check_aead(const Field<std::string_view>& raw, std::span<const std::string_view> available,
                                     Findings& findings);
/// Ports, sockets, our identity, what the workers do.
[[nodiscard]] GatewayConfig check_gateway(const RawGateway& raw, const std::filesystem::path& folder,
                                          Findings& findings);

/// `auth` and `peer_auth` of [gateway]: what peers without their own use.
struct AuthDefaults {
  std::optional<OwnCredential> own;
  std::optional<ike::PeerAuth> peer;
  bool own_present = false, peer_present = false;  ///< present without a value: wrong, and reported
  bool needs_id = false;                           ///< nothing else says who we are towards some peer
  std::vector<std::string> radius;                 ///< names of [radius.NAME]
};
/// auth_rules.cpp. Also fills `gateway.id` from `auth` where the file has none.
[[nodiscard]] AuthDefaults check_defaults(const RawGateway& raw, GatewayConfig& gateway, Credentials& credentials,
                                          Findings& findings);
/// auth_rules.cpp: how the two ends prove who they are, and the identities that go with that.
void check_authentication(const RawPeer& raw, const RawGateway& gateway, const GatewayConfig& gateway_config,
                          AuthDefaults& defaults, ike::PeerConfig& peer, Credentials& credentials, Findings& findings);
/// auth_rules.cpp: after all peers: whether our identity is missing.
void check_own_identity(const RawGateway& raw, const AuthDefaults& defaults, const std::vector<ike::PeerConfig>& peers,
                        GatewayConfig& gateway, Findings& findings);

/// radius_rules.cpp: "192.0.2.1", "192.0.2.1:1645", "[2001:db8::1]:1645", "2001:db8::1"; `port` where there is none.
[[nodiscard]] std::optional<Endpoint> parse_endpoint(std::string_view text, std::uint16_t port);
/// radius_rules.cpp.
[[nodiscard]] RadiusSettings check_radius(const RawRadius& raw, Credentials& credentials, Findings& findings);

/// One peer by itself: addresses, proposals, lifetimes. `children` is filled by make_children.
[[nodiscard]] ike::PeerConfig check_peer(const RawPeer& raw, PeerId id, const GatewayConfig& gateway,
                                         Findings& findings);
/// Peers among each other: two that a responder could never tell apart.
void check_identities(const std::vector<RawPeer>& raw, const std::vector<ike::PeerConfig>& peers, Findings& findings);

/// One tunnel by itself. `peer` lies beyond all peers when its name is unknown (and reported). `plane.child` is filled
/// by make_children.
[[nodiscard]] TunnelSettings check_tunnel(const RawTunnel& raw, TunnelId id, PeerId peer, Findings& findings);
/// Tunnels among each other: devices and their addresses.
void check_devices(const std::vector<RawTunnel>& raw, Findings& findings);

/// pool_rules.cpp: what the tunnels of clients and to gateways that give us addresses leave to the peer: their nets.
/// Before everything else.
void complete_tunnels(RawFile& file, Findings& findings);
[[nodiscard]] std::vector<ike::PoolConfig> check_pools(const RawFile& file, Findings& findings);
/// Once it is known who its clients may be.
void warn_of_one_identity(const RawPeer& raw, const ike::PeerConfig& peer, Findings& findings);
/// `pools`, `max_clients` and what we ask for.
void fill_addressing(const RawPeer& raw, const RawFile& file, ike::PeerConfig& peer);

/// Inner nets and routes: within a tunnel, between tunnels, and against the addresses of the peers.
void check_nets(const std::vector<RawTunnel>& raw, const std::vector<TunnelSettings>& tunnels,
                const std::vector<ike::PeerConfig>& peers, Findings& findings);

/// Which tunnels share a child SA: GRE of one peer between the same endpoints; plain tunnels have their own. Fills
/// `children` of the peers and `plane.child` of the tunnels; reports GRE tunnels of one child that could not be told
/// apart.
void make_children(const std::vector<RawTunnel>& raw, std::vector<TunnelSettings>& tunnels,
                   std::vector<ike::PeerConfig>& peers, Findings& findings);

/// The routes that a tunnel will have: `routes`, or for carry = "ip" without them `remote`.
[[nodiscard]] const std::vector<Located<IpPrefix>>& effective_routes(const RawTunnel& raw);

/// Where they go; main when the file does not say, or says it wrong (and that is reported).
struct RouteTarget {
  std::uint32_t table = main_table, metric = 0;
  friend auto operator<=>(const RouteTarget&, const RouteTarget&) noexcept = default;
};
[[nodiscard]] inline RouteTarget route_target(const RawTunnel& raw) {
  return {raw.table.value.value_or(main_table), static_cast<std::uint32_t>(raw.metric.value.value_or(0))};
}

/// Most prefixes in `local` or `remote`: 64 selectors ride in a TS payload, and one is kept for the packet that
/// triggered.
inline constexpr std::size_t max_selectors_of_tunnel = 63;

/// RFC 1123 §2.1; a name of digits and dots alone is an address that did not parse.
[[nodiscard]] bool is_host_name(std::string_view text);

/// load.cpp: the text of a configuration file, at most max_text_len + 1 bytes of it.
[[nodiscard]] std::expected<std::string, Diagnostic> read_text(const std::filesystem::path& file);
/// load.cpp: how all keys fit together.
[[nodiscard]] Config check_file(RawFile& raw, const std::filesystem::path& folder, Findings& findings);

}  // namespace culvert::config

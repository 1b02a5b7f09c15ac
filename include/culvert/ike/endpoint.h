#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/drop_reason.h"
#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/log.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"
#include "culvert/base/time.h"
#include "culvert/child_sa.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/random.h"
#include "culvert/eap/users.h"
#include "culvert/ike/config.h"
#include "culvert/ike/measures.h"
#include "culvert/ike/trace.h"
#include "culvert/ike/virtual_net.h"

namespace culvert::ike {

/// Our and the peer's end of a datagram. Port 500 carries plain IKE; on 4500 the non-ESP marker is added and removed by the daemon,
/// never by ike.
struct Path {
  Endpoint local;
  Endpoint remote;
  friend bool operator==(const Path&, const Path&) noexcept = default;
};

// ---- what the daemon performs, in order -------------------------------------------------------------------------------------

struct SendDatagram {
  Path path;
  Bytes bytes;      ///< an IKE message, or the single byte 0xFF of a NAT keepalive when `keepalive`
  bool keepalive = false;
  bool dont_fragment = false;  ///< DF, whatever is known of the path; too large for our own link: as if lost on the way
};
/// What came of IkeEndpoint::probe_path.
struct PathProbed {
  PeerId peer;
  Path path;
  std::uint16_t size = 0;  ///< bytes of IP, a little less than asked for where a cipher has blocks
  bool passed = false;
  bool possible = true;  ///< false: this peer cannot be asked (it takes no INFORMATIONAL in fragments)
};
/// Inbound is ready before this returns to the wire (make before break). Outbound of the child switches to it only when
/// `use_outbound`, else at ActivateOutbound.
struct InstallChild {
  ChildSaKeys keys;
  bool use_outbound = true;
  bool echoes = false;  ///< the peer answers echoes in dummy packets (wire/echo.h)
};
struct ActivateOutbound {
  Spi inbound_spi;
};
struct RemoveChild {
  Spi inbound_spi;
};
/// New outer addresses of an SA pair, and perhaps another encapsulation: a NAT has come or gone.
struct MoveChild {
  Spi inbound_spi;
  Endpoint local_endpoint;
  Endpoint remote_endpoint;
  EspEncapsulation encapsulation = EspEncapsulation::udp;
};
/// Which of our addresses would reach these of a peer? Answer with Endpoint::on_paths, without waiting for anything.
struct FindPaths {
  PeerId peer;
  std::vector<IpAddress> remotes;  ///< in order of preference, each once
};
/// Resolve a peer's names (asynchronously) and answer with Endpoint::on_addresses.
struct ResolveAddresses {
  PeerId peer;
  std::string instead;  ///< a redirect has named this gateway (RFC 5685): in place of the peer's own addresses
};
/// A line for the operator.
struct Report {
  log::Level level = log::Level::info;
  std::string text;
  log::Subject about;  ///< its values may be what the peer chose
  bool unlogged = false;  ///< only the event counts: a line like it has been written a moment ago
};
/// A datagram that ike dropped.
struct CountDrop {
  DropReason reason{};
};
/// What a Compute came to. Whoever performs it only carries it back; the secrets in it are wiped when it goes.
class Computed {
 public:
  virtual ~Computed() = default;
};
/// Public-key work, far too slow for the control thread: key exchanges, signatures, chains of certificates. `work`
/// touches nothing that is shared: any thread may run it, at any time, in any order. Answer every one of them with
/// Endpoint::on_computed, those that there is no room for with nothing.
struct Compute {
  enum class Rank : std::uint8_t {
    stranger,   ///< somebody who has shown nothing asks for it: first to be dropped
    candidate,  ///< not authenticated, but from a configured peer's address, or his half-open IKE SA has its keys
    peer,       ///< for a peer, or for an attempt of our own
  };
  std::uint64_t id = 0;
  Rank rank = Rank::stranger;
  /// Once. `now` is the wall clock: certificates are valid by it.
  std::move_only_function<std::unique_ptr<Computed>(std::chrono::sys_seconds now)> work;
};
/// A chain (leaf first, anchor last) whose owner has signed: ask the responders that the operator named about it, and
/// answer with Endpoint::on_revocation, within 10 s whatever they say.
struct CheckRevocation {
  std::uint64_t id = 0;
  std::shared_ptr<RevocationFeed> feed;
  std::vector<crypto::Certificate> chain;
};
/// Hand this EAP message to the RADIUS servers of that name (RFC 3579), and answer with Endpoint::on_radius, within 60 s.
struct AskRadius {
  std::uint64_t id = 0;
  std::string servers;                ///< PeerEap::radius
  std::string user;                   ///< EAP identity
  Bytes eap;                          ///< an EAP-Response
  Bytes state;                        ///< of the last RadiusAnswer of this conversation
  std::optional<std::size_t> server;  ///< the same: who gave it
  Path path;
};
/// What RADIUS servers have said.
struct RadiusAnswer {
  enum class Verdict : std::uint8_t { challenge, accept, reject, silence } verdict = Verdict::silence;
  Bytes eap;
  Bytes state;
  std::size_t server = 0;
  Secret msk;        ///< accept: MS-MPPE-Recv-Key | MS-MPPE-Send-Key; may be missing
  std::string user;  ///< accept: User-Name, when the server gives one
  std::vector<std::string> groups;
  std::vector<IpAddress> addresses;  ///< Framed-IP-Address, Framed-IPv6-Address
  Duration session_timeout{};        ///< 0: none
  Bytes class_;                      ///< for accounting
  std::string why;                   ///< silence: for the operator
};
/// A user whom RADIUS servers have let in has an IKE SA, for accounting.
struct UserSession {
  std::uint64_t id = 0;
  std::string servers;  ///< as in AskRadius
  std::string user;
  Bytes class_;
  std::vector<IpAddress> addresses;  ///< inside, of the user
  Path path;
};
/// It is over: it, and all IKE SAs that rekeys have put in its place.
struct UserSessionEnd {
  enum class Cause : std::uint8_t { user, lost, administrator } cause = Cause::user;
  std::uint64_t id = 0;
};
/// Keys of a new IKE SA, emitted only when EndpointOptions::debug_keys or emit_keys: so that tshark can read a capture.
struct DebugIkeKeys {
  IkeSpi spi_i, spi_r;
  Secret sk_ei, sk_er, sk_ai, sk_ar;  ///< sk_ai, sk_ar: empty where copy_keys made it
  crypto::CipherSuite cipher{};
  std::optional<PeerId> peer{};  ///< as configured; nullopt: somebody has not said yet who he is
  IpAddress remote{};
};

/// Keys of session tickets (RFC 5723) to keep for the next daemon, in place of what was kept before.
struct KeepTicketKeys {
  Secret keys;
};

/// A lease that is new: to be given to the next daemon (EndpointOptions::leases), where it takes the place of an older
/// one of the same pool and address.
struct KeepLease {
  Lease lease;
};
/// The gateway `peer` has given us this net; nullopt: it is over for good. While the peer is lost and called again
/// nothing is said: the addresses stay ours, and most gateways give the same ones again. Before the child's SAs.
struct UseVirtualNet {
  PeerId peer;
  std::optional<VirtualNet> net;
};

using Action = std::variant<PathProbed, KeepTicketKeys, KeepLease, UseVirtualNet, SendDatagram, InstallChild, ActivateOutbound, RemoveChild, MoveChild, FindPaths, ResolveAddresses,
                            Report, CountDrop, Compute, CheckRevocation, AskRadius, UserSession, UserSessionEnd, DebugIkeKeys>;
using Actions = std::vector<Action>;

// ---- what status shows ------------------------------------------------------------------------------------------------------

struct ChildStatus {
  ChildId child;
  std::string name;
  bool up = false;
  Spi inbound_spi, outbound_spi;
  std::string suite;   ///< "AES-GCM-16-256 x25519 ESN"
  EspMode mode = EspMode::tunnel;
  EspEncapsulation encapsulation = EspEncapsulation::udp;
  std::vector<TrafficSelector> local, remote;
  TimePoint established{};
  std::optional<TimePoint> rekey_at;
  std::string reason;  ///< why it is down, in words
};

struct PeerStatus {
  PeerId peer;
  std::string name;
  enum class State : std::uint8_t { down, resolving, connecting, established, waiting } state = State::down;
  bool admin_down = false;                ///< `culvert down`
  Path path;
  IkeSpi spi_i, spi_r;
  bool initiator = false;
  std::string suite;                      ///< of the IKE SA
  std::string remote_id;
  std::string local_auth, remote_auth;    ///< how we and the peer have proved who we are, for people
  std::optional<std::chrono::sys_seconds> remote_certificate_until;  ///< the first moment at which its chain is over
  bool nat_local = false, nat_remote = false;
  bool mobike = false;                    ///< RFC 4555 is in use
  std::optional<Duration> rtt;            ///< of INFORMATIONAL exchanges, smoothed
  Duration jitter{};
  std::size_t ike_sas = 0, child_sas = 0; ///< held with the peer, also those that others are about to replace
  TimePoint established{};
  std::optional<TimePoint> rekey_at, retry_at;
  std::string reason;                     ///< last reason for being down, in words
  std::uint64_t downs = 0;                ///< how often it was up and then was not any more
  std::string last_down;                  ///< why, the last time; empty: it never was
  std::optional<TimePoint> last_down_at;
  std::optional<VirtualNet> virtual_net;  ///< what the peer has given us, or we have given it
  std::size_t clients = 0;                ///< of a peer with pools: how many are up
  std::optional<PeerId> client_of;        ///< of a client: the configured peer
  std::string user;                       ///< of a client: whose lease it is
  std::vector<std::string> groups;        ///< of a client
  std::vector<ChildStatus> children;      ///< every configured one, up or down
};

// ---- the machine ------------------------------------------------------------------------------------------------------------

struct EndpointOptions {
  std::size_t max_half_open = 1000;           ///< beyond it IKE_SA_INIT is dropped
  std::size_t cookie_threshold = 100;         ///< half-open IKE SAs at which COOKIE is demanded; 0: always
  std::size_t busy_rate = 200;                ///< IKE_SA_INIT in a second at which COOKIE is demanded until it is calm
  bool debug_keys = false;
  std::uint16_t ike_port = 500;
  std::shared_ptr<const Secret> crash_secret;  ///< outlives a crash: makes the tokens of RFC 6290; nullptr: none
  std::shared_ptr<const Secret> ticket_keys;   ///< what KeepTicketKeys gave last, also to a daemon before this one
  std::chrono::seconds unix_at_zero{};         ///< wall clock (seconds since 1970) where TimePoint is zero
  std::shared_ptr<const eap::UserTable> users;  ///< who may log in by EAP; nullptr: nobody
  std::string redirect;                        ///< gateway that callers are sent to (RFC 5685); empty: none
  std::vector<PoolConfig> pools;              ///< whose addresses do not overlap
  std::vector<Lease> leases;                  ///< what KeepLease gave, the oldest first
  std::uint16_t nat_port = 4500;              ///< our port for IKE and ESP in UDP once a NAT is found (Path::local)
};

/// What another configuration asks of what is up with a peer. Where nothing is set the new values count from their next use
/// on: timers at once, lifetimes and the like for the next SA.
struct Renewal {
  bool changed = false;          ///< anything at all, but for a place in a list
  bool reauthenticate = false;   ///< who either end is, or how it proves that: a new IKE SA takes over (RFC 7296 §2.8.3)
  bool rekey_ike = false;        ///< `ike`
  bool rekey_children = false;   ///< `esp`
  bool paths = false;            ///< `local_address`: MOBIKE moves what is up
  bool addresses = false;        ///< where the peer is: what is up goes when it is somewhere else
  bool ports = false;            ///< its ports: what is up goes
};
/// Another configuration, whole. A value.
struct Reconfiguration {
  struct OnePeer {
    PeerConfig config;
    Renewal renewal;  ///< of no account for a new one
  };
  /// In the order of the configuration. An id that is not known is a new peer; known ones that are not here go. Children are
  /// told apart by their ids in the same way.
  std::vector<OnePeer> peers;
  std::vector<PoolConfig> pools;
  std::shared_ptr<const eap::UserTable> users;
  std::optional<std::string> redirect;  ///< nullopt: as it is
};

/// All IKE SAs of a gateway. Owned by the control thread; reads no clock and does no I/O: values in, Actions out.
/// Every call may emit actions; perform them before the next call.
class IkeEndpoint {
 public:
  IkeEndpoint(EndpointOptions options, std::vector<PeerConfig> peers, crypto::RandomSource& random);
  ~IkeEndpoint();
  IkeEndpoint(const IkeEndpoint&) = delete;
  IkeEndpoint& operator=(const IkeEndpoint&) = delete;

  /// Starts what has StartMode::always.
  [[nodiscard]] Actions start(TimePoint now);
  /// One IKE message (without the non-ESP marker).
  [[nodiscard]] Actions on_datagram(TimePoint now, const Path& path, ByteView bytes);
  /// Call when deadline() has passed (earlier does no harm).
  [[nodiscard]] Actions on_deadline(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> deadline() const;

  /// Answer to ResolveAddresses: for each usable address of the peer, in order, the local address the kernel would send from.
  /// Empty: nothing resolved; `why` says so in words.
  [[nodiscard]] Actions on_addresses(TimePoint now, PeerId peer, std::vector<Path> paths, std::string why);
  /// Answer to Compute. nullptr: there was no room, and what asked for it counts as lost on the way.
  [[nodiscard]] Actions on_computed(TimePoint now, std::uint64_t id, std::unique_ptr<Computed> result);
  /// Answer to CheckRevocation: CRLs, and the OCSP responses of this chain, as far as there are any (nullptr: nothing).
  [[nodiscard]] Actions on_revocation(TimePoint now, std::uint64_t id,
                                      std::shared_ptr<const crypto::RevocationData> known);
  /// Answer to AskRadius.
  [[nodiscard]] Actions on_radius(TimePoint now, std::uint64_t id, RadiusAnswer answer);
  /// Who may log in by EAP from now on, in place of EndpointOptions::users. Those who are in stay in.
  void set_users(std::shared_ptr<const eap::UserTable> users);
  /// A link, an address or a route of ours has changed.
  [[nodiscard]] Actions on_network_change(TimePoint now);
  /// Answer to FindPaths: pairs of addresses that have a route now. For each remote in order what the kernel would choose (or the
  /// configuration names), then all other pairs: the peer learns of the local addresses in them (RFC 4555 §3.4). The ports do not count. Empty: nothing can
  /// be reached.
  [[nodiscard]] Actions on_paths(TimePoint now, PeerId peer, std::vector<Path> paths);
  /// ESP that authenticated, newer than all before it, came by another path than that of its SA: a NAT may have a new mapping
  /// (RFC 7296 §2.23).
  [[nodiscard]] Actions on_esp_moved(TimePoint now, Spi inbound_spi, const Path& path);
  /// An SA pair sends, and nothing has come back for a while: its path may have died, or its NAT may have forgotten it.
  [[nodiscard]] Actions on_unanswered_traffic(TimePoint now, Spi inbound_spi);
  /// Asks whether a packet of `size` bytes of IP (at least 576) reaches the peer in one piece, whatever ICMP says. PathProbed
  /// follows, in the time of a few round trips; it may not when the peer goes or moves meanwhile. Nothing happens, and
  /// false comes back, when the peer is not up or does not know RFC 7383.
  [[nodiscard]] std::pair<bool, Actions> probe_path(TimePoint now, PeerId peer, std::uint16_t size);
  /// A packet waits for the child: bring it up. The selectors are the packet's own (RFC 7296 §2.9).
  [[nodiscard]] Actions on_acquire(TimePoint now, ChildId child, const TrafficSelector& source, const TrafficSelector& destination);
  [[nodiscard]] Actions on_child_event(TimePoint now, Spi inbound_spi, ChildEvent event);
  /// Inbound traffic of an SA pair since the last call proves that the peer lives: no liveness check is due.
  void on_inbound_traffic(TimePoint now, Spi inbound_spi);
  /// So many IKE_SA_INIT never came to us, because there is a flood of them: it goes on.
  [[nodiscard]] Actions on_kept_back(TimePoint now, std::size_t num_requests);
  /// Where configured peers may come from, names resolved.
  [[nodiscard]] std::vector<IpAddress> peer_addresses();
  /// ICMP unreachable from the peer's address: hints, never trusted, they may trigger one liveness check.
  [[nodiscard]] Actions on_hint(TimePoint now, const Path& path);
  /// An inbound SPI that has been offered, or that an SA has: the peer may send on it before we know that it has
  /// agreed.
  [[nodiscard]] bool is_taken(Spi esp) const;
  /// ESP with an SPI that no SA has: such a hint, and a word to its sender when it may be a peer that has missed our crash.
  /// Port 0 of the path: raw ESP.
  [[nodiscard]] Actions on_unknown_spi(TimePoint now, const Path& path, Spi spi);

  // The operator's commands. Errc::not_found for an unknown name, Errc::invalid when it can't be done now (the detail says why).
  [[nodiscard]] Result<Actions> up(TimePoint now, std::string_view peer);
  [[nodiscard]] Result<Actions> down(TimePoint now, std::string_view peer);
  enum class RekeyWhat : std::uint8_t { ike, children, both };
  [[nodiscard]] Result<Actions> rekey(TimePoint now, std::string_view peer, RekeyWhat what);
  /// Both ends prove again who they are, by a new IKE SA that takes over from the one that is up (RFC 7296 §2.8.3).
  [[nodiscard]] Result<Actions> reauthenticate(TimePoint now, std::string_view peer);
  /// Sends who calls, and who is up, to another gateway, where they follow redirects (RFC 5685). Empty: no more.
  /// Errc::invalid: neither an address nor a host name.
  [[nodiscard]] Result<Actions> redirect(TimePoint now, const std::string& gateway);
  /// From now on this is the configuration. What has not changed is not touched; what is gone is deleted by an exchange.
  [[nodiscard]] Actions reconfigure(TimePoint now, Reconfiguration next);
  /// Deletes all IKE SAs (one Delete each, not retransmitted): the gateway goes down.
  [[nodiscard]] Actions shut_down(TimePoint now);

  /// Closes the IKE SAs of a client: by its user, its name (as in PeerStatus) or an address that it has.
  [[nodiscard]] Result<Actions> kick(TimePoint now, std::string_view user);

  /// All leases of the pools as the next daemon is to have them (EndpointOptions::leases). KeepLease says when there is
  /// a new one among them.
  [[nodiscard]] std::vector<Lease> leases() const;

  /// What was said in the last attempts, the oldest first; `peer`: what concerns this peer and its clients alone.
  [[nodiscard]] std::vector<TraceEntry> trace(const std::string& peer) const;
  /// Somebody watches: events are reported also where the lines of the log are limited.
  void watch(bool watched);
  // ---- for an operator who may read what is protected (key_export.cpp) ----
  /// DebugIkeKeys for every new IKE SA from now on, or no more.
  void emit_keys(bool wanted);
  /// Of the IKE SAs that there are now.
  [[nodiscard]] std::vector<DebugIkeKeys> copy_keys() const;
  /// The configured peer that a client is one of; others are their own.
  [[nodiscard]] PeerId configured_peer(PeerId id) const;
  /// Where a configured peer is, or is looked for; empty: it may come from anywhere, or nobody knows yet.
  [[nodiscard]] std::vector<IpAddress> whereabouts(PeerId id) const;

  /// Of the configured peers, without their clients.
  [[nodiscard]] std::vector<PeerStatus> status(TimePoint now) const;
  /// Of one peer or client; nullopt: there is none.
  [[nodiscard]] std::optional<PeerStatus> status_of(TimePoint now, PeerId peer) const;
  /// All of it in numbers.
  [[nodiscard]] Measures measures() const;
  /// Of clients that are up: at most `most`, of those behind `after` (the number of the last one of the call before).
  [[nodiscard]] std::vector<PeerStatus> clients(TimePoint now, std::optional<PeerId> after, std::size_t most) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace culvert::ike

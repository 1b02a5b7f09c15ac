#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/control/routes.h"
#include "culvert/control/trace.h"

namespace culvert::control {

// The control socket speaks one JSON object a line: a request, then one response. The JSON schema of the reports is
// stable: fields are added, never renamed or removed, as long as `schema` stays; docs/control.md documents it.
inline constexpr int schema_version = 1;
inline constexpr std::size_t max_request_len = 4096;        ///< bytes of a request line
inline constexpr std::size_t max_response_len = 64u << 20;  ///< bytes of a response line that a client accepts
inline constexpr std::size_t max_name_len = 64;             ///< bytes of a peer's name
inline constexpr std::size_t max_user_len = 1024;           ///< bytes of a user
inline constexpr std::size_t max_users = 10000;             ///< in one response
inline constexpr unsigned max_key_export_s = 3600;          ///< for which keys are given out

struct Request {
  std::string command;  ///< "status", "drops", "users", "up", "down", "rekey", "redirect", "kick", "reload", "diff", "monitor", "trace",
                        ///< "routes", "log-level", "reauth", "ping", "mtu", "capture", "keys"
  std::string peer;     ///< for up, down, rekey; for monitor and trace, or empty: everybody; a peer or a tunnel for capture and
                        ///< keys, or empty: all
  std::string what;     ///< for rekey: "ike", "children" or "both"; for redirect: the gateway, or "none"; for kick: the user;
                        ///< for reload: "", "dry-run", "confirmed", "revert", or seconds within which to confirm;
                        ///< for keys: seconds for which they are wanted, "more" or "stop"
  std::string by{};     ///< who asks, for the log; not in the message: the server knows it of the socket
};

struct ChildReport {
  std::string name, state;                ///< "up", "down"
  std::string inbound_spi, outbound_spi;  ///< "0x…"
  std::string suite, mode, encapsulation;
  bool esn = false;
  std::vector<std::string> local, remote;  ///< selectors in words: "10.1.0.0/16", "192.0.2.1/32[gre]"
  std::uint64_t established_s = 0;         ///< age: seconds since it came up, 0 when down
  std::optional<std::uint64_t> rekey_in_s;
  std::uint64_t inbound_packets = 0, inbound_bytes = 0, outbound_packets = 0, outbound_bytes = 0;
  std::string reason;
  std::string traffic;         ///< "passes", "idle", "unanswered", "blocked"; empty when down, and of clients
  std::string traffic_reason;  ///< what is wrong with it, in words; empty: nothing
  std::string probe;           ///< "echo", "ping", "none" (nobody is known who would answer), "off"; empty when down
  std::optional<std::uint64_t> rtt_us, jitter_us;  ///< of probes
  std::uint64_t probes = 0, probes_lost = 0;       ///< of the last 64
  std::uint64_t inbound_bps = 0, inbound_pps = 0, outbound_bps = 0, outbound_pps = 0;  ///< bits and packets a second, now
};
struct TunnelReport {
  std::string name, device, carry;  ///< carry: "gre", "ip"
  std::string state;                ///< "up", "degraded" (no traffic passes), "down"
  std::string child;                ///< name of the child SA that carries it; its `reason` says why the tunnel is down
  std::uint32_t mtu = 0;
  std::optional<std::uint32_t> key;
  std::vector<std::string> addresses, routes;
  std::uint64_t inbound_packets = 0, inbound_bytes = 0, outbound_packets = 0, outbound_bytes = 0;
};
struct PeerReport {
  std::string name, state;               ///< "up", "connecting", "resolving", "waiting", "down", "admin-down"
  std::string remote_id, local, remote;  ///< endpoints "192.0.2.1:4500"
  std::string local_auth, remote_auth;   ///< how each end has proved who it is, for people; "" when down
  std::string role;                      ///< "initiator", "responder"
  std::string suite, spi_i, spi_r;
  bool nat_local = false, nat_remote = false;
  bool mobike = false;
  std::optional<std::uint64_t> path_mtu;  ///< bytes of IP that reach it; nothing while it is not up, or by TCP
  std::string path_mtu_state;  ///< "unconfirmed", "searching", "confirmed", "dark", "off"; empty: not asked
  std::optional<std::uint64_t> rtt_us, jitter_us;  ///< of IKE exchanges
  std::uint64_t ike_sas = 0, child_sas = 0;  ///< held with the peer, also those that others are about to replace
  std::uint64_t established_s = 0;  ///< age: seconds since it came up, 0 when down
  std::optional<std::uint64_t> rekey_in_s, retry_in_s;
  std::string reason;
  std::uint64_t downs = 0;                     ///< how often it was up and then was not any more
  std::string last_down;                       ///< why, the last time
  std::optional<std::uint64_t> last_down_s;    ///< so long ago
  std::uint64_t clients = 0;                   ///< of a peer with pools: how many are connected
  std::vector<std::string> virtual_addresses;  ///< that it has given us
  std::vector<std::string> dns, domains;       ///< …with servers, and what these answer for (empty: everything)
  std::vector<ChildReport> children;
  std::vector<TunnelReport> tunnels;
};
/// A client that is connected.
struct UserReport {
  std::string user;                          ///< its identity, or the name by which it has logged in
  std::string peer;                          ///< the [peer.NAME] that it came in by
  std::string name;                          ///< "PEER/USER", with a number behind it when there are several
  std::vector<std::string> groups, addresses;
  std::string remote;                        ///< where it is: "192.0.2.1:4500"
  std::string remote_auth;
  std::uint64_t established_s = 0;
  std::uint64_t inbound_bytes = 0, outbound_bytes = 0;  ///< of the SAs in use now
};
/// A certificate that the configuration names: ours, or a CA's.
struct CertificateReport {
  std::string key;               ///< where: "gateway.auth.certificate"
  std::string name;              ///< its subject
  std::string not_after;         ///< "2026-11-22 17:00:00 UTC"
  std::uint64_t expires_in_s = 0;  ///< 0: it has expired
  std::string warning;           ///< when it expires soon or is not valid now, in words
};
/// Where lists of revoked certificates come from.
struct RevocationReport {
  std::string source;   ///< file or URL
  std::string issuer;   ///< of the list in use; empty: there is none yet
  std::string this_update, next_update;
  std::uint64_t revoked = 0;  ///< certificates in it
  std::string trouble;        ///< with the latest try, in words, or empty
};
struct StatusReport {
  std::string version, id;
  std::uint64_t uptime_s = 0;
  std::string aead;  ///< implementation in use
  unsigned workers = 0;
  std::uint64_t packet_memory = 0;  ///< bytes set aside for packets, by all workers together
  std::vector<PeerReport> peers;
  std::vector<CertificateReport> certificates;
  std::vector<RevocationReport> revocation;
  std::uint64_t pid = 0;  ///< of culvertd; 0: an older one, which does not say
  std::uint32_t uid = 0;                    ///< of the daemon
  std::vector<std::string> capabilities{};  ///< that it still has: "cap_net_admin"
  std::string key_export{};                 ///< who gets the keys of SAs now, in words; empty: nobody
  std::vector<std::string> protections{};   ///< in force: "no_new_privs", "seccomp", "landlock", "locked_memory"
};
/// What `culvert doctor` has found.
struct FindingReport {
  std::string severity;     ///< "ok", "note", "warning", "problem"
  std::string check;        ///< stable name: "forwarding", "peer", "mtu", …
  std::string subject;      ///< what it is about: a peer, a tunnel, a file; may be empty
  std::string text;         ///< one sentence for people
  std::string advice;       ///< what to do about it; empty when there is nothing to do
  std::vector<std::string> fixes;  ///< what --fix would do, or has done, in words
  bool fixed = false;
};
/// How much is logged.
struct LogLevelReport {
  std::string level;       ///< now: "debug", "info", "warning", "error"
  std::string configured;  ///< what a reload brings back
};
struct DropReport {
  std::string reason, text;
  std::uint64_t packets = 0;
};
/// One difference between the configuration that runs and another one.
struct ChangeReport {
  std::string kind;           ///< "added", "removed", "changed"
  std::string key;            ///< "peer.tokyo", "peer.tokyo.start"
  std::string before, after;  ///< TOML; "" where the file has none
  std::string effect;         ///< of one that was changed: "in place", "rekeys", "reauthenticates", … (docs/configuration.md)
  std::string text;           ///< the whole in a line, for people
};
/// A device that inner packets can be captured on.
struct CaptureDevice {
  std::string tunnel, device, peer;
};
/// What `culvert capture` has to look at.
struct CaptureReport {
  std::vector<CaptureDevice> devices;
  std::string outer;            ///< pcap-filter(7): IKE and ESP, from and to where the peer is now
  bool allow_key_export = false;
};
struct Response {
  bool ok = false;
  std::string error;  ///< when not ok, for people
  std::string code;   ///< when not ok: "not_found", "invalid", "malformed", "busy"
  std::optional<StatusReport> status;
  std::optional<std::vector<DropReport>> drops;
  std::optional<std::vector<UserReport>> users;  ///< at most max_users
  std::optional<std::vector<ChangeReport>> changes;  ///< of reload and diff
  std::optional<std::vector<RouteReport>> routes;
  std::optional<LogLevelReport> log_level;
  std::optional<std::vector<TraceReport>> trace;     ///< the oldest first
  std::optional<CaptureReport> capture;
  std::optional<std::vector<std::string>> keys;      ///< options of tshark; those that were not given before
  std::vector<std::string> mistakes;                 ///< when not ok: each mistake of a configuration, "FILE:LINE:COLUMN: KEY: …"
  std::string message;  ///< when ok, one line for people, or empty
};

// All of these are pure; any thread.

/// One line of JSON without the newline. Strings go through printable: what a peer chose cannot colour a terminal.
[[nodiscard]] std::string to_json(const Request& request);
[[nodiscard]] std::string to_json(const Response& response);
/// What `culvert status --json` and `culvert drops --json` print: one object on one line, its first member "schema".
[[nodiscard]] std::string to_json(const StatusReport& status);
[[nodiscard]] std::string to_json(const std::vector<DropReport>& drops);
[[nodiscard]] std::string to_json(const std::vector<UserReport>& users);
/// What `culvert doctor --json` prints.
[[nodiscard]] std::string to_json(const std::vector<FindingReport>& findings);
[[nodiscard]] std::string to_json(const std::vector<ChangeReport>& changes);
/// What `culvert log-level --json` prints.
[[nodiscard]] std::string to_json(const LogLevelReport& level);

/// Strict: a known command with exactly the members it needs, and at most max_request_len bytes. Errc::malformed says
/// what is wrong; answer it with code "malformed". `what` of a rekey is "both" when it is left out.
[[nodiscard]] Result<Request> parse_request(std::string_view line);
/// Lines follow the response to it, when that is a good one (events.h).
[[nodiscard]] bool is_stream(const Request& request) noexcept;
/// Tolerant: members that are missing or not understood are left at their defaults, unknown ones are skipped, so that
/// an old client reads a new daemon. Errc::malformed when it is no JSON object, or speaks another `schema`.
[[nodiscard]] Result<Response> parse_response(std::string_view line);

}  // namespace culvert::control

#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::control {

// The control socket speaks one JSON object a line: a request, then one response. The JSON schema of the reports is stable: fields are
// added, never renamed or removed, as long as `schema` stays; docs/control.md documents it.
inline constexpr int schema_version = 1;
inline constexpr std::size_t max_request_len = 4096;  ///< bytes of a request line

struct Request {
  std::string command;  ///< "status", "drops", "up", "down", "rekey"
  std::string peer;     ///< for up, down, rekey
  std::string what;     ///< for rekey: "ike", "children" or "both"
};

struct ChildReport {
  std::string name, state;                 ///< "up", "down"
  std::string inbound_spi, outbound_spi;   ///< "0x…"
  std::string suite, mode, encapsulation;
  bool esn = false;
  std::vector<std::string> local, remote;  ///< selectors in words: "10.1.0.0/16", "192.0.2.1/32[gre]"
  std::uint64_t established_s = 0;
  std::optional<std::uint64_t> rekey_in_s;
  std::uint64_t inbound_packets = 0, inbound_bytes = 0, outbound_packets = 0, outbound_bytes = 0;
  std::string reason;
};
struct TunnelReport {
  std::string name, device, carry, state;
  std::uint32_t mtu = 0;
  std::optional<std::uint32_t> key;
  std::vector<std::string> addresses, routes;
  std::uint64_t inbound_packets = 0, inbound_bytes = 0, outbound_packets = 0, outbound_bytes = 0;
};
struct PeerReport {
  std::string name, state;                 ///< "up", "connecting", "resolving", "waiting", "down", "admin-down"
  std::string remote_id, local, remote;    ///< endpoints "192.0.2.1:4500"
  std::string role;                        ///< "initiator", "responder"
  std::string suite, spi_i, spi_r;
  bool nat_local = false, nat_remote = false;
  std::uint64_t established_s = 0;
  std::optional<std::uint64_t> rekey_in_s, retry_in_s;
  std::string reason;
  std::vector<ChildReport> children;
  std::vector<TunnelReport> tunnels;
};
struct StatusReport {
  std::string version, id;
  std::uint64_t uptime_s = 0;
  std::string aead;                        ///< implementation in use
  unsigned workers = 0;
  std::vector<PeerReport> peers;
};
struct DropReport {
  std::string reason, text;
  std::uint64_t packets = 0;
};
struct Response {
  bool ok = false;
  std::string error;                       ///< when not ok, for people
  std::string code;                        ///< when not ok: "not_found", "invalid", "malformed", "busy"
  std::optional<StatusReport> status;
  std::optional<std::vector<DropReport>> drops;
  std::string message;                     ///< when ok, one line for people, or empty
};

/// One line of JSON without the newline.
[[nodiscard]] std::string to_json(const Request& request);
[[nodiscard]] std::string to_json(const Response& response);
[[nodiscard]] Result<Request> parse_request(std::string_view line);
[[nodiscard]] Result<Response> parse_response(std::string_view line);

}  // namespace culvert::control

#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/config/config.h"
#include "culvert/control/protocol.h"

namespace culvert::cli {

/// Who may touch a file.
struct FileFacts {
  std::uint32_t mode = 0;  ///< permission bits
  std::uint32_t uid = 0;
  std::chrono::sys_seconds modified{};
  bool directory = false;
};

/// What came back from an address that was asked something that every IKEv2 implementation answers.
enum class IkeAnswer : std::uint8_t {
  answered,
  silence,      ///< nothing in time
  refused,      ///< the host says that nobody listens (ICMP port unreachable)
  unreachable,  ///< a router, or our own kernel, says that there is no way (ICMP host or net unreachable)
  too_large,    ///< our own link is too small for it
};

struct AddressFacts {
  std::string device;
  IpPrefix prefix;
};

/// The machine as `culvert doctor` sees it: few questions, so that a test can be any machine. Nothing here changes it
/// but the two last ones. One thread.
class Host {
 public:
  virtual ~Host() = default;
  /// At most 1 MiB of a text file; nullopt: it is not there, or may not be read.
  [[nodiscard]] virtual std::optional<std::string> read(const std::string& file) = 0;
  [[nodiscard]] virtual std::optional<FileFacts> look_at(const std::string& file) = 0;
  [[nodiscard]] virtual std::vector<AddressFacts> addresses() = 0;
  /// The packet filter's rules as `nft list ruleset` prints them; empty: none, or nobody can tell.
  [[nodiscard]] virtual std::string firewall() = 0;
  /// Empty: the name has no address; `why` says so in words.
  [[nodiscard]] virtual std::vector<IpAddress> resolve(const std::string& name, std::string& why) = 0;
  [[nodiscard]] virtual std::chrono::sys_seconds now() = 0;
  /// Whether the kernel's clock is disciplined by a time server; nullopt: nobody can tell.
  [[nodiscard]] virtual std::optional<bool> clock_is_synchronized() = 0;
  /// Sends an IKE header of major version 3, in `len` bytes of IP with DF, to which RFC 7296 §2.5 has one answer:
  /// INVALID_MAJOR_VERSION. `marker`: behind a non-ESP marker. Up to three times within `patience`.
  [[nodiscard]] virtual IkeAnswer ask_ike(const Endpoint& remote, bool marker, std::size_t len,
                                          std::chrono::milliseconds patience) = 0;
  /// What `ethtool -k` calls it; nullopt: the device does not know it.
  [[nodiscard]] virtual std::optional<bool> offload(const std::string& device, std::string_view feature) = 0;

  /// For --fix.
  [[nodiscard]] virtual bool write(const std::string& file, const std::string& value) = 0;
  [[nodiscard]] virtual bool set_mode(const std::string& file, std::uint32_t mode) = 0;
};

enum class Severity : std::uint8_t { ok, note, warning, problem };

/// A change that cannot cut off or open anything, which --fix makes.
struct Fix {
  enum class Kind : std::uint8_t { write_file, set_mode } kind = Kind::write_file;
  std::string file;
  std::string value;       ///< what is written
  std::uint32_t mode = 0;  ///< what the permissions become
  std::string words;       ///< "sysctl net.ipv4.ip_forward=1"
};

struct Finding {
  Severity severity = Severity::ok;
  std::string check, subject, text;
  std::string advice;
  std::vector<Fix> fixes;
  bool fixed = false;
};
using Findings = std::vector<Finding>;

/// What is known before the first look at the machine. The pointers outlive the examination; any may be null.
struct Case {
  Host& host;
  const config::Config* config = nullptr;
  const control::StatusReport* status = nullptr;  ///< nullptr: culvertd does not answer
  std::string silence;                            ///< why it does not
  std::string config_file;
  std::vector<std::string> config_mistakes;  ///< in words; then config is nullptr
};

/// A route of the main table, from /proc/net.
struct RouteFacts {
  IpPrefix to;
  std::string device;
  bool gateway = false;
  bool reject = false;  ///< an unreachable route, as our guards are
};

/// All checks, the worst findings first.
[[nodiscard]] Findings examine(const Case& patient);

// The groups of checks; each appends what it found, also what is well.
void check_daemon(const Case& patient, Findings& findings);   ///< culvertd, its configuration, capabilities
void check_peers(const Case& patient, Findings& findings);    ///< why peers and tunnels are down, in words
void check_reach(const Case& patient, Findings& findings);    ///< DNS, UDP 500 and 4500, path MTU, NAT
void check_network(const Case& patient, Findings& findings);  ///< forwarding, rp_filter, routes, overlaps
void check_firewall(const Case& patient, Findings& findings);
void check_system(const Case& patient, Findings& findings);  ///< clock, certificates, files, CPU, limits, offloads

/// One suggestion for a reason why a peer or a tunnel is down; empty: nothing better than the reason itself.
[[nodiscard]] std::string advice_for(std::string_view reason, std::string_view peer);
[[nodiscard]] std::vector<RouteFacts> main_routes(Host& host);
/// The longest match; nullptr: no way.
[[nodiscard]] const RouteFacts* route_to(const std::vector<RouteFacts>& routes, const IpAddress& address);
/// What the packet filter's text says against us.
[[nodiscard]] Findings judge_firewall(std::string_view ruleset, const config::Config* config);

/// Makes the changes of `findings`; those that succeeded are marked `fixed`.
void apply_fixes(Host& host, Findings& findings);

}  // namespace culvert::cli

#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"

namespace culvert::daemon {

/// What this host's name resolution is to use.
struct DnsSettings {
  std::vector<IpAddress> servers;
  std::vector<std::string> domains;  ///< empty: the servers are asked for all names; else for these, and those below
  [[nodiscard]] bool split() const noexcept { return !domains.empty(); }
  friend bool operator==(const DnsSettings&, const DnsSettings&) = default;
};

/// Letters, digits and hyphens in labels of 1 … 63, 253 in all (RFC 1123 §2.1), no dot at the end: a name that may
/// stand in a file or on a command line.
[[nodiscard]] bool is_dns_name(std::string_view text) noexcept;
/// Without what this host must not be told: names that are none, servers that are no servers elsewhere. At most 8
/// and 32.
[[nodiscard]] DnsSettings acceptable(DnsSettings settings);
/// The text of a resolv.conf(5): the first 3 servers and 6 domains. `head` is its first line.
[[nodiscard]] std::string resolv_conf(const DnsSettings& settings, std::string_view head);

/// Where the machine keeps what is changed here; others for tests.
struct DnsPlaces {
  std::filesystem::path resolv_conf = "/etc/resolv.conf";
  std::filesystem::path resolved = "/run/systemd/resolve/stub-resolv.conf";  ///< there: systemd-resolved runs
  std::filesystem::path resolvconf = "/run/resolvconf/interface";            ///< its lists, a file for each device
  /// What stood in `resolv_conf` before. Beside it: there it outlives a crash of the machine, and the way back is one
  /// rename.
  [[nodiscard]] std::filesystem::path saved() const { return resolv_conf.string() + ".before-culvert"; }
};

/// Puts the servers of a tunnel into this host's resolver, and takes them out again: by systemd-resolved where it runs,
/// else by resolvconf where it is installed, else in /etc/resolv.conf, whose old self waits beside it under another
/// name. Before each change a line in `record` says what there is to undo; so another process can, after a crash or a
/// restart of the machine. Control thread; calls programs, and waits for them.
class ClientDns {
 public:
  /// `name` is of the client, `record` a file in its folder of state.
  ClientDns(std::string name, std::string device, std::filesystem::path record, DnsPlaces places = {});

  /// In place of what was set before; without servers: nothing is left of it. Returns a sentence about what was done,
  /// also about what this way of resolving cannot do.
  [[nodiscard]] Result<std::string> set(const DnsSettings& settings);
  /// Undoes what is recorded, also of a process before this one. Nothing recorded: as wanted.
  [[nodiscard]] Result<void> undo();
  /// Somebody else (a DHCP client) may have written /etc/resolv.conf meanwhile: what is there now is what will be put
  /// back, and ours goes in its place.
  void look_again();

 private:
  enum class Way : std::uint8_t { none, resolved, resolvconf, file };
  [[nodiscard]] Way recorded() const;
  [[nodiscard]] Result<void> keep_record(Way way) const;
  [[nodiscard]] Result<void> set_resolved(const DnsSettings& settings) const;
  [[nodiscard]] Result<void> set_resolvconf(const DnsSettings& settings) const;
  [[nodiscard]] Result<void> set_file(const DnsSettings& settings) const;
  [[nodiscard]] Result<void> undo(Way way) const;
  [[nodiscard]] Result<void> undo_file() const;
  [[nodiscard]] std::string head() const;
  [[nodiscard]] std::filesystem::path saved() const { return places_.saved(); }
  enum class Writer : std::uint8_t { us, other_client, somebody };
  [[nodiscard]] Writer writer() const;  ///< of /etc/resolv.conf as it is now

  std::string name_, device_;
  std::filesystem::path record_;
  DnsPlaces places_;
  DnsSettings now_;
  Way way_ = Way::none;
};

}  // namespace culvert::daemon

#include "client_dns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "culvert/base/log.h"
#include "run_program.h"
#include "small_file.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_servers = 8, max_domains = 32;
constexpr std::size_t max_listed_servers = 3, max_listed_domains = 6;  // resolv.conf(5)

bool is_label(std::string_view label) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         label.find_first_not_of(allowed) == std::string_view::npos;
}

std::vector<std::string> texts_of(const std::vector<IpAddress>& addresses) {
  std::vector<std::string> texts;
  for (const IpAddress& address : addresses) texts.push_back(address.to_string());
  return texts;
}

}  // namespace

bool is_dns_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > 253) return false;
  for (;;) {
    const std::size_t dot = text.find('.');
    if (!is_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

DnsSettings acceptable(DnsSettings settings) {
  std::erase_if(settings.servers, [](const IpAddress& address) {
    return address.is_unspecified() || address.is_multicast() || address.is_loopback();
  });
  const bool was_split = settings.split();
  std::erase_if(settings.domains, [](const std::string& domain) { return !is_dns_name(domain); });
  if (settings.servers.size() > max_servers) settings.servers.resize(max_servers);
  if (settings.domains.size() > max_domains) settings.domains.resize(max_domains);
  // Servers for a few names do not become servers for all because those names cannot be used.
  if (was_split && !settings.split()) settings.servers.clear();
  if (settings.servers.empty()) settings.domains.clear();
  return settings;
}

std::string resolv_conf(const DnsSettings& settings, std::string_view head) {
  std::string text = fmt::format("{}\n", head);
  for (std::size_t i = 0; i < std::min(settings.servers.size(), max_listed_servers); ++i)
    text += fmt::format("nameserver {}\n", settings.servers[i].to_string());
  for (std::size_t i = 0; i < std::min(settings.domains.size(), max_listed_domains); ++i)
    text += fmt::format("{}{}", i == 0 ? "search " : " ", settings.domains[i]);
  return settings.split() ? text + "\n" : text;
}

ClientDns::ClientDns(std::string name, std::string device, std::filesystem::path record, DnsPlaces places)
    : name_(std::move(name)), device_(std::move(device)), record_(std::move(record)), places_(std::move(places)) {}

Result<std::string> ClientDns::set(const DnsSettings& settings) {
  if (settings.servers.empty()) {
    auto undone = undo();
    if (!undone) return std::unexpected(undone.error());
    return "the gateway gives no DNS servers";
  }
  const std::string what =
      fmt::format("DNS: {} for {}", fmt::join(texts_of(settings.servers), ", "),
                  settings.split() ? fmt::format("{}", fmt::join(settings.domains, ", ")) : "all names");
  const bool has_resolved = std::filesystem::exists(places_.resolved) && !find_program("resolvectl").empty();
  const bool has_resolvconf = !find_program("resolvconf").empty();
  const Way way = has_resolved ? Way::resolved : has_resolvconf ? Way::resolvconf : Way::file;
  if (const Way before = recorded(); before != Way::none && before != way)
    if (auto undone = undo(before); !undone) return std::unexpected(undone.error());
  if (auto recorded = keep_record(way); !recorded) return std::unexpected(recorded.error());
  const auto done = way == Way::resolved     ? set_resolved(settings)
                    : way == Way::resolvconf ? set_resolvconf(settings)
                                             : set_file(settings);
  if (!done) return std::unexpected(done.error());
  now_ = settings;
  way_ = way;
  if (way == Way::resolved) return what + " (by systemd-resolved)";
  const std::string by = way == Way::resolvconf ? "resolvconf" : places_.resolv_conf.string();
  if (!settings.split()) return fmt::format("{} (by {})", what, by);
  return fmt::format(
      "{} (by {}, which cannot tell names apart: these servers are asked for all names first; "
      "systemd-resolved can)",
      what, by);
}

/// With resolved a domain without '~' is both: for names with one label, and the names that these servers are asked
/// for.
Result<void> ClientDns::set_resolved(const DnsSettings& settings) const {
  const std::string resolvectl = find_program("resolvectl");
  std::vector<std::string> servers = {resolvectl, "dns", device_}, domains = {resolvectl, "domain", device_};
  for (const std::string& server : texts_of(settings.servers)) servers.push_back(server);
  domains.insert(domains.end(), settings.domains.begin(), settings.domains.end());
  if (!settings.split()) domains.emplace_back("~.");
  if (auto done = run_program(servers); !done) return done;
  if (auto done = run_program(domains); !done) return done;
  return run_program({resolvectl, "default-route", device_, settings.split() ? "no" : "yes"});
}

Result<void> ClientDns::set_resolvconf(const DnsSettings& settings) const {
  std::vector<std::string> argv = {find_program("resolvconf"), "-a", "tun." + device_, "-m", "0"};
  if (!settings.split()) argv.emplace_back("-x");  // no others beside these
  return run_program(argv, resolv_conf(settings, head()));
}

// ---- /etc/resolv.conf
// ------------------------------------------------------------------------------------------------

std::string ClientDns::head() const {
  return fmt::format("# culvert client {}: what was here before stands in {}", name_, saved().string());
}

ClientDns::Writer ClientDns::writer() const {
  std::ifstream file(places_.resolv_conf);
  std::string first;
  std::getline(file, first);
  if (first == head()) return Writer::us;
  return first.starts_with("# culvert client ") ? Writer::other_client : Writer::somebody;
}

Result<void> ClientDns::set_file(const DnsSettings& settings) const {
  const auto& there = places_.resolv_conf;
  std::error_code error;
  const Writer last = writer();
  if (last == Writer::other_client)
    return fail(Errc::invalid, fmt::format("{} is in use by another client of culvert", there.string()));
  if (last == Writer::somebody &&
      std::filesystem::symlink_status(there, error).type() != std::filesystem::file_type::not_found) {
    // A second name for the file itself, or for the link that it is: no moment without it.
    std::filesystem::remove(saved(), error);
    if (::linkat(AT_FDCWD, there.c_str(), AT_FDCWD, saved().c_str(), 0) != 0) {
      const auto text = read_small_file(there);
      if (!text) return std::unexpected(text.error());
      if (auto kept = replace_file(saved(), *text, 0644); !kept) return kept;
    }
  }
  return replace_file(there, resolv_conf(settings, head()), 0644);
}

Result<void> ClientDns::undo_file() const {
  std::error_code error;
  const Writer last = writer();
  if (last == Writer::other_client) return {};
  const bool has_saved =
      std::filesystem::symlink_status(saved(), error).type() != std::filesystem::file_type::not_found;
  if (last == Writer::somebody) {  // and knows better than our copy
    if (has_saved) std::filesystem::remove(saved(), error);
    return {};
  }
  if (!has_saved) {
    std::filesystem::remove(places_.resolv_conf, error);
    return {};
  }
  if (::rename(saved().c_str(), places_.resolv_conf.c_str()) == 0) return {};
  // A mount point (in containers) cannot be replaced: its content can.
  const auto text = read_small_file(saved());
  if (!text) return std::unexpected(text.error());
  if (auto put = replace_file(places_.resolv_conf, *text, 0644); !put) return put;
  std::filesystem::remove(saved(), error);
  return {};
}

void ClientDns::look_again() {
  if (way_ != Way::file || writer() != Writer::somebody) return;
  log::info("somebody has written {}: kept for later, ours goes in its place", places_.resolv_conf.string());
  if (auto done = set_file(now_); !done) log::warn("{}", done.error().detail);
}

// ---- the way back
// ----------------------------------------------------------------------------------------------------

Result<void> ClientDns::keep_record(Way way) const {
  const char* word = way == Way::resolved ? "resolved" : way == Way::resolvconf ? "resolvconf" : "file";
  return replace_file(record_, fmt::format("{} {}\n", word, device_), 0600);
}

ClientDns::Way ClientDns::recorded() const {
  std::ifstream file(record_);
  std::string word;
  file >> word;
  if (word == "resolved") return Way::resolved;
  if (word == "resolvconf") return Way::resolvconf;
  // Without a record (the machine was restarted): what only we write.
  if (word == "file" || writer() == Writer::us) return Way::file;
  return Way::none;
}

Result<void> ClientDns::undo() {
  const Way way = recorded();
  if (way != Way::none)
    if (auto undone = undo(way); !undone) return undone;
  std::error_code ignored;
  std::filesystem::remove(record_, ignored);
  now_ = {};
  way_ = Way::none;
  return {};
}

Result<void> ClientDns::undo(Way way) const {
  if (way == Way::file) return undo_file();
  if (way == Way::resolvconf) {
    const auto done = run_program({find_program("resolvconf"), "-d", "tun." + device_});
    return done || done.error().code != Errc::not_found ? done : Result<void>{};
  }
  // resolved forgets a device when it goes, and so there may be nothing to revert.
  if (way == Way::resolved && std::filesystem::exists("/sys/class/net/" + device_))
    return run_program({find_program("resolvectl"), "revert", device_});
  return {};
}

}  // namespace culvert::daemon

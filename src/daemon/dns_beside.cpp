#include "dns_beside.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <sstream>

#include "dns_query.h"
#include "small_file.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_servers = 4, max_files = 32;
constexpr std::chrono::seconds name_server_patience{2};

/// Where name servers are listed, in the form of resolv.conf(5): the file that we have replaced; what systemd-resolved
/// and resolvconf know of the other devices.
std::vector<std::filesystem::path> lists_of(const DnsPlaces& places) {
  std::vector<std::filesystem::path> files = {places.saved(), places.resolved.parent_path() / "resolv.conf"};
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(places.resolvconf, error))
    if (files.size() < max_files) files.push_back(entry.path());
  files.push_back(places.resolv_conf);
  return files;
}

int lower(char c) {
  return std::tolower(static_cast<unsigned char>(c));
}

}  // namespace

std::vector<IpAddress> servers_beside(const std::vector<IpAddress>& tunnel, const DnsPlaces& places) {
  std::vector<IpAddress> servers;
  for (const auto& file : lists_of(places)) {
    std::istringstream lines(read_small_file(file).value_or(""));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string key, value;
      words >> key >> value;
      const auto address = key == "nameserver" ? IpAddress::parse(value) : std::nullopt;
      if (!address || address->is_loopback() || address->is_unspecified() || servers.size() >= max_servers) continue;
      if (std::ranges::find(tunnel, *address) == tunnel.end() && std::ranges::find(servers, *address) == servers.end())
        servers.push_back(*address);
    }
  }
  return servers;
}

Result<std::vector<IpAddress>> look_up_beside(const std::string& name, const std::vector<IpAddress>& tunnel) {
  Error last{Errc::not_found, "no name server is known beside the tunnel"};
  for (const IpAddress& server : servers_beside(tunnel)) {
    auto found = ask_name_server(server, name, lookup_mark, name_server_patience);
    if (found) return found;
    last = found.error();
  }
  return std::unexpected(last);
}

bool is_in_hosts(std::string_view name, const std::filesystem::path& hosts) {
  std::istringstream lines(read_small_file(hosts).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string word;
    words >> word;  // the address
    while (words >> word)
      if (std::ranges::equal(word, name, {}, lower, lower)) return true;
  }
  return false;
}

}  // namespace culvert::daemon

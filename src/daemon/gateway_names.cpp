#include "gateway_names.h"

#include <fmt/format.h>

#include <chrono>
#include <sstream>
#include <system_error>
#include <thread>

#include "dns_beside.h"
#include "resolver.h"
#include "small_file.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_names = 16, max_addresses = 16;
constexpr std::chrono::seconds lookup_patience{1};

}  // namespace

GatewayNames::GatewayNames(std::filesystem::path file, NameSources sources)
    : file_(std::move(file)), sources_(std::move(sources)) {
  if (!sources_.system) sources_.system = system_lookup;
  if (!sources_.beside) sources_.beside = look_up_beside;
  const auto text = read_small_file(file_);
  if (!text) return;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line) && known_.size() < max_names;) {
    std::istringstream words(line);
    std::string name, word;
    words >> name;
    while (words >> word)
      if (const auto address = IpAddress::parse(word); address && known_[name].size() < max_addresses)
        known_[name].push_back(*address);
  }
}

std::vector<IpAddress> GatewayNames::known(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(name);
  return found == known_.end() ? std::vector<IpAddress>{} : found->second;
}

void GatewayNames::keep(const std::string& name, const std::vector<IpAddress>& addresses) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= max_names && !known_.contains(name)) return;
  auto& entry = known_[name];
  if (entry == addresses) return;
  entry = addresses;
  if (entry.size() > max_addresses) entry.resize(max_addresses);
  std::string text;
  for (const auto& [one, list] : known_) {
    text += one;
    for (const IpAddress& address : list) text += " " + address.to_string();
    text += '\n';
  }
  (void)replace_file(file_, text, 0600);  // without it the next process asks first
}

Result<std::vector<IpAddress>> GatewayNames::look_up(const std::string& name) {
  if (const auto literal = IpAddress::parse(name)) return std::vector{*literal};
  auto found = ask(name);
  if (found && !found->empty()) {
    keep(name, *found);
    return found;
  }
  if (auto last = known(name); !last.empty()) return last;
  return found;
}

/// Names are asked for when the gateway is called: the tunnel is down, and so are the name servers behind it.
Result<std::vector<IpAddress>> GatewayNames::ask(const std::string& name) {
  std::vector<IpAddress> tunnel;
  {
    const std::lock_guard lock(mutex_);
    tunnel = tunnel_servers_;
  }
  const auto is_answer = [](const auto& found) { return found && !found->empty(); };
  const bool beside_first = !tunnel.empty() && !is_in_hosts(name, sources_.hosts);
  auto first = beside_first ? sources_.beside(name, tunnel) : sources_.system(name);
  if (is_answer(first)) return first;
  auto second = beside_first ? sources_.system(name) : sources_.beside(name, tunnel);
  return is_answer(second) ? second : first;
}

void GatewayNames::set_tunnel_servers(std::vector<IpAddress> servers) {
  const std::lock_guard lock(mutex_);
  tunnel_servers_ = std::move(servers);
}

Result<std::vector<IpAddress>> GatewayNames::find(const std::string& name) {
  auto last = known(name);
  if (last.empty() || IpAddress::parse(name)) return look_up(name);
  std::unique_lock lock(mutex_);
  if (under_way_.insert(name).second) {
    try {
      std::thread([self = shared_from_this(), name] {
        (void)self->look_up(name);
        const std::lock_guard done(self->mutex_);
        self->under_way_.erase(name);
        self->answered_.notify_all();
      }).detach();
    } catch (const std::system_error&) {
      under_way_.erase(name);
      return last;
    }
  }
  answered_.wait_for(lock, lookup_patience, [&] { return !under_way_.contains(name); });
  return known_[name];
}

}  // namespace culvert::daemon

#include "gateway_names.h"

#include <fmt/format.h>

#include <chrono>
#include <sstream>
#include <system_error>
#include <thread>

#include "resolver.h"
#include "small_file.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_names = 16, max_addresses = 16;
constexpr std::chrono::seconds patience{1};

}  // namespace

GatewayNames::GatewayNames(std::filesystem::path file) : file_(std::move(file)) {
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
  auto found = system_lookup(name);
  if (found && !found->empty()) {
    keep(name, *found);
    return found;
  }
  if (auto last = known(name); !last.empty()) return last;
  return found;
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
  answered_.wait_for(lock, patience, [&] { return !under_way_.contains(name); });
  return known_[name];
}

}  // namespace culvert::daemon

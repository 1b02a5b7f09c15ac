#include "service_manager.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "culvert/base/log.h"

namespace culvert::daemon {
namespace {

constexpr std::uint64_t patience_us = 2'000'000;  // until the manager has done what it was told

/// A device that somebody deletes is to be given up by the manager, too. An error that waits in a socket is no reason.
bool is_device(const tunnel::NamedDescriptor& descriptor) {
  return descriptor.name.starts_with("tun.");
}

std::uint64_t monotonic_us() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

ServiceManager::ServiceManager() : is_there_(std::getenv("NOTIFY_SOCKET") != nullptr) {
  std::uint64_t limit_us = 0;
  if (is_there_ && sd_watchdog_enabled(0, &limit_us) > 0 && limit_us > 1)
    watchdog_ = std::chrono::microseconds(limit_us / 2);

  char** names = nullptr;
  const int num = sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < num; ++i) {
    const char* name = names != nullptr ? names[i] : "unknown";
    kept_.add(name, SD_LISTEN_FDS_START + i);
    if (is_there_) tell(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name));
    std::free(names != nullptr ? names[i] : nullptr);
  }
  std::free(names);
  // Only then may we close one and make it anew: the manager's copy would hold its port or its name.
  if (is_there_ && num > 0 && sd_notify_barrier(0, patience_us) < 0)
    log::debug("the service manager does not confirm that it has given our descriptors up");
}

void ServiceManager::tell(const std::string& text) const {
  if (!is_there_) return;
  if (const int error = sd_notify(0, text.c_str()); error < 0)
    log::debug("the service manager does not listen: {}", std::strerror(-error));
}

void ServiceManager::say_ready(const std::string& status) {
  status_ = status;
  tell("READY=1\nSTATUS=" + status);
}

void ServiceManager::say_status(const std::string& status) {
  if (status == status_) return;
  status_ = status;
  tell("STATUS=" + status);
}

void ServiceManager::say_reloading() {
  tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
}

void ServiceManager::say_stopping() {
  tell("STOPPING=1\nSTATUS=going down");
}

void ServiceManager::say_alive() {
  tell("WATCHDOG=1");
}

void ServiceManager::keep(const std::vector<tunnel::NamedDescriptor>& wanted) {
  if (!is_there_) return;
  std::vector<tunnel::NamedDescriptor> sorted = wanted;
  std::ranges::sort(sorted, {}, &tunnel::NamedDescriptor::name);
  const auto same = [](const tunnel::NamedDescriptor& a, const tunnel::NamedDescriptor& b) {
    return a.name == b.name && a.fd == b.fd;
  };
  const auto find = [](const std::vector<tunnel::NamedDescriptor>& in, const std::string& name) {
    const auto at = std::ranges::lower_bound(in, name, {}, &tunnel::NamedDescriptor::name);
    return at != in.end() && at->name == name ? &*at : nullptr;
  };
  for (const auto& old : stored_) {
    const auto* now = find(sorted, old.name);
    if (now == nullptr || !same(*now, old)) tell(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", old.name));
  }
  for (const auto& descriptor : sorted) {
    const auto* before = find(stored_, descriptor.name);
    if (before == nullptr || !same(*before, descriptor)) store(descriptor);
  }
  stored_ = std::move(sorted);
}

void ServiceManager::store(const tunnel::NamedDescriptor& descriptor) {
  const std::string text =
      fmt::format("FDSTORE=1\nFDNAME={}{}", descriptor.name, is_device(descriptor) ? "" : "\nFDPOLL=0");
  const int error = sd_pid_notify_with_fds(0, 0, text.c_str(), &descriptor.fd, 1);
  if (error < 0) log::debug("{} is not kept over a restart: {}", descriptor.name, std::strerror(-error));
}

}  // namespace culvert::daemon

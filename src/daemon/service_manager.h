#pragma once
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/time.h"
#include "culvert/tunnel/kept_descriptors.h"

namespace culvert::daemon {

/// systemd, or whoever else speaks sd_notify(3), as the one who has started us: is told how we are, and keeps our
/// devices and sockets open while we are restarted. Where there is none every call does nothing. Control thread.
class ServiceManager {
 public:
  /// What the environment says. Takes over the descriptors that were passed to us ($LISTEN_FDS), which nobody else may
  /// have done before, and has the manager give its own copies of them up: a device that we close is gone.
  ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  /// There is somebody to talk to.
  [[nodiscard]] bool is_there() const noexcept { return is_there_; }
  /// What was kept for us. Once.
  [[nodiscard]] tunnel::KeptDescriptors take_kept() noexcept { return std::move(kept_); }

  void say_ready(const std::string& status);  ///< also: what was reloaded counts now
  void say_status(const std::string& status);  ///< said only when it has changed
  void say_reloading();                        ///< say_ready ends it, also when the reload has failed
  void say_stopping();
  /// How often say_alive is expected, at least; nullopt: never. Half of what the manager waits.
  [[nodiscard]] std::optional<Duration> watchdog_interval() const noexcept { return watchdog_; }
  void say_alive();

  /// The manager keeps copies of exactly these from here on.
  void keep(const std::vector<tunnel::NamedDescriptor>& wanted);
  /// It keeps some: they outlive us, with the devices that they stand for.
  [[nodiscard]] bool keeps_any() const noexcept { return !stored_.empty(); }

 private:
  void tell(const std::string& text) const;
  void store(const tunnel::NamedDescriptor& descriptor);

  bool is_there_ = false;
  std::optional<Duration> watchdog_;
  tunnel::KeptDescriptors kept_;
  std::vector<tunnel::NamedDescriptor> stored_;  ///< by name
  std::string status_;
};

}  // namespace culvert::daemon

#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"

namespace culvert::daemon {

inline constexpr const char* crash_secret_name = "crash-secret";
inline constexpr const char* ticket_keys_name = "ticket-keys";

/// A device that culvertd created. Its addresses and routes live and die with it.
struct DeviceRecord {
  std::string name;
  int ifindex = 0;
  friend bool operator==(const DeviceRecord&, const DeviceRecord&) = default;
};

/// An unreachable route behind those of the tunnels.
struct GuardRecord {
  IpPrefix to;
  std::uint32_t table = 0;
  friend auto operator<=>(const GuardRecord&, const GuardRecord&) = default;
};

/// What a daemon has put on the machine, and what must not be left there without one.
struct MachineRecord {
  std::vector<DeviceRecord> devices;
  std::vector<GuardRecord> guards;      ///< they outlive a crash
  std::vector<IpPrefix> former_guards;  ///< of a daemon before 0.2: main table, another protocol number; only read
  [[nodiscard]] bool empty() const noexcept { return devices.empty() && guards.empty() && former_guards.empty(); }
  friend bool operator==(const MachineRecord&, const MachineRecord&) = default;
};

/// Makes what is missing of a directory's path, open to all to pass through (0755) whatever the umask. Start-up only:
/// umask belongs to the whole process.
[[nodiscard]] Result<void> make_directories(const std::filesystem::path& directory);

/// What one culvertd remembers on disk so that the next one can clean up after a crash, and the lock that keeps two
/// apart. Owned by the control thread.
class StateDir {
 public:
  /// Makes the directory when it is not there, and takes its lock. Errc::invalid names the pid of the daemon that holds
  /// it.
  [[nodiscard]] static Result<StateDir> open(const std::filesystem::path& directory);
  StateDir(StateDir&& other) noexcept;
  StateDir& operator=(StateDir&&) = delete;
  ~StateDir();  ///< removes and releases the lock; the record stays unless `forget` was called

  /// What the last daemon had created and did not remove. Empty when it left cleanly, when the machine was rebooted
  /// since, or when it ran in another network namespace.
  [[nodiscard]] const MachineRecord& leftovers() const noexcept { return leftovers_; }
  /// Replaces the record, atomically.
  [[nodiscard]] Result<void> record(const MachineRecord& machine) const;
  /// `len` random bytes in the file `name` (mode 0600): those of the last daemon, else new ones. What is not ours
  /// alone, or has another length, is replaced.
  [[nodiscard]] Result<Secret> secret(const std::string& name, std::size_t len) const;
  /// Replaces the content of `name`, atomically and down to the disk.
  [[nodiscard]] Result<void> keep_secret(const std::string& name, ByteView content) const;
  /// What keep_secret has kept, at most `most` bytes; empty: nothing, or nothing that is ours alone.
  [[nodiscard]] Secret kept_secret(const std::string& name, std::size_t most) const;
  /// Nothing is left: removes the record.
  void forget() const noexcept;

 private:
  StateDir(std::filesystem::path directory, int lock_fd) : directory_(std::move(directory)), lock_fd_(lock_fd) {}
  [[nodiscard]] MachineRecord read_record() const;

  std::filesystem::path directory_;
  int lock_fd_ = -1;
  MachineRecord leftovers_;
};

}  // namespace culvert::daemon

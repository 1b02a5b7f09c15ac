#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/ike/virtual_net.h"
#include "state_dir.h"

namespace culvert::daemon {

/// The leases of all pools as the next daemon is to find them: one text file in the state directory. They themselves
/// are ike's: here stands only whether they have changed. Control thread.
class LeaseBook {
 public:
  /// What the last daemon has kept, in its order; lines that make no sense are skipped. Leases of other pools than
  /// these are not returned, and written again each time: a pool may come back to the configuration.
  [[nodiscard]] std::vector<ike::Lease> load(const StateDir& state, const std::vector<ike::PoolConfig>& pools);
  void note_change() noexcept { changed_ = true; }
  /// Writes what `current` gives when there is something new, 5 s after the last time at the earliest (`now`: seconds
  /// of some clock); without that pause with `at_once`.
  [[nodiscard]] Result<void> save(const StateDir& state, std::int64_t now, bool at_once,
                                  const std::function<std::vector<ike::Lease>()>& current);

  // Pure, for tests. POOL ADDRESS TYPE HEX: the identity's number (RFC 7296 §3.5) and octets.
  [[nodiscard]] static std::string to_text(const std::vector<ike::Lease>& leases);
  [[nodiscard]] static std::vector<ike::Lease> from_text(std::string_view text);

 private:
  std::string others_;  ///< lines of pools that are not configured
  bool changed_ = false;
  std::int64_t saved_at_ = 0;
};

}  // namespace culvert::daemon

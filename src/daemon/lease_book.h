#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/ike/virtual_net.h"
#include "state_dir.h"

namespace culvert::daemon {

/// The leases of all pools as the next daemon is to find them: one text file in the state directory. Control thread.
class LeaseBook {
 public:
  /// What the last daemon has kept; lines that make no sense are skipped.
  void load(const StateDir& state);
  /// The oldest first.
  [[nodiscard]] std::vector<ike::Lease> leases() const;
  void add(ike::Lease lease);
  /// Writes when there is something new, `now` seconds of some clock after the last time at the earliest; always with
  /// `at_once`.
  [[nodiscard]] Result<void> save(const StateDir& state, std::int64_t now, bool at_once);

  // Pure, for tests. POOL ADDRESS TYPE HEX: the identity's number (RFC 7296 §3.5) and octets.
  [[nodiscard]] static std::string to_text(const std::vector<ike::Lease>& leases);
  [[nodiscard]] static std::vector<ike::Lease> from_text(std::string_view text);

 private:
  struct Entry {
    ike::Identity user;
    std::uint64_t order = 0;
  };
  std::map<std::pair<std::string, IpAddress>, Entry> entries_;
  std::uint64_t last_order_ = 0;
  bool changed_ = false;
  std::int64_t saved_at_ = 0;
};

}  // namespace culvert::daemon

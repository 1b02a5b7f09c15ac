#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "culvert/wire/flow.h"
#include "sa.h"

namespace culvert::tunnel {

/// The outbound SAs of one device, the newest first, and which of them owns a packet: an immutable snapshot that keeps
/// its SAs alive. Made on the control thread, read by any. A lookup costs the logarithm of the number of remote
/// selectors.
class PolicyTable {
 public:
  PolicyTable() = default;
  explicit PolicyTable(std::vector<std::shared_ptr<OutboundSa>> newest_first);

  /// carry = "ip": the newest SA whose selectors contain the packet (RFC 4301 §5.1); nullptr: none does.
  [[nodiscard]] OutboundSa* find(const wire::Flow& flow) const noexcept;
  /// carry = "gre": the newest SA; nullptr: there is none.
  [[nodiscard]] OutboundSa* newest() const noexcept { return owners_.empty() ? nullptr : owners_.front().get(); }
  [[nodiscard]] bool empty() const noexcept { return owners_.empty(); }

 private:
  /// From this address up to the next interval's: the SAs (places in owners_) with a remote selector that covers it.
  struct Interval {
    IpAddress first;
    std::uint32_t begin = 0, end = 0;  ///< in candidates_, ascending: the newest first
  };
  void build(IpFamily family);
  [[nodiscard]] const std::vector<Interval>& intervals(IpFamily family) const noexcept {
    return intervals_[family == IpFamily::v4 ? 0 : 1];
  }

  std::vector<std::shared_ptr<OutboundSa>> owners_;
  std::array<std::vector<Interval>, 2> intervals_;  ///< sorted, from the family's lowest address, without gaps
  std::vector<std::uint32_t> candidates_;
};

}  // namespace culvert::tunnel

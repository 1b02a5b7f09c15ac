#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "address_ranges.h"
#include "culvert/wire/flow.h"
#include "sa.h"

namespace culvert::tunnel {

/// The outbound SAs of one device, the newest first, and which of them owns a packet: an immutable snapshot that keeps
/// its SAs alive. Made on the control thread, read by any. A lookup costs at most the logarithm of the number of remote
/// selectors, and a look at each that covers the destination until one allows the packet.
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
  /// A remote selector with all that a packet is compared with, in one cache line.
  struct Entry {
    OutboundSa* owner = nullptr;
    std::span<const TrafficSelector> local;  ///< of the owner, or the same of another owner
    TrafficSelector remote;
  };
  static_assert(sizeof(Entry) <= 64);

  __extension__ using Uint128 = unsigned __int128;
  void collect_entries();
  template <class Key>
  [[nodiscard]] AddressRanges<Key> ranges_of(IpFamily family) const;
  template <class Key>
  [[nodiscard]] OutboundSa* find_in(const AddressRanges<Key>& ranges, const wire::Flow& flow) const noexcept;

  std::vector<std::shared_ptr<OutboundSa>> owners_;
  std::vector<Entry> entries_;       ///< of the newest SA first
  AddressRanges<std::uint32_t> v4_;  ///< of places in entries_
  AddressRanges<Uint128> v6_;
};

}  // namespace culvert::tunnel

#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "address_ranges.h"
#include "culvert/wire/flow.h"
#include "sa.h"
#include "shared_map.h"

namespace culvert::tunnel {

/// The outbound SAs of one device, and which of them owns a packet: the newest whose selectors contain it. Keeps its
/// SAs alive. Changed on the control thread; copies share what is the same in them, and one that nobody changes may be
/// read by any thread, without a lock.
///
/// Remote selectors of one address (of clients, by the thousand) are found by a hash, and an SA with such alone comes
/// and goes for the square root of their number. The others are found in the logarithm of their number, and made anew
/// when one of them comes or goes.
class PolicyTable {
 public:
  PolicyTable() = default;
  explicit PolicyTable(const std::vector<std::shared_ptr<OutboundSa>>& newest_first);

  /// It is the newest from now on, and was not there before.
  void add(std::shared_ptr<OutboundSa> sa);
  /// `newest`: of those that stay; nullptr: none does.
  void remove(const OutboundSa& sa, std::shared_ptr<OutboundSa> newest);

  /// carry = "ip": the newest SA whose selectors contain the packet (RFC 4301 §5.1); nullptr: none does.
  [[nodiscard]] OutboundSa* find(const wire::Flow& flow) const noexcept;
  /// carry = "gre": the newest SA; nullptr: there is none.
  [[nodiscard]] OutboundSa* newest() const noexcept { return newest_.get(); }
  [[nodiscard]] bool empty() const noexcept { return newest_ == nullptr; }

 private:
  /// A remote selector with all that a packet is compared with, in one cache line.
  struct Entry {
    OutboundSa* owner = nullptr;
    std::span<const TrafficSelector> local;  ///< of the owner, or the same of another owner
    TrafficSelector remote;
  };
  static_assert(sizeof(Entry) <= 64);
  /// What an entry needs but a lookup seldom does.
  struct Owner {
    std::shared_ptr<OutboundSa> sa;
    std::shared_ptr<const SelectorSet> local;
    std::uint64_t order = 0;  ///< the newest has the highest
  };
  /// A remote selector of one address, before older ones of the same address (or with the same hash).
  struct Host {
    Entry entry;
    Owner owner;
    std::shared_ptr<const Host> next;
  };
  __extension__ using Uint128 = unsigned __int128;
  /// All other remote selectors, the newest SA's first.
  struct WideEntries {
    std::vector<Entry> entries;
    std::vector<Owner> owners;  ///< of each entry
    void append(const WideEntries& older);
  };
  struct Wide {
    explicit Wide(WideEntries wide);
    template <class Key>
    [[nodiscard]] AddressRanges<Key> ranges_of(IpFamily family) const;
    template <class Key>
    [[nodiscard]] std::uint32_t find_in(const AddressRanges<Key>& ranges, const wire::Flow& flow) const noexcept;

    WideEntries all;
    AddressRanges<std::uint32_t> v4;  ///< of places in them
    AddressRanges<Uint128> v6;
  };

  [[nodiscard]] static bool allows(const Entry& entry, const wire::Flow& flow) noexcept;
  [[nodiscard]] WideEntries enter(std::shared_ptr<OutboundSa> sa);
  void remove_host(const IpAddress& address, const OutboundSa& sa);
  void set_wide(WideEntries all);

  SharedMap<std::shared_ptr<const Host>> hosts_;  ///< by a hash of the address
  std::shared_ptr<const Wide> wide_;              ///< nullptr: there are none
  std::shared_ptr<OutboundSa> newest_;
  std::shared_ptr<const SelectorSet> common_;  ///< whose local selectors are shared by SAs that have the same
  std::uint64_t last_order_ = 0;
};

}  // namespace culvert::tunnel

#include "policy_table.h"

#include <algorithm>
#include <utility>

namespace culvert::tunnel {
namespace {

template <class Key>
Key to_number(const IpAddress& address) noexcept {
  Key number = 0;
  for (std::size_t at = 0; at < sizeof number; at += 4) {
    if constexpr (sizeof number > 4) number <<= 32;
    number |= load_be<std::uint32_t>(address.bytes().data() + at);
  }
  return number;
}

}  // namespace

PolicyTable::PolicyTable(std::vector<std::shared_ptr<OutboundSa>> newest_first) : owners_(std::move(newest_first)) {
  collect_entries();
  v4_ = ranges_of<std::uint32_t>(IpFamily::v4);
  v6_ = ranges_of<Uint128>(IpFamily::v6);
}

// Most SAs of a device have the same local selectors: lookups share one copy of them, which stays in the cache.
void PolicyTable::collect_entries() {
  std::span<const TrafficSelector> local;
  for (const auto& owner : owners_) {
    if (!std::ranges::equal(local, owner->selectors->local())) local = owner->selectors->local();
    for (const TrafficSelector& remote : owner->selectors->remote()) {
      const bool makes_sense = remote.first.family() == remote.last.family() && remote.first <= remote.last;
      if (makes_sense) entries_.push_back({owner.get(), local, remote});
    }
  }
}

template <class Key>
AddressRanges<Key> PolicyTable::ranges_of(IpFamily family) const {
  using Range = typename AddressRanges<Key>::Range;
  std::vector<Range> ranges;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const TrafficSelector& remote = entries_[i].remote;
    if (remote.first.family() == family) {
      ranges.push_back({to_number<Key>(remote.first), to_number<Key>(remote.last), i});
    }
  }
  return AddressRanges<Key>(std::span<const Range>(ranges));
}

OutboundSa* PolicyTable::find(const wire::Flow& flow) const noexcept {
  return flow.destination.is_v4() ? find_in(v4_, flow) : find_in(v6_, flow);
}

template <class Key>
OutboundSa* PolicyTable::find_in(const AddressRanges<Key>& ranges, const wire::Flow& flow) const noexcept {
  const std::uint32_t found = ranges.lowest(to_number<Key>(flow.destination), [&](std::uint32_t i) {
    const Entry& entry = entries_[i];
    return contains(entry.remote, flow.destination, flow, flow.destination_port) &&
           std::ranges::any_of(entry.local, [&](const TrafficSelector& local) {
             return contains(local, flow.source, flow, flow.source_port);
           });
  });
  return found == ranges.none ? nullptr : entries_[found].owner;
}

}  // namespace culvert::tunnel

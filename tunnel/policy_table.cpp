#include "policy_table.h"

#include <algorithm>
#include <ranges>
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

/// Of IPv4 the address itself; of IPv6 several may have the same.
std::uint32_t hash_of(const IpAddress& address) noexcept {
  if (address.is_v4()) return to_number<std::uint32_t>(address);
  std::uint64_t hash = 0;
  for (std::size_t at = 0; at < 16; at += 8) {
    hash = (hash ^ load_be<std::uint64_t>(address.bytes().data() + at)) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 32;
  }
  return static_cast<std::uint32_t>(hash);
}

bool is_sound(const TrafficSelector& remote) noexcept {
  return remote.first.family() == remote.last.family() && remote.first <= remote.last;
}
bool is_host(const TrafficSelector& remote) noexcept {
  return remote.first == remote.last;
}

}  // namespace

// ---- changes --------------------------------------------------------------------------------------------------------

PolicyTable::PolicyTable(const std::vector<std::shared_ptr<OutboundSa>>& newest_first) {
  std::vector<WideEntries> oldest_first;
  for (const auto& sa : newest_first | std::views::reverse) oldest_first.push_back(enter(sa));
  WideEntries all;
  for (const WideEntries& one : oldest_first | std::views::reverse) all.append(one);
  set_wide(std::move(all));
}

void PolicyTable::add(std::shared_ptr<OutboundSa> sa) {
  WideEntries added = enter(std::move(sa));
  if (added.entries.empty()) return;
  if (wide_) added.append(wide_->all);
  set_wide(std::move(added));
}

void PolicyTable::remove(const OutboundSa& sa, std::shared_ptr<OutboundSa> newest) {
  bool was_wide = false;
  for (const TrafficSelector& remote : sa.selectors->remote()) {
    if (is_host(remote)) {
      remove_host(remote.first, sa);
    } else {
      was_wide = was_wide || is_sound(remote);
    }
  }
  if (was_wide && wide_) {
    WideEntries left;
    for (std::size_t i = 0; i < wide_->all.entries.size(); ++i) {
      if (wide_->all.entries[i].owner == &sa) continue;
      left.entries.push_back(wide_->all.entries[i]);
      left.owners.push_back(wide_->all.owners[i]);
    }
    set_wide(std::move(left));
  }
  newest_ = std::move(newest);
  if (!newest_) common_ = nullptr;
}

/// Its selectors of one address; returned are the others, in their order.
PolicyTable::WideEntries PolicyTable::enter(std::shared_ptr<OutboundSa> sa) {
  // Most SAs of a device have the same local selectors: lookups share one copy of them, which stays in the cache.
  if (!common_ || !std::ranges::equal(common_->local(), sa->selectors->local())) common_ = sa->selectors;
  newest_ = std::move(sa);
  const Owner owner{newest_, common_, ++last_order_};
  WideEntries wide;
  for (const TrafficSelector& remote : newest_->selectors->remote()) {
    if (!is_sound(remote)) continue;
    const Entry entry{newest_.get(), common_->local(), remote};
    if (is_host(remote)) {
      const auto* older = hosts_.find(hash_of(remote.first));
      hosts_.set(hash_of(remote.first), std::make_shared<const Host>(Host{entry, owner, older ? *older : nullptr}));
    } else {
      wide.entries.push_back(entry);
      wide.owners.push_back(owner);
    }
  }
  return wide;
}

void PolicyTable::remove_host(const IpAddress& address, const OutboundSa& sa) {
  const auto* first = hosts_.find(hash_of(address));
  if (!first) return;
  std::vector<const Host*> others;
  for (const Host* host = first->get(); host; host = host->next.get())
    if (host->entry.owner != &sa) others.push_back(host);
  std::shared_ptr<const Host> left;
  for (const Host* host : others | std::views::reverse)
    left = std::make_shared<const Host>(Host{host->entry, host->owner, std::move(left)});
  if (left) {
    hosts_.set(hash_of(address), std::move(left));
  } else {
    hosts_.erase(hash_of(address));
  }
}

void PolicyTable::WideEntries::append(const WideEntries& older) {
  entries.insert(entries.end(), older.entries.begin(), older.entries.end());
  owners.insert(owners.end(), older.owners.begin(), older.owners.end());
}

void PolicyTable::set_wide(WideEntries all) {
  wide_ = all.entries.empty() ? nullptr : std::make_shared<const Wide>(std::move(all));
}

PolicyTable::Wide::Wide(WideEntries wide)
    : all(std::move(wide)), v4(ranges_of<std::uint32_t>(IpFamily::v4)), v6(ranges_of<Uint128>(IpFamily::v6)) {}

template <class Key>
AddressRanges<Key> PolicyTable::Wide::ranges_of(IpFamily family) const {
  using Range = typename AddressRanges<Key>::Range;
  std::vector<Range> ranges;
  for (std::uint32_t i = 0; i < all.entries.size(); ++i) {
    const TrafficSelector& remote = all.entries[i].remote;
    if (remote.first.family() == family)
      ranges.push_back({to_number<Key>(remote.first), to_number<Key>(remote.last), i});
  }
  return AddressRanges<Key>(std::span<const Range>(ranges));
}

// ---- lookups --------------------------------------------------------------------------------------------------------

bool PolicyTable::allows(const Entry& entry, const wire::Flow& flow) noexcept {
  return contains(entry.remote, flow.destination, flow, flow.destination_port) &&
         std::ranges::any_of(entry.local, [&](const TrafficSelector& local) {
           return contains(local, flow.source, flow, flow.source_port);
         });
}

OutboundSa* PolicyTable::find(const wire::Flow& flow) const noexcept {
  const Host* host = nullptr;
  if (hosts_.size() > 0) {
    const auto* first = hosts_.find(hash_of(flow.destination));
    for (host = first ? first->get() : nullptr; host && !allows(host->entry, flow);) host = host->next.get();
  }
  if (wide_) {
    const std::uint32_t found =
        flow.destination.is_v4() ? wide_->find_in(wide_->v4, flow) : wide_->find_in(wide_->v6, flow);
    const bool is_newest =
        found != AddressRanges<std::uint32_t>::none && (!host || wide_->all.owners[found].order > host->owner.order);
    if (is_newest) return wide_->all.entries[found].owner;
  }
  return host ? host->entry.owner : nullptr;
}

template <class Key>
std::uint32_t PolicyTable::Wide::find_in(const AddressRanges<Key>& ranges, const wire::Flow& flow) const noexcept {
  return ranges.lowest(to_number<Key>(flow.destination), [&](std::uint32_t i) { return allows(all.entries[i], flow); });
}

}  // namespace culvert::tunnel

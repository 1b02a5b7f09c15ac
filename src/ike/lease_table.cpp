#include "lease_table.h"

#include <functional>
#include <utility>

namespace culvert::ike {
namespace {

/// The index takes its lowest bits.
std::size_t mixed(std::size_t hash) noexcept {
  hash *= 0x9E3779B97F4A7C15U;
  return hash ^ hash >> 32;
}
std::size_t hash_of(const IpAddress& address) noexcept {
  return mixed(std::hash<IpAddress>()(address));
}
std::size_t hash_of(std::string_view key) noexcept {
  return mixed(std::hash<std::string_view>()(key));
}

constexpr std::size_t large_gaps = 4096;  // bytes

std::uint32_t new_place(auto& places, std::vector<std::uint32_t>& free) {
  if (free.empty()) {
    // By a quarter each time: they stay for long.
    if (places.size() == places.capacity()) places.reserve(places.size() + places.size() / 4 + 16);
    places.emplace_back();
    return static_cast<std::uint32_t>(places.size() - 1);
  }
  const std::uint32_t place = free.back();
  free.pop_back();
  return place;
}

}  // namespace

std::uint32_t LeaseTable::place_of(const IpAddress& address) const {
  return by_address_.find(hash_of(address), [&](std::uint32_t at) { return leases_[at].address == address; });
}

std::optional<LeaseTable::View> LeaseTable::find(const IpAddress& address) const {
  const std::uint32_t place = place_of(address);
  if (place == none) return std::nullopt;
  return View{key_of(leases_[place].user), leases_[place].is_kept};
}

std::optional<IpAddress> LeaseTable::last_kept(std::string_view user, IpFamily family) const {
  const std::uint32_t place = place_of_user(user);
  const std::uint32_t last = place == none ? none : users_[place].kept[index_of(family)].last;
  return last == none ? std::nullopt : std::optional(leases_[last].address);
}

std::optional<IpAddress> LeaseTable::first_kept(IpFamily family) const {
  const std::uint32_t first = order_[index_of(family)].first;
  return first == none ? std::nullopt : std::optional(leases_[first].address);
}

void LeaseTable::add(const IpAddress& address, std::string_view user) {
  const std::uint32_t place = new_place(leases_, free_leases_);
  leases_[place] = {address, false, user_for(user), {}, {}};
  ++num_[index_of(address.family())];
  by_address_.add(place, [this](std::uint32_t at) { return hash_of(leases_[at].address); });
}

void LeaseTable::keep(const IpAddress& address) {
  const std::uint32_t place = place_of(address);
  if (place == none || std::exchange(leases_[place].is_kept, true)) return;
  const std::size_t family = index_of(address.family());
  append(order_[family], &Lease::order, place);
  append(users_[leases_[place].user].kept[family], &Lease::of_user, place);
  ++num_kept_[family];
}

void LeaseTable::use(const IpAddress& address) {
  const std::uint32_t place = place_of(address);
  if (place == none || !std::exchange(leases_[place].is_kept, false)) return;
  const std::size_t family = index_of(address.family());
  unlink(order_[family], &Lease::order, place);
  unlink(users_[leases_[place].user].kept[family], &Lease::of_user, place);
  --num_kept_[family];
}

void LeaseTable::erase(const IpAddress& address) {
  use(address);
  const std::uint32_t place = place_of(address);
  if (place == none) return;
  --num_[index_of(address.family())];
  by_address_.remove(place, [this](std::uint32_t at) { return hash_of(leases_[at].address); });
  leave_user(std::exchange(leases_[place].user, none));
  free_leases_.push_back(place);
}

// ---- users ----------------------------------------------------------------------------------------------------------

std::uint32_t LeaseTable::place_of_user(std::string_view key) const {
  return by_key_.find(hash_of(key), [&](std::uint32_t at) { return key_of(at) == key; });
}

std::uint32_t LeaseTable::user_for(std::string_view key) {
  std::uint32_t place = place_of_user(key);
  if (place == none) {
    place = new_place(users_, free_users_);
    users_[place] = {static_cast<std::uint32_t>(keys_.size()), static_cast<std::uint32_t>(key.size()), 0, {}};
    keys_ += key;
    by_key_.add(place, [this](std::uint32_t at) { return hash_of(key_of(at)); });
  }
  ++users_[place].num_leases;
  return place;
}

void LeaseTable::leave_user(std::uint32_t user) {
  if (--users_[user].num_leases > 0) return;
  by_key_.remove(user, [this](std::uint32_t at) { return hash_of(key_of(at)); });
  gaps_ += users_[user].key_len;
  free_users_.push_back(user);
  if (gaps_ > large_gaps && 2 * gaps_ > keys_.size()) pack_keys();
}

void LeaseTable::pack_keys() {
  std::string packed;
  for (User& user : users_) {
    if (user.num_leases == 0) continue;
    const auto at = static_cast<std::uint32_t>(packed.size());
    packed.append(keys_, user.key_at, user.key_len);
    user.key_at = at;
  }
  keys_ = std::move(packed);
  gaps_ = 0;
}

// ---- lists ----------------------------------------------------------------------------------------------------------

void LeaseTable::append(Ends& ends, Links Lease::*links, std::uint32_t place) {
  leases_[place].*links = {ends.last, none};
  (ends.last == none ? ends.first : (leases_[ends.last].*links).next) = place;
  ends.last = place;
}

void LeaseTable::unlink(Ends& ends, Links Lease::*links, std::uint32_t place) {
  const Links at = leases_[place].*links;
  (at.before == none ? ends.first : (leases_[at.before].*links).next) = at.next;
  (at.next == none ? ends.last : (leases_[at.next].*links).before) = at.before;
  leases_[place].*links = {};
}

}  // namespace culvert::ike

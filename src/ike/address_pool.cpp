#include "address_pool.h"

#include <algorithm>
#include <cmath>

namespace culvert::ike {
namespace {

constexpr std::size_t max_leases = 65536;  // of one pool, beside those in use: a prefix of IPv6 has no end

/// nullopt behind the last of all.
std::optional<IpAddress> successor(const IpAddress& address) {
  Bytes bytes(address.bytes().begin(), address.bytes().end());
  for (std::size_t i = bytes.size(); i-- > 0;) {
    if (++bytes[i] != 0) return IpAddress::from_bytes(bytes);
  }
  return std::nullopt;
}

/// The net's own number, and for IPv4 its broadcast address, are nobody's; with IPv6 the first is the routers' anycast
/// address (RFC 4291 §2.6.1). A prefix of one or two addresses (RFC 3021, RFC 6164) has no such.
bool is_reserved(const IpPrefix& prefix, const IpAddress& address) {
  if (prefix.address.bits() - prefix.length < 2) return false;
  return address == prefix.network() || (address.is_v4() && address == prefix.last());
}

}  // namespace

std::string user_key(const Identity& user) {
  std::string key(1, static_cast<char>(user.type));
  const auto at = std::ranges::find(user.data, static_cast<std::uint8_t>('@'));
  const auto lower_from = user.type == IdType::fqdn          ? user.data.begin()
                          : user.type == IdType::rfc822_addr ? at
                                                             : user.data.end();
  for (auto byte = user.data.begin(); byte != user.data.end(); ++byte) {
    const bool upper = byte >= lower_from && *byte >= 'A' && *byte <= 'Z';
    key += static_cast<char>(upper ? *byte - 'A' + 'a' : *byte);
  }
  return key;
}

bool AddressPool::admits(const Identity& user, std::span<const std::string> groups) const {
  if (config_.users.empty() && config_.groups.empty()) return true;
  if (std::ranges::any_of(config_.users, [&](const Identity& pattern) { return pattern.covers(user); })) return true;
  return std::ranges::any_of(groups, [&](const std::string& group) {
    return std::ranges::find(config_.groups, group) != config_.groups.end();
  });
}

bool AddressPool::has(IpFamily family) const noexcept {
  return std::ranges::any_of(config_.addresses,
                             [&](const IpPrefix& prefix) { return prefix.address.family() == family; });
}

const IpPrefix* AddressPool::excluding(const IpAddress& address) const noexcept {
  const auto found =
      std::ranges::find_if(config_.excluded, [&](const IpPrefix& prefix) { return prefix.contains(address); });
  return found == config_.excluded.end() ? nullptr : &*found;
}

bool AddressPool::contains(const IpAddress& address) const noexcept {
  return !excluding(address) && std::ranges::any_of(config_.addresses, [&](const IpPrefix& prefix) {
    return prefix.contains(address) && !is_reserved(prefix, address);
  });
}

void AddressPool::restore(const Identity& user, const IpAddress& address) {
  if (!contains(address)) return;
  if (const auto known = leases_.find(address)) {
    if (!known->is_kept) return;
    leases_.erase(address);
  }
  make_room(address.family());
  assign(user_key(user), address);
  give_back(address);
}

std::vector<Lease> AddressPool::leases() const {
  std::vector<Lease> all;
  all.reserve(leases_.size());
  leases_.for_each([&](const IpAddress& address, std::string_view user) {
    const ByteView data = as_bytes(user.substr(1));
    all.push_back({config_.name, {static_cast<IdType>(user.front()), Bytes(data.begin(), data.end())}, address});
  });
  return all;
}

std::optional<AddressPool::Taken> AddressPool::take(const Identity& user, IpFamily family,
                                                    const std::optional<IpAddress>& wish) {
  const std::string key = user_key(user);
  if (const auto own = kept_of(key, family, wish)) {
    leases_.use(*own);
    return Taken{*own, false};
  }
  const bool may_have_wish = wish && wish->family() == family && contains(*wish) && !leases_.find(*wish);
  if (may_have_wish) return Taken{assign(key, *wish), true};
  if (const auto unused = next_unused(family)) {
    make_room(family);
    return Taken{assign(key, *unused), true};
  }
  const auto oldest = leases_.first_kept(family);
  if (!oldest) return std::nullopt;
  leases_.erase(*oldest);
  return Taken{assign(key, *oldest), true};
}

std::optional<AddressPool::Taken> AddressPool::take_exactly(const Identity& user, const IpAddress& address) {
  const std::string key = user_key(user);
  const auto known = leases_.find(address);
  if (!known) return Taken{assign(key, address), true};
  if (!known->is_kept) return std::nullopt;
  if (known->user == key) {
    leases_.use(address);
    return Taken{address, false};
  }
  leases_.erase(address);
  return Taken{assign(key, address), true};
}

void AddressPool::reconfigure(PoolConfig config) {
  config_ = std::move(config);
  cursor_v4_ = cursor_v6_ = {};
  std::vector<IpAddress> outside;
  leases_.for_each([&](const IpAddress& address, std::string_view) {
    if (leases_.find(address)->is_kept && !contains(address)) outside.push_back(address);
  });
  for (const IpAddress& address : outside) leases_.erase(address);
}

void AddressPool::give_back(const IpAddress& address) {
  if (contains(address)) return leases_.keep(address);
  if (leases_.find(address)) leases_.erase(address);  // the pool had it before a reload
}

std::optional<IpAddress> AddressPool::kept_of(const std::string& user, IpFamily family,
                                              const std::optional<IpAddress>& wish) const {
  if (const auto wished = wish ? leases_.find(*wish) : std::nullopt)
    if (wished->user == user && wished->is_kept && wish->family() == family) return wish;
  return leases_.last_kept(user, family);
}

/// The first address that nobody has or had, behind the last one looked at.
std::optional<IpAddress> AddressPool::next_unused(IpFamily family) {
  Cursor& cursor = family == IpFamily::v4 ? cursor_v4_ : cursor_v6_;
  for (; cursor.prefix < config_.addresses.size(); ++cursor.prefix, cursor.last.reset()) {
    const IpPrefix& prefix = config_.addresses[cursor.prefix];
    if (prefix.address.family() != family) continue;
    for (;;) {
      const auto next = cursor.last ? successor(*cursor.last) : prefix.network();
      if (!next || !prefix.contains(*next)) break;
      cursor.last = next;
      if (const IpPrefix* hole = excluding(*next)) {
        cursor.last = hole->last();  // in one step, however large it is
      } else if (!is_reserved(prefix, *next) && !leases_.find(*next)) {
        return next;
      }
    }
  }
  return std::nullopt;
}

void AddressPool::make_room(IpFamily family) {
  const auto oldest = leases_.size() >= max_leases ? leases_.first_kept(family) : std::nullopt;
  if (oldest) leases_.erase(*oldest);
}

IpAddress AddressPool::assign(const std::string& user, const IpAddress& address) {
  leases_.add(address, user);
  return address;
}

namespace {

/// Of a prefix that may be given out: without what is_reserved takes away.
double num_usable(const IpPrefix& prefix) {
  const int host_bits = prefix.address.bits() - prefix.length;
  const double all = std::ldexp(1.0, host_bits);
  return host_bits < 2 ? all : all - (prefix.address.is_v4() ? 2 : 1);
}

/// Those that lie in no other one, each once.
std::vector<IpPrefix> outer_holes(const std::vector<IpPrefix>& excluded) {
  std::vector<IpPrefix> outer;
  for (const IpPrefix& hole : excluded) {
    if (std::ranges::any_of(
            outer, [&](const IpPrefix& other) { return other.length <= hole.length && other.contains(hole.address); }))
      continue;
    std::erase_if(outer,
                  [&](const IpPrefix& other) { return hole.contains(other.address) && hole.length <= other.length; });
    outer.push_back(hole);
  }
  return outer;
}

/// How many that could be given out a hole takes; reserved ones in it could not anyway.
double num_taken_by(const IpPrefix& hole, const std::vector<IpPrefix>& addresses) {
  double num = 0;
  for (const IpPrefix& prefix : addresses) {
    if (prefix.address.family() != hole.address.family()) continue;
    if (hole.length <= prefix.length) {
      if (hole.contains(prefix.network())) num += num_usable(prefix);
    } else if (prefix.contains(hole.network())) {
      const bool is_one = hole.network() == hole.last();
      num += std::ldexp(1.0, hole.address.bits() - hole.length) - is_reserved(prefix, hole.network()) -
             (!is_one && is_reserved(prefix, hole.last()));
    }
  }
  return num;
}

}  // namespace

PoolMeasure AddressPool::measure(IpFamily family) const {
  PoolMeasure measure;
  measure.name = config_.name;
  measure.v4 = family == IpFamily::v4;
  for (const IpPrefix& prefix : config_.addresses)
    if (prefix.address.family() == family) measure.size += num_usable(prefix);
  for (const IpPrefix& hole : outer_holes(config_.excluded))
    if (hole.address.family() == family) measure.size -= num_taken_by(hole, config_.addresses);
  measure.kept = leases_.num_kept(family);
  measure.taken = leases_.size(family) - measure.kept;
  return measure;
}

}  // namespace culvert::ike

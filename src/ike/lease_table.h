#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/ip.h"
#include "place_index.h"

namespace culvert::ike {

/// Whose each address of a pool is, and whether it is in use or kept for when its user comes back. For tens of
/// thousands that stay for years among what comes and goes: a few large pieces of memory, some 70 bytes a lease. Every
/// call takes about the same time, however many there are. Owned by AddressPool; control thread.
class LeaseTable {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return by_address_.size(); }
  [[nodiscard]] std::size_t size(IpFamily family) const noexcept { return num_[index_of(family)]; }
  [[nodiscard]] std::size_t num_kept() const noexcept { return num_kept_[0] + num_kept_[1]; }
  [[nodiscard]] std::size_t num_kept(IpFamily family) const noexcept { return num_kept_[index_of(family)]; }

  struct View {
    std::string_view user;  ///< user_key; until the next change
    bool is_kept = false;
  };
  [[nodiscard]] std::optional<View> find(const IpAddress& address) const;
  /// The kept lease of this user and family that was given back last.
  [[nodiscard]] std::optional<IpAddress> last_kept(std::string_view user, IpFamily family) const;
  /// The kept lease of this family that was given back first, whosever it is.
  [[nodiscard]] std::optional<IpAddress> first_kept(IpFamily family) const;

  void add(const IpAddress& address, std::string_view user);  ///< in use; nobody has it
  void keep(const IpAddress& address);                        ///< one in use
  void use(const IpAddress& address);                         ///< one that is kept
  void erase(const IpAddress& address);

  /// `visit(address, user_key)`: the kept ones, those first that were given back first, then those in use.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Ends& order : order_)
      for (std::uint32_t at = order.first; at != none; at = leases_[at].order.next)
        visit(leases_[at].address, key_of(leases_[at].user));
    for (const Lease& lease : leases_)
      if (lease.user != none && !lease.is_kept) visit(lease.address, key_of(lease.user));
  }

 private:
  static constexpr std::uint32_t none = PlaceIndex::none;
  struct Links {
    std::uint32_t before = none, next = none;
  };
  struct Ends {
    std::uint32_t first = none, last = none;
  };
  struct Lease {
    IpAddress address;
    bool is_kept = false;
    std::uint32_t user = none;  ///< none: the place is free
    Links order, of_user;       ///< kept ones: among all of the family, and among the user's
  };
  struct User {
    std::uint32_t key_at = 0, key_len = 0;  ///< in keys_
    std::uint32_t num_leases = 0;           ///< 0: the place is free
    Ends kept[2];                           ///< by family
  };

  static std::size_t index_of(IpFamily family) noexcept { return family == IpFamily::v4 ? 0 : 1; }
  [[nodiscard]] std::string_view key_of(std::uint32_t user) const noexcept {
    return std::string_view(keys_).substr(users_[user].key_at, users_[user].key_len);
  }
  [[nodiscard]] std::uint32_t place_of(const IpAddress& address) const;
  [[nodiscard]] std::uint32_t place_of_user(std::string_view key) const;
  [[nodiscard]] std::uint32_t user_for(std::string_view key);
  void leave_user(std::uint32_t user);
  void pack_keys();
  void append(Ends& ends, Links Lease::*links, std::uint32_t place);
  void unlink(Ends& ends, Links Lease::*links, std::uint32_t place);

  std::vector<Lease> leases_;
  std::vector<User> users_;
  std::vector<std::uint32_t> free_leases_, free_users_;
  std::string keys_;  ///< of all users, with gaps where one is gone
  std::size_t gaps_ = 0;
  PlaceIndex by_address_, by_key_;
  Ends order_[2];  ///< of the kept ones, by family
  std::size_t num_[2] = {}, num_kept_[2] = {};  ///< by family
};

}  // namespace culvert::ike

#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/ike/measures.h"
#include "culvert/ike/virtual_net.h"
#include "lease_table.h"

namespace culvert::ike {

/// The same for identities that match, whatever their case.
[[nodiscard]] std::string user_key(const Identity& user);

/// The addresses of a `[pool.NAME]` and whose they are. A lease is taken while its user is connected, and kept for him
/// when he is not, until there is no other address left; then the one that was given back first goes to somebody else.
/// Every call but leases() takes about the same time, however many leases there are. Owned by Clients; control thread.
class AddressPool {
 public:
  explicit AddressPool(PoolConfig config) : config_(std::move(config)) {}
  AddressPool(const AddressPool&) = delete;
  AddressPool& operator=(const AddressPool&) = delete;

  [[nodiscard]] const PoolConfig& config() const noexcept { return config_; }
  /// Whether it is for this user, or for one of these groups.
  [[nodiscard]] bool admits(const Identity& user, std::span<const std::string> groups) const;
  [[nodiscard]] bool has(IpFamily family) const noexcept;
  /// One that may be given out.
  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;

  /// Other settings. A lease outside of them ends when its user goes.
  void reconfigure(PoolConfig config);
  /// A lease of a daemon before this one, kept for its user. Those of most long ago first.
  void restore(const Identity& user, const IpAddress& address);
  struct Taken {
    IpAddress address;
    bool is_new = false;  ///< it was not this user's before
  };
  /// The user's own kept lease, the one that he wishes first; else the wish, when nobody has it; else a new one.
  /// nullopt: all are taken.
  [[nodiscard]] std::optional<Taken> take(const Identity& user, IpFamily family, const std::optional<IpAddress>& wish);
  /// Exactly this one, which need not be free for others. nullopt: it is taken.
  [[nodiscard]] std::optional<Taken> take_exactly(const Identity& user, const IpAddress& address);
  /// It is kept for its user from now on.
  void give_back(const IpAddress& address);

  [[nodiscard]] std::size_t num_leases() const noexcept { return leases_.size(); }
  [[nodiscard]] std::size_t num_kept() const noexcept { return leases_.num_kept(); }
  /// All of them, as the next daemon is to restore them, one after the other.
  [[nodiscard]] std::vector<Lease> leases() const;
  /// Of one family.
  [[nodiscard]] PoolMeasure measure(IpFamily family) const;

 private:
  /// Where the search for an address that nobody ever had goes on.
  struct Cursor {
    std::size_t prefix = 0;
    std::optional<IpAddress> last;  ///< looked at; nullopt: none of this prefix yet
  };

  [[nodiscard]] std::optional<IpAddress> kept_of(const std::string& user, IpFamily family,
                                                 const std::optional<IpAddress>& wish) const;
  [[nodiscard]] std::optional<IpAddress> next_unused(IpFamily family);
  [[nodiscard]] const IpPrefix* excluding(const IpAddress& address) const noexcept;
  IpAddress assign(const std::string& user, const IpAddress& address);
  void make_room(IpFamily family);

  PoolConfig config_;
  LeaseTable leases_;
  Cursor cursor_v4_, cursor_v6_;
};

}  // namespace culvert::ike

#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "address_pool.h"
#include "child_negotiation.h"
#include "config_payload.h"
#include "core.h"
#include "culvert/ike/virtual_net.h"

namespace culvert::ike {

class Peer;

/// What makes a Peer a client of another one: who it is, and what it has been given. Owned by that Peer.
struct ClientRole {
  struct Held {
    IpAddress address;
    AddressPool* pool = nullptr;  ///< nullptr: from outside of all pools, by the user's own grant
  };
  const Peer* of = nullptr;  ///< the configured peer that it has authenticated as
  Identity user;
  std::string key;  ///< user_key(user)
  std::vector<std::string> groups;
  VirtualNet net;          ///< what it has been told
  std::vector<Held> held;  ///< not given back: those of `net`, and such as an older IKE SA of it may still use
  bool present = false;    ///< counts against max_clients
};

/// The road warriors. A configured peer with pools is a template: everybody who authenticates as it gets a Peer of his
/// own here, with leases of the pools, for as long as he has an IKE SA. Found by number, by name, by user: no walks.
/// Owned by Core; control thread.
class Clients {
 public:
  Clients(Core& core, std::vector<PoolConfig> pools, const std::vector<Lease>& leases);
  ~Clients();

  /// The Peer of an authenticated user of this template, which may be new: another IKE SA of one that is there is up to
  /// its `unique`; with "never" that of the wished address, when it is at the same endpoint (it reauthenticates), else
  /// always a new one. nullptr: there are max_clients already.
  [[nodiscard]] Peer* admit(const Peer& of, const UserGrant& who, const AddressRequest& asked, const Endpoint& from);
  /// Gives it addresses, in place of those that it has when they are no longer allowed, and sets its selectors. The
  /// error is what the peer is told, and why.
  [[nodiscard]] std::expected<void, Refusal> assign(Peer& client, const UserGrant& who, const AddressRequest& asked);
  /// It has no IKE SA any more: its leases are kept for it.
  void release(Peer& client);
  void erase(Peer& client);

  /// Of all pools, those in use last.
  [[nodiscard]] std::vector<Lease> leases() const;

  [[nodiscard]] Peer* find(PeerId id) const;
  [[nodiscard]] Peer* find(std::string_view name) const;
  /// With this identity, name or address.
  [[nodiscard]] std::vector<Peer*> find_user(std::string_view text) const;
  void for_each(const std::function<void(Peer&)>& visit) const;
  [[nodiscard]] const std::map<PeerId, std::unique_ptr<Peer>>& all() const noexcept { return clients_; }
  [[nodiscard]] std::size_t num_of(const Peer& of) const;  ///< that have an IKE SA
  [[nodiscard]] std::vector<PoolMeasure> measure_pools() const;

  /// In place of those of before: one with the same name keeps its leases, as far as it still has their addresses.
  void set_pools(std::vector<PoolConfig> pools);
  /// Its configuration is another one: that of its clients, too.
  void reconfigure(const Peer& of);
  /// It goes: so do its clients. has_any says when they are gone.
  void dismiss(const Peer& of);
  [[nodiscard]] bool has_any(const Peer& of) const;
  void forget(const Peer& of);

 private:
  using UserKey = std::pair<const Peer*, std::string>;
  struct Count {
    std::size_t all = 0, present = 0;
  };
  struct Given {
    IpAddress address;
    AddressPool* pool = nullptr;
  };
  [[nodiscard]] std::vector<AddressPool*> pools_for(const Peer& of, const UserGrant& who, IpFamily family) const;
  [[nodiscard]] std::optional<Given> keep_or_take(Peer& client, const UserGrant& who, IpFamily family,
                                                  const std::optional<IpAddress>& wish, std::string& why);
  [[nodiscard]] std::optional<Given> take_granted(Peer& client, const UserGrant& who, const IpAddress& address,
                                                  std::string& why);
  [[nodiscard]] AddressPool* pool_containing(const IpAddress& address) const;
  [[nodiscard]] Peer* known(const Peer& of, const UserKey& user, const AddressRequest& asked,
                            const Endpoint& from) const;
  [[nodiscard]] std::string new_name(const Peer& of, const Identity& user) const;
  void hold(Peer& client, const Given& given);
  void describe(Peer& client, const UserGrant& who, const std::vector<Given>& given);

  Core& core_;
  std::vector<std::unique_ptr<AddressPool>> pools_;  ///< PeerConfig::pools are places in it
  std::vector<std::unique_ptr<AddressPool>> old_pools_;  ///< no longer configured, with addresses in use
  std::map<PeerId, std::unique_ptr<Peer>> clients_;
  std::multimap<UserKey, Peer*> by_user_;
  std::map<std::string, Peer*, std::less<>> by_name_;
  std::unordered_map<IpAddress, Peer*> by_address_;
  std::map<const Peer*, Count> counts_;
  PeerId next_id_{first_client_id};

 public:
  /// Peers of the configuration have lower numbers.
  static constexpr std::uint32_t first_client_id = 1U << 31;
};

/// The configured peer that this one is, or is a client of; nullopt: nullptr.
[[nodiscard]] std::optional<PeerId> configured_peer_of(const Peer* peer);

}  // namespace culvert::ike

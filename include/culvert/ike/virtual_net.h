#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/ike/identity.h"

namespace culvert::ike {

/// What a gateway gives a client for the time that it is connected (RFC 7296 §3.15, RFC 8598). A value.
struct VirtualNet {
  std::vector<IpAddress> addresses;  ///< the client's own inside: at most one of each family
  std::vector<IpAddress> dns;        ///< servers inside, in order of preference
  std::vector<std::string> domains;  ///< names that `dns` answers for, and those below them; empty: all names
  std::vector<IpPrefix> subnets;     ///< what the gateway says that it leads to; the traffic selectors are what counts
  friend bool operator==(const VirtualNet&, const VirtualNet&) = default;

  [[nodiscard]] const IpAddress* address(IpFamily family) const noexcept {
    for (const IpAddress& one : addresses)
      if (one.family() == family) return &one;
    return nullptr;
  }
};

/// `[pool.NAME]`: addresses for clients, and what goes with them.
struct PoolConfig {
  std::string name;
  std::vector<IpPrefix> addresses;  ///< what is given out, in this order
  std::vector<IpPrefix> excluded;   ///< never given out
  std::vector<IpAddress> dns;
  std::vector<std::string> domains;  ///< lower case, without a dot at the end
  std::vector<Identity> users;       ///< patterns (Identity::covers); with `groups`: who has one of either
  std::vector<std::string> groups;   ///< both empty: everybody
  std::vector<IpPrefix> allow;       ///< what its clients may reach of what the tunnel leads to; empty: all of it
  friend bool operator==(const PoolConfig&, const PoolConfig&) = default;
};

/// An address that belongs to a user, in use or kept for when he comes back.
struct Lease {
  std::string pool;
  Identity user;
  IpAddress address;
  friend bool operator==(const Lease&, const Lease&) = default;
};

/// What authentication says of a user beside who he is: from a file of users, or a RADIUS server.
struct UserGrant {
  Identity user;  ///< whose lease and whose `unique` it is; may differ from the IKE identity
  std::vector<std::string> groups;
  std::vector<IpAddress> addresses;  ///< at most one of each family: goes before every pool (Framed-IP-Address)
};

}  // namespace culvert::ike

#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/ike/config.h"
#include "culvert/ike/identity.h"

namespace culvert::ike {

class Peer;

/// Peers by what a stranger shows of himself, so that an IKE SA costs no walk over thousands of them. Identities are
/// those of the configuration; addresses change, and are entered anew when one is asked for after that. Part of Core;
/// control thread.
class PeerDirectory {
 public:
  explicit PeerDirectory(const std::vector<std::unique_ptr<Peer>>& peers) : peers_(peers) {}

  /// They are others than before, or have other identities. Before the first question, too.
  void enter();
  void on_addresses() noexcept { addresses_changed_ = true; }

  /// Peers that a claim of this identity may mean, in the order of the configuration: whoever has exactly it, and all
  /// that take more than an index can tell (patterns, distinguished names).
  [[nodiscard]] std::vector<Peer*> claimed_by(const Identity& identity) const;

  /// What the peers from an address have in common is said in IKE_SA_INIT, before anybody knows which of them it is. Of
  /// those that differ in nothing that this depends on there is one: those that name the address, the first of the
  /// configuration first, then those that may come from anywhere.
  [[nodiscard]] std::vector<const PeerConfig*> candidates(const IpAddress& from);
  [[nodiscard]] bool knows(const IpAddress& address);
  [[nodiscard]] std::vector<IpAddress> addresses();  ///< that it knows
  [[nodiscard]] bool takes_strangers();

 private:
  using Configs = std::vector<const PeerConfig*>;
  void add(std::size_t place);
  void refresh();
  static void add_distinct(Configs& configs, const PeerConfig& config);

  const std::vector<std::unique_ptr<Peer>>& peers_;
  std::unordered_map<std::string, std::vector<std::size_t>> by_identity_;  ///< places in peers_
  std::vector<std::size_t> patterns_;
  std::map<IpAddress, Configs> by_address_;
  Configs anywhere_;
  bool addresses_changed_ = true;
};

}  // namespace culvert::ike

#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/tunnel/data_plane.h"
#include "sa.h"
#include "tables.h"

namespace culvert::tunnel {

/// The control thread's own books: which ports and which pairs of SAs each child has, and the tables that follow from
/// them for the workers: what has changed since they were made last is put into them. Not thread-safe; it publishes
/// nothing itself.
class SaRegistry {
 public:
  /// Errc::invalid: the id is taken, or the child has a tunnel that packets could not be told apart from.
  [[nodiscard]] Result<void> can_add_port(const TunnelConfig& config) const;
  void add_port(std::shared_ptr<Port> port);
  std::shared_ptr<Port> remove_port(TunnelId id);  ///< nullptr: there is none
  [[nodiscard]] Port* port(TunnelId id) const;
  [[nodiscard]] std::vector<const Port*> ports() const;  ///< in the order of their ids

  /// Errc::invalid when the inbound SPI is in use.
  [[nodiscard]] Result<void> add_pair(SaPair pair, bool use_outbound);
  /// The pair becomes the one that its child sends on. False: there is no such pair.
  bool activate(Spi inbound_spi);
  bool remove_pair(Spi inbound_spi);
  /// Has the child an active pair?
  [[nodiscard]] bool sends(ChildId child) const;
  [[nodiscard]] SaPair* pair(Spi inbound_spi);
  [[nodiscard]] const SaPair* pair(Spi inbound_spi) const;
  /// DataPlane::copy_keys.
  [[nodiscard]] std::vector<ChildSaKeys> copy_keys(const std::function<bool(PeerId)>& wanted) const;
  /// Is this the first report of the event for the pair? Both of its SAs may raise it. False also when the pair is
  /// gone.
  [[nodiscard]] bool first_report(const SaEvent& event);

  /// Of a child's active SAs; nullptr: there is no such child.
  [[nodiscard]] const PolicyTable* policy(ChildId child) const;
  /// The ports of a child.
  [[nodiscard]] std::vector<Port*> ports_of(ChildId child) const;
  [[nodiscard]] std::unique_ptr<const Tables> make_tables();

 private:
  struct PairEntry {
    SaPair sas;
    std::uint64_t activation = 0;  ///< the highest of a child is its current one; 0: not to be sent on
    std::uint8_t reported = 0;     ///< bits of ChildEvent
  };
  struct ChildEntry {
    std::vector<Port*> ports;
    std::size_t num_pairs = 0;
    std::map<std::uint64_t, std::shared_ptr<OutboundSa>> active;  ///< by activation: the last is sent on first
    PolicyTable policy;                                           ///< of the active ones
    std::shared_ptr<AcquireLimit> acquire = std::make_shared<AcquireLimit>();
    bool changed = false;  ///< its view is to be made anew
  };
  ChildEntry& change(ChildId id);
  [[nodiscard]] static std::shared_ptr<const ChildView> make_view(ChildId id, const ChildEntry& child);
  void make_active(ChildEntry& child, PairEntry& pair);
  void make_inactive(ChildEntry& child, PairEntry& pair);
  void drop_if_unused(ChildId id);

  std::unordered_map<std::uint32_t, std::shared_ptr<Port>> ports_;  ///< by TunnelId
  std::unordered_map<std::uint32_t, PairEntry> pairs_;              ///< by inbound SPI
  std::unordered_map<std::uint32_t, ChildEntry> children_;          ///< by ChildId
  Tables tables_;                                                   ///< as they were made last
  std::vector<ChildId> changed_;
  std::uint64_t last_activation_ = 0;
};

}  // namespace culvert::tunnel

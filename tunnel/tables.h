#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "culvert/base/ids.h"
#include "culvert/base/time.h"
#include "policy_table.h"
#include "port.h"
#include "sa_table.h"
#include "shared_map.h"
#include "snapshot.h"

namespace culvert::tunnel {

/// Lets one AcquireEvent a second through for a child, whichever worker sees the packet.
class AcquireLimit {
 public:
  [[nodiscard]] bool allow(TimePoint now) noexcept {
    const auto ticks = now.time_since_epoch().count();
    auto last = last_.load(std::memory_order_relaxed);
    if (last != never && ticks - last < Duration(std::chrono::seconds(1)).count()) return false;
    return last_.compare_exchange_strong(last, ticks, std::memory_order_relaxed);
  }

 private:
  static constexpr Duration::rep never = 0;
  std::atomic<Duration::rep> last_{never};
};

/// One child as the workers see it. Immutable but for the limit.
struct ChildView {
  ChildId id;
  ChildTunnels tunnels;  ///< inbound: where its SAs deliver to
  PolicyTable policy;    ///< outbound: its active SAs, the last activated first
  std::shared_ptr<AcquireLimit> acquire;
};

/// Where one device's packets go. Both are set.
struct PortView {
  std::shared_ptr<Port> port;
  std::shared_ptr<const ChildView> child;
};

/// All that a worker looks things up in: an immutable snapshot that keeps alive what it names.
struct Tables {
  SaTable inbound;
  SharedMap<PortView> ports;                             ///< by TunnelId
  SharedMap<std::shared_ptr<const ChildView>> children;  ///< by ChildId

  [[nodiscard]] const ChildView* child(ChildId id) const noexcept {
    const auto* found = children.find(id.value());
    return found ? found->get() : nullptr;
  }
  [[nodiscard]] const PortView* port(TunnelId id) const noexcept { return ports.find(id.value()); }
};

using PublishedTables = Published<Tables>;

}  // namespace culvert::tunnel

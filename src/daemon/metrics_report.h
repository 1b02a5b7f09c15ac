#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>

#include "culvert/config/config.h"
#include "culvert/crypto/certificate.h"
#include "culvert/ike/measures.h"
#include "culvert/tunnel/data_plane.h"
#include "open_metrics.h"
#include "traffic_watch.h"

namespace culvert::daemon {

/// How the configuration came to be what it is.
struct ConfigHistory {
  std::uint64_t succeeded = 1, failed = 0;  ///< attempts to load one
  bool last_succeeded = true;
  crypto::WallTime loaded{};  ///< the one that runs

  void note(bool success, crypto::WallTime now) noexcept {
    ++(success ? succeeded : failed);
    last_succeeded = success;
    if (success) loaded = now;
  }
};

/// Counters of peers and tunnels by their names: they go on where a reload puts another tunnel in the place of one of
/// the same name, whose own begin at 0. Control thread.
class CounterHistory {
 public:
  template <std::size_t N>
  using Counts = std::array<std::uint64_t, N>;
  /// What to show where the counters say `now`.
  [[nodiscard]] Counts<4> tunnel(const std::string& name, const Counts<4>& now) { return tunnels_.show(name, now); }
  [[nodiscard]] Counts<ike::num_peer_events> peer(const std::string& name, const Counts<ike::num_peer_events>& now) {
    return peers_.show(name, now);
  }
  /// Right before a reload and right after it: what has been counted so far is not lost with what the reload removes.
  void note(const config::Config& config, const tunnel::DataPlane& plane, const ike::Measures& measures);

 private:
  template <std::size_t N>
  class Series {
   public:
    Counts<N> show(const std::string& name, const Counts<N>& now) {
      Known& known = known_[name];
      Counts<N> shown;
      for (std::size_t i = 0; i < N; ++i) {
        if (now[i] < known.last[i]) known.before[i] += known.last[i];  // it began anew
        known.last[i] = now[i];
        shown[i] = known.before[i] + now[i];
      }
      return shown;
    }

   private:
    struct Known {
      Counts<N> before{}, last{};
    };
    std::unordered_map<std::string, Known> known_;  ///< bounded by what configurations have named
  };
  Series<4> tunnels_;
  Series<ike::num_peer_events> peers_;
};

/// What a scrape is made of. References outlive the call.
struct MetricsSources {
  const config::Config& config;
  const tunnel::DataPlane& plane;
  const ike::Measures& measures;
  const ConfigHistory& history;
  CounterHistory& counters;
  const TrafficWatch& traffic;
  std::function<std::uint32_t(TunnelId)> mtu;
  TimePoint now{};
  crypto::WallTime wall_time{};
  crypto::WallTime started{};
  double last_took_s = 0;  ///< to write the one before
};

/// Every configured peer and tunnel, up or down, every drop reason, also those at 0.
[[nodiscard]] std::string make_metrics(MetricsFormat format, const MetricsSources& sources);

}  // namespace culvert::daemon

#pragma once
#include <span>

#include "culvert/ike/measures.h"
#include "open_metrics.h"

namespace culvert::daemon {

/// Every family that /metrics has, by a name of ours. docs/metrics.md is held to the table by a test.
enum class Metric : std::uint8_t {
  build,
  start_time,
  cpu,
  resident_memory,
  virtual_memory,
  open_fds,
  max_fds,
  config_success,
  config_time,
  config_loads,
  certificate_expiry,
  workers,
  worker_wakeups,
  packet_memory,
  tunnel,
  tunnel_up,
  tunnel_mtu,
  tunnel_degraded,
  tunnel_rtt,
  tunnel_jitter,
  tunnel_probe_loss,
  tunnel_inbound_packets,
  tunnel_inbound_bytes,
  tunnel_outbound_packets,
  tunnel_outbound_bytes,
  peer_up,
  peer_expected,
  peer_established,
  peer_last_handshake,
  peer_nat_local,
  peer_nat_remote,
  peer_ike_sas,
  peer_child_sas,
  peer_clients,
  peer_first_event,  ///< then one for each ike::PeerEvent, in their order
  pool_size = peer_first_event + ike::num_peer_events,
  pool_taken,
  pool_kept,
  ike_half_open,
  ike_cookies_demanded,
  ike_barred_sources,
  ike_sas,
  child_sas,
  ike_errors,
  drops,
  log_suppressed,
  exposition_seconds,
  count_,
};

[[nodiscard]] std::span<const MetricFamily> metric_families() noexcept;  ///< by Metric
[[nodiscard]] const MetricFamily& family_of(Metric metric) noexcept;
[[nodiscard]] const MetricFamily& family_of(ike::PeerEvent event) noexcept;

}  // namespace culvert::daemon

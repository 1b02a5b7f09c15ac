#include "metric_families.h"

#include <array>

namespace culvert::daemon {
namespace {

using enum MetricFamily::Type;

constexpr std::size_t num_metrics = static_cast<std::size_t>(Metric::count_);

// In the order of Metric. Names of the process are those that every exporter uses.
constexpr std::array<MetricFamily, num_metrics> family_table = {{
    {info, "culvert_build", "", "version, aead", "Version of culvertd, and the implementation of AES-GCM in use."},
    {gauge, "process_start_time_seconds", "seconds", "", "When the daemon started, in seconds since 1970."},
    {counter, "process_cpu_seconds", "seconds", "", "CPU time of the daemon, user and system."},
    {gauge, "process_resident_memory_bytes", "bytes", "", "Memory of the daemon that is in RAM."},
    {gauge, "process_virtual_memory_bytes", "bytes", "", "Address space of the daemon."},
    {gauge, "process_open_fds", "", "", "File descriptors that the daemon has open."},
    {gauge, "process_max_fds", "", "", "File descriptors that it may have open."},
    {gauge, "culvert_config_last_load_successful", "", "",
     "1 when the latest attempt to load the configuration succeeded, else 0."},
    {gauge, "culvert_config_last_load_success_timestamp_seconds", "seconds", "",
     "When the configuration that runs was loaded, in seconds since 1970."},
    {counter, "culvert_config_loads", "", "result", "Attempts to load a configuration, the one at the start included."},
    {gauge, "culvert_certificate_expiry_timestamp_seconds", "seconds", "key, subject",
     "When a certificate that the configuration names expires, in seconds since 1970."},
    {gauge, "culvert_workers", "", "", "Data-path threads."},
    {counter, "culvert_worker_wakeups", "", "", "Times that a data-path thread woke up, all together."},
    {gauge, "culvert_packet_memory_bytes", "bytes", "",
     "Memory set aside for packets; what is not used is not resident."},
    {info, "culvert_tunnel", "", "tunnel, peer, device, carry", "Tunnels as they are configured, up or down."},
    {gauge, "culvert_tunnel_up", "", "tunnel, peer",
     "1 when the tunnel can carry packets, else 0; with clients always 1."},
    {gauge, "culvert_tunnel_mtu_bytes", "bytes", "tunnel, peer", "MTU of the tunnel's device."},
    {gauge, "culvert_tunnel_degraded", "", "tunnel, peer",
     "1 while the tunnel is up and nothing gets through, as far as probes and traffic tell, else 0; with clients "
     "always 0."},
    {gauge, "culvert_tunnel_rtt_seconds", "seconds", "tunnel, peer",
     "Round-trip time through the tunnel, smoothed; of tunnels where probes are answered."},
    {gauge, "culvert_tunnel_jitter_seconds", "seconds", "tunnel, peer", "How much that varies, smoothed."},
    {gauge, "culvert_tunnel_probe_loss_ratio", "ratio", "tunnel, peer",
     "Share of the last 64 probes through the tunnel that were not answered; where whoever is asked is known to "
     "answer."},
    {counter, "culvert_tunnel_inbound_packets", "packets", "tunnel, peer",
     "Inner packets that came out of the tunnel."},
    {counter, "culvert_tunnel_inbound_bytes", "bytes", "tunnel, peer",
     "Bytes of inner packets that came out of the tunnel."},
    {counter, "culvert_tunnel_outbound_packets", "packets", "tunnel, peer", "Inner packets that went into the tunnel."},
    {counter, "culvert_tunnel_outbound_bytes", "bytes", "tunnel, peer",
     "Bytes of inner packets that went into the tunnel."},
    {gauge, "culvert_peer_up", "", "peer", "1 when an IKE SA with the peer is established, else 0."},
    {gauge, "culvert_peer_expected", "", "peer",
     "1 when the peer should be up all the time (start = always, and nobody took it down), else 0."},
    {gauge, "culvert_peer_established_timestamp_seconds", "seconds", "peer",
     "When the IKE SA in use was established, in seconds since 1970; 0 while there is none."},
    {gauge, "culvert_peer_last_handshake_timestamp_seconds", "seconds", "peer",
     "When the latest IKE SA came up or was rekeyed, in seconds since 1970; 0: never."},
    {gauge, "culvert_peer_nat_local", "", "peer", "1 when a NAT was found on our side, else 0."},
    {gauge, "culvert_peer_nat_remote", "", "peer", "1 when a NAT was found on the peer's side, else 0."},
    {gauge, "culvert_peer_ike_sas", "", "peer", "IKE SAs held with the peer, or with its clients."},
    {gauge, "culvert_peer_child_sas", "", "peer", "Pairs of ESP SAs held with the peer, or with its clients."},
    {gauge, "culvert_peer_clients", "", "peer", "Clients that are connected; of peers with `pool`."},
    {counter, "culvert_peer_handshakes", "", "peer", "IKE SAs that came up by IKE_AUTH, in either role."},
    {counter, "culvert_peer_handshake_failures", "", "peer",
     "Attempts of ours that came to nothing, and refused logins of who claimed to be this peer."},
    {counter, "culvert_peer_ike_rekeys", "", "peer", "Rekeys of the IKE SA."},
    {counter, "culvert_peer_child_sas_established", "", "peer", "Child SAs that came up, without rekeys."},
    {counter, "culvert_peer_child_rekeys", "", "peer", "Rekeys of child SAs."},
    {counter, "culvert_peer_flaps", "", "peer", "Times that the peer was up and went down, whoever wanted it."},
    {counter, "culvert_peer_losses", "", "peer", "Times that it went down because nothing came back."},
    {counter, "culvert_peer_liveness_checks", "", "peer", "Questions whether the peer is still there (DPD)."},
    {counter, "culvert_peer_moves", "", "peer", "Changes of an outer address or port while the peer was up."},
    {counter, "culvert_peer_retransmissions", "", "peer", "IKE requests that were sent again."},
    {gauge, "culvert_pool_addresses", "", "pool, family", "Addresses that the pool may give out."},
    {gauge, "culvert_pool_leases", "", "pool, family", "Addresses of the pool that clients have now."},
    {gauge, "culvert_pool_kept_leases", "", "pool, family",
     "Addresses that are kept for clients who may come back; others get them when no other is left."},
    {gauge, "culvert_ike_half_open", "", "", "Half-open IKE SAs."},
    {gauge, "culvert_ike_cookies_demanded", "", "",
     "1 while COOKIE is demanded of everybody, in a flood of requests, else 0."},
    {gauge, "culvert_ike_failing_sources", "", "",
     "Addresses and prefixes whose failed authentications are remembered."},
    {gauge, "culvert_ike_sas", "", "", "IKE SAs that are established, those of clients included."},
    {gauge, "culvert_child_sas", "", "", "Pairs of ESP SAs, those of clients included."},
    {counter, "culvert_ike_errors", "", "error, direction",
     "Error notifies (RFC 7296 section 3.10.1) sent and received, protected or not."},
    {counter, "culvert_dropped_packets", "packets", "reason",
     "Packets that were dropped, those dropped by design included."},
    {counter, "culvert_log_suppressed_lines", "", "", "Lines that the limit of the log has left out."},
    {gauge, "culvert_exposition_seconds", "seconds", "",
     "Time that it took to write the exposition before this one; 0: there was none."},
}};

static_assert(family_table[static_cast<std::size_t>(Metric::exposition_seconds)].name == "culvert_exposition_seconds");

}  // namespace

std::span<const MetricFamily> metric_families() noexcept {
  return family_table;
}

const MetricFamily& family_of(Metric metric) noexcept {
  return family_table[static_cast<std::size_t>(metric)];
}

const MetricFamily& family_of(ike::PeerEvent event) noexcept {
  return family_table[static_cast<std::size_t>(Metric::peer_first_event) + static_cast<std::size_t>(event)];
}

}  // namespace culvert::daemon

#include "metrics_report.h"

#include <chrono>
#include <unordered_set>

#include "culvert/base/drop_reason.h"
#include "culvert/base/log.h"
#include "culvert/crypto/aead.h"
#include "metric_families.h"
#include "process_usage.h"

namespace culvert::daemon {
namespace {

using TunnelCounts = CounterHistory::Counts<4>;

TunnelCounts counts_of(const tunnel::TunnelCounters& counters) {
  return {counters.inbound_packets, counters.inbound_bytes, counters.outbound_packets, counters.outbound_bytes};
}

double unix_seconds(crypto::WallTime time) {
  return static_cast<double>(time.time_since_epoch().count());
}

/// One exposition under way: samples of a family stand together, so each family walks over all peers or tunnels.
class Report {
 public:
  Report(MetricsFormat format, const MetricsSources& sources) : sources_(sources), text_(format) {
    for (const auto& peer : sources.config.peers) names_.emplace(peer.id, &peer.name);
  }

  std::string make() {
    add_process();
    add_configuration();
    add_data_path();
    add_tunnels();
    add_peers();
    add_pools();
    add_ike();
    add_drops();
    single(Metric::log_suppressed, log::num_suppressed());
    single(Metric::exposition_seconds, sources_.last_took_s);
    return text_.take();
  }

 private:
  struct Tunnel {
    std::string labels;
    bool up = false;
    std::uint32_t mtu = 0;
    const TrafficWatch::Child* traffic = nullptr;  ///< nullptr: down, or for clients
    bool degraded = false;
    TunnelCounts counts{};
  };
  struct Peer {
    std::string labels;
    const ike::PeerMeasure* measure = nullptr;
    CounterHistory::Counts<ike::num_peer_events> counts{};
  };

  void begin(Metric metric) { text_.begin(family_of(metric)); }
  template <class Value>
  void single(Metric metric, Value value) {
    begin(metric);
    text_.add(std::string_view(), value);
  }
  void single_if_known(Metric metric, const std::optional<std::uint64_t>& value) {
    if (value) single(metric, *value);
  }

  /// The wall clock at a time of the monotonic one; 0 for none.
  [[nodiscard]] double wall_time(const std::optional<TimePoint>& time) const {
    if (!time) return 0;
    return unix_seconds(sources_.wall_time) - std::chrono::duration<double>(sources_.now - *time).count();
  }

  void add_process() {
    begin(Metric::build);
    text_.add({{"version", CULVERT_VERSION}, {"aead", crypto::aead_implementation()}}, std::uint64_t{1});
    const ProcessUsage usage = process_usage();
    single(Metric::start_time, unix_seconds(sources_.started));
    single(Metric::cpu, usage.cpu_s);
    single_if_known(Metric::resident_memory, usage.resident);
    single_if_known(Metric::virtual_memory, usage.address_space);
    single_if_known(Metric::open_fds, usage.open_fds);
    single(Metric::max_fds, usage.max_fds);
  }

  void add_configuration() {
    const ConfigHistory& history = sources_.history;
    single(Metric::config_success, std::uint64_t{history.last_succeeded});
    single(Metric::config_time, unix_seconds(history.loaded));
    begin(Metric::config_loads);
    text_.add({{"result", "success"}}, history.succeeded);
    text_.add({{"result", "failure"}}, history.failed);
    if (sources_.config.certificates.empty()) return;
    begin(Metric::certificate_expiry);
    for (const auto& watched : sources_.config.certificates)
      text_.add({{"key", watched.key}, {"subject", watched.certificate.name()}},
                unix_seconds(watched.certificate.not_after()));
  }

  void add_data_path() {
    single(Metric::workers, std::uint64_t{sources_.config.gateway.workers});
    single(Metric::worker_wakeups, sources_.plane.worker_counters().wakeups);
    single(Metric::packet_memory, std::uint64_t{sources_.plane.packet_memory()});
  }

  [[nodiscard]] std::string_view name_of(PeerId peer) const {
    const auto found = names_.find(peer);
    return found == names_.end() ? std::string_view() : std::string_view(*found->second);
  }

  void add_tunnels() {
    const std::unordered_set<ChildId> up(sources_.measures.children_up.begin(), sources_.measures.children_up.end());
    std::unordered_set<PeerId> templates;  // ready for clients
    for (const auto& peer : sources_.config.peers)
      if (!peer.pools.empty()) templates.insert(peer.id);
    std::vector<Tunnel> tunnels;
    for (const auto& settings : sources_.config.tunnels) {
      Tunnel& tunnel = tunnels.emplace_back();
      tunnel.labels = MetricsText::labels_text({{"tunnel", settings.plane.name}, {"peer", name_of(settings.peer)}});
      tunnel.up = up.contains(settings.plane.child) || templates.contains(settings.peer);
      tunnel.mtu = sources_.mtu(settings.plane.id);
      tunnel.traffic = sources_.traffic.find(settings.plane.child);
      tunnel.degraded = tunnel.traffic != nullptr && is_degraded(*tunnel.traffic);
      tunnel.counts =
          sources_.counters.tunnel(settings.plane.name, counts_of(sources_.plane.counters(settings.plane.id)));
    }
    begin(Metric::tunnel);
    for (const auto& settings : sources_.config.tunnels)
      text_.add({{"tunnel", settings.plane.name},
                 {"peer", name_of(settings.peer)},
                 {"device", settings.plane.device},
                 {"carry", settings.plane.carry == tunnel::Carry::gre ? "gre" : "ip"}},
                std::uint64_t{1});
    each(Metric::tunnel_up, tunnels, [](const Tunnel& tunnel) { return std::uint64_t{tunnel.up}; });
    each(Metric::tunnel_mtu, tunnels, [](const Tunnel& tunnel) { return std::uint64_t{tunnel.mtu}; });
    add_passage(tunnels);
    constexpr Metric directions[] = {Metric::tunnel_inbound_packets, Metric::tunnel_inbound_bytes,
                                     Metric::tunnel_outbound_packets, Metric::tunnel_outbound_bytes};
    for (std::size_t i = 0; i < std::size(directions); ++i)
      each(directions[i], tunnels, [i](const Tunnel& tunnel) { return tunnel.counts[i]; });
  }

  [[nodiscard]] bool is_degraded(const TrafficWatch::Child& child) const {
    const ike::PeerConfig* peer = sources_.config.peer(child.peer);
    return peer != nullptr && traffic_state(child, sources_.now, peer->probe_interval).degraded();
  }

  /// What is not known has no sample.
  void add_passage(const std::vector<Tunnel>& tunnels) {
    each(Metric::tunnel_degraded, tunnels, [](const Tunnel& tunnel) { return std::uint64_t{tunnel.degraded}; });
    const auto seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
    const auto each_known = [&](Metric metric, auto is_known, auto value) {
      begin(metric);
      for (const Tunnel& tunnel : tunnels)
        if (tunnel.traffic != nullptr && is_known(*tunnel.traffic)) text_.add(tunnel.labels, value(*tunnel.traffic));
    };
    using Child = TrafficWatch::Child;
    const auto has_rtt = [](const Child& child) { return child.passage.rtt().has_value(); };
    each_known(Metric::tunnel_rtt, has_rtt, [&](const Child& child) { return seconds(*child.passage.rtt()); });
    each_known(Metric::tunnel_jitter, has_rtt, [&](const Child& child) { return seconds(child.passage.jitter()); });
    each_known(
        Metric::tunnel_probe_loss,
        [](const Child& child) { return child.counts() && child.passage.num_results() != 0; },
        [](const Child& child) { return double(child.passage.num_lost()) / child.passage.num_results(); });
  }

  template <class Items, class Value>
  void each(Metric metric, const Items& items, Value value) {
    begin(metric);
    for (const auto& item : items) text_.add(item.labels, value(item));
  }

  void add_peers() {
    std::vector<Peer> peers;
    for (const ike::PeerMeasure& measure : sources_.measures.peers) {
      const std::string name(name_of(measure.peer));
      if (name.empty()) continue;
      peers.push_back({MetricsText::labels_text({{"peer", name}}), &measure,
                       sources_.counters.peer(name, measure.counters.counts)});
    }
    const auto number = [&](Metric metric, auto member) {
      each(metric, peers, [&](const Peer& peer) { return std::uint64_t{peer.measure->*member}; });
    };
    number(Metric::peer_up, &ike::PeerMeasure::up);
    number(Metric::peer_expected, &ike::PeerMeasure::expected);
    each(Metric::peer_established, peers, [&](const Peer& peer) { return wall_time(peer.measure->established); });
    each(Metric::peer_last_handshake, peers, [&](const Peer& peer) { return wall_time(peer.measure->last_handshake); });
    number(Metric::peer_nat_local, &ike::PeerMeasure::nat_local);
    number(Metric::peer_nat_remote, &ike::PeerMeasure::nat_remote);
    number(Metric::peer_ike_sas, &ike::PeerMeasure::ike_sas);
    number(Metric::peer_child_sas, &ike::PeerMeasure::child_sas);
    number(Metric::peer_clients, &ike::PeerMeasure::clients);
    for (std::size_t i = 0; i < ike::num_peer_events; ++i) {
      text_.begin(family_of(static_cast<ike::PeerEvent>(i)));
      for (const Peer& peer : peers) text_.add(peer.labels, peer.counts[i]);
    }
  }

  void add_pools() {
    if (sources_.measures.pools.empty()) return;
    struct Pool {
      std::string labels;
      const ike::PoolMeasure* measure;
    };
    std::vector<Pool> pools;
    for (const ike::PoolMeasure& measure : sources_.measures.pools)
      pools.push_back(
          {MetricsText::labels_text({{"pool", measure.name}, {"family", measure.v4 ? "ipv4" : "ipv6"}}), &measure});
    each(Metric::pool_size, pools, [](const Pool& pool) { return pool.measure->size; });
    each(Metric::pool_taken, pools, [](const Pool& pool) { return std::uint64_t{pool.measure->taken}; });
    each(Metric::pool_kept, pools, [](const Pool& pool) { return std::uint64_t{pool.measure->kept}; });
  }

  void add_ike() {
    const ike::Measures& all = sources_.measures;
    single(Metric::ike_half_open, std::uint64_t{all.half_open});
    single(Metric::ike_cookies_demanded, std::uint64_t{all.flood});
    single(Metric::ike_barred_sources, std::uint64_t{all.barred_sources});
    single(Metric::ike_sas, std::uint64_t{all.ike_sas});
    single(Metric::child_sas, std::uint64_t{all.child_sas});
    begin(Metric::ike_errors);
    for (const auto& error : all.errors_sent.entries())
      text_.add({{"error", error.name}, {"direction", "sent"}}, error.count);
    for (const auto& error : all.errors_received.entries())
      text_.add({{"error", error.name}, {"direction", "received"}}, error.count);
  }

  void add_drops() {
    begin(Metric::drops);
    const auto counters = sources_.plane.drops();
    for (std::size_t i = 0; i < num_drop_reasons && i < counters.size(); ++i)
      text_.add({{"reason", drop_reason_name(static_cast<DropReason>(i))}}, counters[i]);
  }

  const MetricsSources& sources_;
  std::unordered_map<PeerId, const std::string*> names_;
  MetricsText text_;
};

}  // namespace

void CounterHistory::note(const config::Config& config, const tunnel::DataPlane& plane, const ike::Measures& measures) {
  for (const auto& settings : config.tunnels)
    (void)tunnel(settings.plane.name, counts_of(plane.counters(settings.plane.id)));
  std::unordered_map<PeerId, const ike::PeerMeasure*> measure_of;
  for (const ike::PeerMeasure& measure : measures.peers) measure_of.emplace(measure.peer, &measure);
  for (const auto& settings : config.peers)
    if (const auto found = measure_of.find(settings.id); found != measure_of.end())
      (void)peer(settings.name, found->second->counters.counts);
}

std::string make_metrics(MetricsFormat format, const MetricsSources& sources) {
  return Report(format, sources).make();
}

}  // namespace culvert::daemon

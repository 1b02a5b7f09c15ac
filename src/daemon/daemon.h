#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <chrono>
#include <deque>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "compute_pool.h"
#include "control_server.h"
#include "culvert/base/time.h"
#include "culvert/config/config.h"
#include "culvert/config/reload.h"
#include "culvert/control/mtu.h"
#include "culvert/control/protocol.h"
#include "culvert/ike/endpoint.h"
#include "culvert/tunnel/data_plane.h"
#include "debug_keys.h"
#include "event_hub.h"
#include "file_stamp.h"
#include "heap_trimmer.h"
#include "hooks.h"
#include "icmp_echo_linux.h"
#include "key_export.h"
#include "lease_book.h"
#include "machine.h"
#include "metrics_report.h"
#include "metrics_server.h"
#include "network_watch.h"
#include "path_prober.h"
#include "pinger.h"
#include "radius_service.h"
#include "resolver.h"
#include "revocation.h"
#include "service_manager.h"
#include "stream_paths.h"
#include "traffic_watch.h"

namespace culvert::daemon {

class ClientMode;
class FileHelper;

struct DaemonOptions {
  std::filesystem::path config_file;  ///< whole path of what a reload reads; empty: there is no reload
  std::optional<std::filesystem::path> debug_keys;
  FileHelper* files = nullptr;   ///< opens the configuration's files when we may not any more; outlives the daemon
  std::unique_ptr<HookHelper> hooks;  ///< runs `up` and `down`; it has read the configuration. nullptr: there are none
  std::vector<std::filesystem::path> config_folders;  ///< where the configuration and its files stand
  ClientMode* client = nullptr;  ///< `culvert connect`; outlives the daemon
};

/// The gateway: one control thread that carries values between the packets (tunnel), the keys (ike), the machine
/// (netlink), the names (resolver) and the operator (control socket). Everything here runs on the thread that calls
/// run().
class Daemon {
 public:
  /// Opens everything, in an order that leaves nothing behind when a step fails. The error is a sentence for the
  /// operator.
  [[nodiscard]] static Result<std::unique_ptr<Daemon>> create(config::Config config, DaemonOptions options);
  ~Daemon();  ///< removes what is left: devices, control socket, lock; not the guards of a gateway that failed
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Until SIGTERM or SIGINT; then Deletes have been sent, and devices and routes are gone.
  void run();

 private:
  /// What the control thread remembers of a pair of SAs in the data plane.
  struct InstalledSa {
    PeerId peer;
    ChildId child;
    SaShape shape;
    IpAddress remote;
    ChildTraffic traffic;  ///< when last looked at
    TimePoint confirmed_at{};  ///< when its path was last asked about because it is busy
  };
  /// Something to tell ike, once what it wants now has been performed.
  using FollowUp = std::function<ike::Actions(TimePoint now)>;

  explicit Daemon(config::Config config);

  // opening.cpp
  [[nodiscard]] Result<void> open(DaemonOptions& options);
  [[nodiscard]] Result<void> open_control_socket();
  [[nodiscard]] Result<void> open_plane(StateDir state, ClientMode* client);
  [[nodiscard]] Result<void> open_ike(std::shared_ptr<const Secret> crash_secret);
  void open_resolver();
  void open_helpers();
  [[nodiscard]] Result<void> watch_network();

  // daemon_metrics.cpp
  /// nullptr: they are served nowhere.
  [[nodiscard]] Result<std::unique_ptr<MetricsServer>> open_metrics();
  void change_metrics(const config::Config& before);
  void note_counters();
  [[nodiscard]] std::string write_metrics(MetricsFormat format);

  // hardening.cpp: what we may do no more
  [[nodiscard]] Result<void> become_smaller(const DaemonOptions& options);
  [[nodiscard]] Result<void> lock_in(const DaemonOptions& options);

  // daemon.cpp: what happens
  void wait_for_events();
  void take_events();
  [[nodiscard]] ike::Actions on_event(TimePoint now, const tunnel::Event& event);
  void on_network_change();
  void on_lost_device(int ifindex);
  void report_unknown_spi(TimePoint now, const tunnel::UnknownSpiEvent& unknown);
  void arm_deadline();
  void arm_tick();
  void on_tick();
  void report_traffic(TimePoint now);
  void flush_unreachable(TimePoint now);
  void save_leases(bool at_once);
  void announce_expiry(TimePoint now);
  void reload_users(bool anyway);
  void wait_for_signals();
  void on_hangup();
  void shut_down();

  // service.cpp: what a service manager wants
  void be_managed();
  void be_alive();
  void report_status(TimePoint now);
  [[nodiscard]] std::string summary(TimePoint now) const;
  /// After every change of the devices or sockets.
  void keep_descriptors();

  // perform.cpp: what ike wants done
  void perform(ike::Actions actions);
  void perform_each(ike::Actions& actions);
  [[nodiscard]] std::string name_of(PeerId peer) const;
  void perform_one(ike::KeepTicketKeys& keep);
  void perform_one(ike::KeepLease& keep);
  void perform_one(ike::UseVirtualNet& use);
  void perform_one(ike::SendDatagram& send);
  void perform_one(ike::PathProbed& probed);
  [[nodiscard]] HookFacts hook_facts(const InstalledSa& sa, HookFacts facts) const;
  void change_hooks();
  void report_unsent(const ike::Path& path, const Error& error);
  void perform_one(ike::InstallChild& install);
  void perform_one(ike::ActivateOutbound& activate);
  void perform_one(ike::RemoveChild& remove);
  void perform_one(ike::MoveChild& move);
  void perform_one(ike::FindPaths& find);
  void perform_one(ike::ResolveAddresses& resolve);
  void perform_one(ike::Report& report);
  void perform_one(ike::CountDrop& drop);
  void perform_one(ike::Compute& compute);
  void perform_one(ike::CheckRevocation& check);
  void perform_one(ike::AskRadius& ask);
  void perform_one(ike::UserSession& session);
  void perform_one(ike::UserSessionEnd& session);
  void perform_one(ike::DebugIkeKeys& keys);

  // reload.cpp: another configuration
  using Mistakes = std::vector<std::string>;  ///< what keeps a configuration from being used, one line each
  [[nodiscard]] control::Response answer_reload(const std::string& how);
  [[nodiscard]] control::Response answer_diff(const std::filesystem::path& file);
  [[nodiscard]] std::expected<config::Config, Mistakes> load_next(const std::filesystem::path& file) const;
  [[nodiscard]] std::expected<config::ReloadPlan, Mistakes> reload(std::optional<std::chrono::seconds> confirm);
  [[nodiscard]] std::expected<config::ReloadPlan, Mistakes> try_reload(std::optional<std::chrono::seconds> confirm);
  [[nodiscard]] Result<void> apply(config::Config& next, const config::ReloadPlan& plan);
  [[nodiscard]] Result<void> prepare(const config::Config& before, const config::ReloadPlan& plan);
  void follow_mark(const config::Config& before);
  [[nodiscard]] ike::Reconfiguration reconfiguration(const config::Config& before,
                                                     const config::ReloadPlan& plan) const;
  void await_confirmation(config::Config before, std::chrono::seconds within);
  [[nodiscard]] Result<config::ReloadPlan> revert(std::string_view why);

  // path_watch.cpp: the MTU of the paths
  void watch_path(PeerId peer, const IpAddress& remote);
  void suspect_path(TimePoint now, Spi inbound_spi);
  void suspect_busy_path(TimePoint now, InstalledSa& sa, const ChildTraffic& traffic);
  void adapt_mtu(const InstalledSa& sa);
  void probe_soon();
  [[nodiscard]] ike::Actions next_probe(TimePoint now);

  // events.cpp: what those who watch are told
  void tell(log::Level level, const log::Subject& about, const std::string& text);
  void watch(const control::Request& request, ControlServer::Protocol::socket socket);
  [[nodiscard]] control::Response answer_monitor(const control::Request& request) const;
  [[nodiscard]] control::Response answer_trace(const control::Request& request) const;
  [[nodiscard]] bool is_mistyped(const std::string& peer) const;

  // steering.cpp
  [[nodiscard]] control::Response answer_log_level(const std::string& wanted);
  [[nodiscard]] control::Response answer_routes();

  // path_ping.cpp: …of those whom IKE cannot ask
  struct PathPing {
    std::uint16_t size = 0;  ///< bytes of IP outside; 0: none is under way
    std::uint16_t number = 0, first_number = 0;
    int tries = 0;
    TimePoint due{};  ///< when it is lost
  };
  [[nodiscard]] static bool is_path_echo(std::uint32_t id) noexcept;
  [[nodiscard]] const InstalledSa* pingable_sa(PeerId peer) const;
  [[nodiscard]] bool ping_path(TimePoint now, PeerId peer, std::uint16_t size);
  void send_path_ping(TimePoint now, PeerId peer, const InstalledSa& sa, PathPing& ping);
  void arm_path_pings();
  void on_path_ping_lost(TimePoint now);
  void on_path_ping_answer(const wire::Echo& echo, std::optional<ChildId> by);
  void finish_path_ping(PeerId peer, bool passed);
  void on_first_answer(PeerId peer);

  // probing.cpp: whether traffic passes
  [[nodiscard]] Result<void> open_icmp();
  void watch_traffic(TimePoint now, const InstalledSa& sa, bool echoes);
  void suspect_traffic(TimePoint now, Spi inbound_spi);
  void probe_traffic(TimePoint now);
  void tell_traffic(TimePoint now, ChildId id, TrafficWatch::Child& child);
  bool probe_child(TimePoint now, ChildId id, TrafficWatch::Child& child);
  [[nodiscard]] bool ping_child(TimePoint now, ChildId id, TrafficWatch::Child& child, Duration interval);
  void on_echo(TimePoint now, const tunnel::EchoEvent& event);
  void on_probe_answer(TimePoint now, const wire::Echo& echo, std::optional<ChildId> by, TimePoint received);
  void wait_for_replies(IpFamily family);
  bool send_probe(ChildId id, const wire::Echo& echo, std::size_t size, bool whole);
  [[nodiscard]] const InstalledSa* installed_for(ChildId child) const;
  [[nodiscard]] std::optional<ChildId> pinged_child(std::string_view name) const;
  [[nodiscard]] control::Response answer_ping(const control::Request& request) const;

  // mtu_report.cpp
  [[nodiscard]] control::Response answer_mtu(const control::Request& request);
  [[nodiscard]] control::MtuReport mtu_report(const ike::PeerConfig& peer) const;
  void send_mtu(const std::string& name, ControlServer::Protocol::socket socket) const;

  // commands.cpp: what the operator wants
  [[nodiscard]] control::Response answer(const control::Request& request);
  [[nodiscard]] control::Response answer_change(Result<ike::Actions> result, std::string message);

  // capture.cpp: what `culvert capture` asks for
  struct CaptureTarget {
    std::optional<PeerId> peer;  ///< nullopt: all
    std::string text;
    std::vector<const config::TunnelSettings*> tunnels;
  };
  [[nodiscard]] std::optional<CaptureTarget> find_target(const std::string& name) const;
  [[nodiscard]] control::Response answer_capture(const std::string& name) const;
  [[nodiscard]] control::Response answer_keys(TimePoint now, const control::Request& request);
  void end_key_export(const std::string& why);
  void watch_key_export(TimePoint now);
  void export_keys(const ike::DebugIkeKeys& keys);
  void export_keys(const ChildSaKeys& keys);

  config::Config config_;
  std::filesystem::path config_file_;
  /// What ran before a reload that nobody has confirmed yet.
  struct Unconfirmed {
    config::Config before;
    TimePoint until;
  };
  std::optional<Unconfirmed> unconfirmed_;
  TimePoint started_ = Clock::now();
  crypto::WallTime started_at_ = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_{io_};
  boost::asio::steady_timer deadline_{io_};
  boost::asio::steady_timer tick_{io_};
  boost::asio::steady_timer confirmation_{io_};
  ClientMode* client_ = nullptr;
  boost::asio::steady_timer watchdog_{io_};
  ServiceManager manager_;
  std::optional<DebugKeys> debug_keys_;
  KeyExport key_export_;
  std::unique_ptr<tunnel::DataPlane> plane_;
  std::optional<Machine> machine_;
  LeaseBook leases_;
  boost::asio::posix::stream_descriptor plane_events_{io_};
  std::unique_ptr<ike::IkeEndpoint> ike_;
  StreamPaths streams_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<ComputePool> compute_pool_;
  std::unique_ptr<RevocationKeeper> revocation_;
  std::unique_ptr<RadiusService> radius_;
  FileStamp users_stamp_;  ///< of the file of users as last read
  std::unique_ptr<NetworkWatch> network_;
  EventHub events_;
  std::unique_ptr<Hooks> hooks_;  ///< nullptr: no tunnel had any at the start
  std::unique_ptr<ControlServer> control_;
  ConfigHistory config_history_;
  CounterHistory counter_history_;
  std::unique_ptr<MetricsServer> metrics_, next_metrics_;  ///< next_: of a reload that may still fail

  std::unordered_map<Spi, InstalledSa> installed_;
  PathProber paths_;
  std::map<PeerId, PathPing> pinged_paths_;  ///< of the peers that IKE cannot ask
  boost::asio::steady_timer path_pings_{io_};
  TrafficWatch traffic_;
  TimePoint traffic_seen_ = Clock::now();  ///< when the counters were last looked at
  std::optional<IcmpEcho> icmp_;
  Pinger pinger_{io_, [this](ChildId child, const wire::Echo& echo, std::size_t size, bool whole) {
                   return send_probe(child, echo, size, whole);
                 }};
  boost::asio::posix::stream_descriptor icmp_events4_{io_}, icmp_events6_{io_};
  std::set<ChildId> wanted_;  ///< children that packets wait for
  TimePoint unknown_spi_reported_{};
  TimePoint expiry_announced_ = Clock::now();  ///< at the start as warnings of the configuration
  TimePoint unsent_reported_{};
  TimePoint expected_since_{};  ///< when the plane was last told whom to expect
  TimePoint status_reported_{};
  std::size_t unsent_since_ = 0;
  std::deque<FollowUp> follow_ups_;
  HeapTrimmer heap_;
  bool deadline_armed_ = false;
  bool performing_ = false;
  bool stopping_ = false;
};

}  // namespace culvert::daemon

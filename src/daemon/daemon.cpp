#include "daemon.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <csignal>
#include <fstream>
#include <utility>

#include "client_mode.h"
#include "culvert/base/log.h"
#include "culvert/config/users.h"
#include "culvert/crypto/aead.h"

namespace culvert::daemon {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

/// Events of the data plane handled before everybody else gets a turn: a flood of IKE starves neither the operator nor
/// the timers.
constexpr std::size_t events_per_turn = 16;
constexpr std::chrono::seconds tick_interval{1};
constexpr std::chrono::seconds hooks_patience{10};  // at the end, for `down`

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

void add(const ChildTraffic& more, ChildTraffic& sum) {
  sum.inbound_packets += more.inbound_packets;
  sum.inbound_bytes += more.inbound_bytes;
  sum.outbound_packets += more.outbound_packets;
  sum.outbound_bytes += more.outbound_bytes;
}

bool forwards(const char* file) {
  char value = '1';
  std::ifstream(file) >> value;
  return value != '0';
}

/// A gateway that does not forward is the second most common reason why "the tunnel is up but nothing goes through".
void warn_when_not_forwarding() {
  if (!forwards("/proc/sys/net/ipv4/ip_forward"))
    log::info("net.ipv4.ip_forward is 0: this host uses the tunnels itself, but forwards nothing into them for others");
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::create(config::Config config, DaemonOptions options) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(config)));
  if (auto opened = daemon->open(options); !opened) return std::unexpected(opened.error());
  return daemon;
}

Daemon::Daemon(config::Config config)
    : config_(std::move(config)), events_([this](bool watched) {
        if (ike_) ike_->watch(watched);
      }) {
  config_history_.loaded = started_at_;
}

Daemon::~Daemon() {
  if (machine_ && plane_ && !stopping_) machine_->abandon(*plane_);
  if (plane_events_.is_open()) plane_events_.close();
}

void Daemon::run() {
  wait_for_signals();
  wait_for_events();
  wait_for_replies(IpFamily::v4);
  wait_for_replies(IpFamily::v6);
  arm_tick();
  warn_when_not_forwarding();
  log::info("culvertd {} is ready: {} peers, {} tunnels, {} workers with {} MiB for packets, AEAD by {}",
            CULVERT_VERSION, config_.peers.size(), config_.tunnels.size(), config_.gateway.workers,
            plane_->packet_memory() >> 20, crypto::aead_implementation());
  revocation_->start();
  perform(ike_->start(Clock::now()));
  be_managed();
  io_.run();
}

// ---- the data plane -------------------------------------------------------------------------------------------------

void Daemon::wait_for_events() {
  plane_events_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const ErrorCode& error) {
    if (!error && !stopping_) take_events();
  });
}

void Daemon::take_events() {
  const auto events = plane_->poll_events(events_per_turn);
  for (const auto& event : events) {
    const TimePoint now = Clock::now();
    perform(on_event(now, event));
  }
  if (events.size() < events_per_turn) return wait_for_events();
  // There may be more. Behind whatever else is ready by now.
  asio::post(io_, [this] {
    if (!stopping_) take_events();
  });
}

ike::Actions Daemon::on_event(TimePoint now, const tunnel::Event& event) {
  return std::visit(
      Overloaded{
          [&](const tunnel::ControlDatagram& datagram) {
            return ike_->on_datagram(now, {datagram.local, datagram.remote}, datagram.bytes);
          },
          [&](const tunnel::AcquireEvent& acquire) {
            wanted_.insert(acquire.child);
            return ike_->on_acquire(now, acquire.child, acquire.source, acquire.destination);
          },
          [&](const tunnel::SaEvent& sa) { return ike_->on_child_event(now, sa.inbound_spi, sa.event); },
          [&](const tunnel::PathEvent& moved) {
            return ike_->on_esp_moved(now, moved.inbound_spi, {moved.local, moved.remote});
          },
          [&](const tunnel::SilenceEvent& silence) {
            suspect_path(now, silence.inbound_spi);
            suspect_traffic(now, silence.inbound_spi);
            return ike_->on_unanswered_traffic(now, silence.inbound_spi);
          },
          [&](const tunnel::EchoEvent& echo) {
            on_echo(now, echo);
            return ike::Actions{};
          },
          [&](const tunnel::FloodEvent& flood) {
            if (now - expected_since_ >= std::chrono::seconds(1)) {
              expected_since_ = now;
              plane_->expect_from(ike_->peer_addresses());
            }
            return ike_->on_kept_back(now, flood.kept_back);
          },
          [&](const tunnel::UnknownSpiEvent& unknown) {
            if (ike_->is_taken(unknown.spi)) return ike::Actions{};  // what was held has its SA, or will have
            report_unknown_spi(now, unknown);
            return ike_->on_unknown_spi(now, {unknown.local, unknown.remote}, unknown.spi);
          },
      },
      event);
}

/// After a restart of either side the peer sends on an SA that is gone; anybody else may send anything. One line a
/// second says enough.
void Daemon::report_unknown_spi(TimePoint now, const tunnel::UnknownSpiEvent& unknown) {
  if (now - unknown_spi_reported_ < std::chrono::seconds(1)) return;
  unknown_spi_reported_ = now;
  log::Subject{.spi = fmt::format("0x{:08x}", unknown.spi.value()), .reason = "unknown SPI"}.info(
      "ESP from {} with SPI 0x{:08x}: no SA has that SPI (of one that is gone, or not meant for us)",
      unknown.remote.to_string(), unknown.spi.value());
}

/// Links, addresses, routes: perhaps another way to some peers, perhaps none.
void Daemon::on_network_change() {
  if (stopping_) return;
  machine_->refresh_addresses();
  streams_.on_network_change();
  perform(ike_->on_network_change(Clock::now()));
}

// ---- time -----------------------------------------------------------------------------------------------------------

void Daemon::arm_deadline() {
  const auto when = stopping_ ? std::nullopt : ike_->deadline();
  if (deadline_armed_ && when && deadline_.expiry() == *when) return;
  deadline_armed_ = when.has_value();
  if (!when) {
    deadline_.cancel();
    return;
  }
  deadline_.expires_at(*when);
  deadline_.async_wait([this](const ErrorCode& error) {
    if (error || stopping_) return;
    deadline_armed_ = false;
    perform(ike_->on_deadline(Clock::now()));
  });
}

void Daemon::arm_tick() {
  tick_.expires_after(tick_interval);
  tick_.async_wait([this](const ErrorCode& error) {
    if (error || stopping_) return;
    on_tick();
    arm_tick();
  });
}

void Daemon::on_tick() {
  const TimePoint now = Clock::now();
  report_traffic(now);
  probe_traffic(now);
  paths_.on_tick();
  probe_soon();
  perform({});
  flush_unreachable(now);
  announce_expiry(now);
  reload_users(false);
  save_leases(false);
  watch_key_export(now);
  heap_.on_tick();
  report_status(now);
  if (client_) client_->on_tick();
}

void Daemon::save_leases(bool at_once) {
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(Clock::now().time_since_epoch()).count();
  if (auto saved = leases_.save(machine_->state(), now, at_once, [this] { return ike_->leases(); }); !saved)
    log::warn("leases will not outlive this daemon: {}", saved.error().detail);
}

/// Traffic whose ICV held proves that the peer lives (RFC 7296 §2.4): no liveness check while ESP flows.
void Daemon::report_traffic(TimePoint now) {
  const Duration elapsed = now - std::exchange(traffic_seen_, now);
  std::unordered_map<ChildId, ChildTraffic> of_several;  // pairs of a child that is being rekeyed
  for (auto& [spi, sa] : installed_) {
    const auto traffic = plane_->traffic(spi);
    if (!traffic) continue;
    suspect_busy_path(now, sa, *traffic);
    const ChildTraffic passed{traffic->inbound_packets - sa.traffic.inbound_packets,
                              traffic->inbound_bytes - sa.traffic.inbound_bytes,
                              traffic->outbound_packets - sa.traffic.outbound_packets,
                              traffic->outbound_bytes - sa.traffic.outbound_bytes};
    sa.traffic = *traffic;
    if (TrafficWatch::Child* child = traffic_.find(sa.child)) {
      if (child->num_pairs == 1) {
        child->passage.on_traffic(now, elapsed, passed);
      } else {
        add(passed, of_several[sa.child]);
      }
    }
    if (passed.inbound_packets != 0) ike_->on_inbound_traffic(now, spi);
  }
  for (const auto& [id, passed] : of_several)
    if (TrafficWatch::Child* child = traffic_.find(id)) child->passage.on_traffic(now, elapsed, passed);
  arm_deadline();
}

/// Packets wait for a child only as long as somebody works on bringing it up.
void Daemon::flush_unreachable(TimePoint now) {
  if (wanted_.empty()) return;
  using State = ike::PeerStatus::State;
  for (const auto& peer : ike_->status(now)) {
    for (const auto& child : peer.children) {
      if (!wanted_.contains(child.child)) continue;
      const bool busy = !peer.admin_down && (peer.state == State::resolving || peer.state == State::connecting ||
                                             (peer.state == State::established && !child.up && child.reason.empty()));
      if (busy) continue;
      if (!child.up) plane_->flush_waiting(child.child);
      wanted_.erase(child.child);
    }
  }
}

void Daemon::announce_expiry(TimePoint now) {
  if (now - expiry_announced_ < std::chrono::hours(24)) return;
  expiry_announced_ = now;
  const auto wall_time = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  for (const auto& watched : config_.certificates) {
    if (const auto warning = config::expiry_warning(watched, wall_time))
      tell(log::Level::warn, log::Subject{.event = EventKind::certificate},
           fmt::format("{}: {}", watched.key, log::sanitize(*warning)));
  }
}

/// The file of users, when it has changed. What cannot be read leaves those of before.
void Daemon::reload_users(bool anyway) {
  if (!config_.users_file) return;
  const FileStamp stamp = FileStamp::of(config_.users_file->path);
  if (stamp == users_stamp_ && !anyway) return;
  users_stamp_ = stamp;
  auto users = config::load_users(*config_.users_file);
  if (!users) {
    for (const auto& mistake : users.error()) log::error("{}", log::sanitize(mistake.to_string()));
    log::error("the users stay those of before");
    return;
  }
  log::info("{}: {} users", config_.users_file->path.string(), (*users)->size());
  ike_->set_users(std::move(*users));
}

// ---- the end --------------------------------------------------------------------------------------------------------

void Daemon::wait_for_signals() {
  ErrorCode error;
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) (void)signals_.add(number, error);
  signals_.async_wait([this](const ErrorCode& failed, int number) {
    if (failed) return;
    if (number != SIGHUP) return shut_down();
    on_hangup();
    wait_for_signals();
  });
}

void Daemon::shut_down() {
  manager_.say_stopping();
  const bool hands_over = manager_.keeps_any();
  tell(log::Level::info, log::Subject{.event = EventKind::stopping},
       fmt::format("going down: telling the peers, {} devices and routes", hands_over ? "leaving" : "removing"));
  if (hooks_) hooks_->set_reason("stop");
  perform(ike_->shut_down(Clock::now()));
  save_leases(true);
  if (hooks_) hooks_->finish(hooks_patience);
  stopping_ = true;
  radius_->end_all();
  control_.reset();
  events_.close();
  metrics_.reset();
  network_.reset();
  plane_events_.close();
  pinger_.close();
  path_pings_.cancel();
  icmp_events4_.close();
  icmp_events6_.close();
  if (hands_over) {
    machine_->hand_over();
  } else {
    machine_->tear_down(*plane_);
  }
  io_.stop();
}

}  // namespace culvert::daemon

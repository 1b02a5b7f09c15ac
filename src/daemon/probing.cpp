// Does traffic pass? Probes go the way of the users' packets: by the child SA, its keys, its numbers and its path. What
// is made of the answers is in passage.cpp. A probe brings no SA up, is counted as nobody's traffic, and tells ike
// nothing.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "culvert/base/log.h"
#include "daemon.h"
#include "tunnel_mtu.h"

namespace culvert::daemon {
namespace {

/// Of all children together, in one tick: ten thousand that are blocked must not become a flood of our own.
constexpr std::size_t probes_per_tick = 2000;
/// Whoever has never answered a ping is asked each so many times.
constexpr std::uint16_t seldom = 6;
constexpr Duration first_probe_within = std::chrono::seconds(1);

std::uint64_t nanoseconds(TimePoint when) noexcept {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count());
}

}  // namespace

/// Spread, so that the peers of a gateway that has just come back are not all asked at once ever after.
void Daemon::watch_traffic(TimePoint now, const InstalledSa& sa, bool echoes) {
  if (config_.peer(sa.peer) == nullptr) return;  // a client
  const Duration spread = first_probe_within * (sa.child.value() * 7919U % 1000U) / 1000;
  traffic_.on_installed(now + spread, sa.peer, sa.child, echoes);
}

void Daemon::suspect_traffic(TimePoint now, Spi inbound_spi) {
  const auto sa = installed_.find(inbound_spi);
  TrafficWatch::Child* child = sa == installed_.end() ? nullptr : traffic_.find(sa->second.child);
  if (child == nullptr) return;
  child->passage.on_suspicion(now);
  probe_child(now, sa->second.child, *child);
}

void Daemon::probe_traffic(TimePoint now) {
  std::size_t num = 0;
  for (auto& [id, child] : traffic_.children()) {
    if (num < probes_per_tick && probe_child(now, id, child)) ++num;
    tell_traffic(now, id, child);
  }
}

/// A line when it stops, and one when it goes on.
void Daemon::tell_traffic(TimePoint now, ChildId id, TrafficWatch::Child& child) {
  const ike::PeerConfig* peer = config_.peer(child.peer);
  if (peer == nullptr || (!child.told && child.passage.nothing_wrong())) return;
  const TrafficState state = traffic_state(child, now, peer->probe_interval);
  if (state.degraded() == child.told) return;
  child.told = state.degraded();
  const config::TunnelSettings* tunnel = config_.tunnel_of(id);
  const std::string name = tunnel ? tunnel->plane.name : peer->name;
  if (child.told) {
    tell(log::Level::warn,
         log::Subject{.peer = peer->name, .tunnel = name, .reason = state.reason, .event = EventKind::tunnel_degraded},
         fmt::format("tunnel {}: no traffic passes: {}", name, state.reason));
  } else {
    tell(log::Level::info, log::Subject{.peer = peer->name, .tunnel = name, .event = EventKind::tunnel_recovered},
         fmt::format("tunnel {}: traffic passes again", name));
  }
}

/// True: a probe has left.
bool Daemon::probe_child(TimePoint now, ChildId id, TrafficWatch::Child& child) {
  const ike::PeerConfig* peer = config_.peer(child.peer);
  if (peer == nullptr || peer->probe_interval == Duration::zero()) return false;
  if (child.probe == TrafficWatch::Probe::echo) {
    const auto number = child.passage.next(now, peer->probe_interval);
    if (!number) return false;
    const wire::Echo echo{wire::Echo::Type::question, *number, id.value(), nanoseconds(Clock::now()), 0, 0};
    return plane_->send_echo(id, echo, wire::echo_len, false);
  }
  return ping_child(now, id, child, peer->probe_interval);
}

bool Daemon::ping_child(TimePoint now, ChildId id, TrafficWatch::Child& child, Duration interval) {
  const auto number = child.passage.next(now, interval);
  if (!number) return false;
  using Probe = TrafficWatch::Probe;
  const auto far = machine_->far_end(id);
  child.probe = !far || !icmp_ || !icmp_->can_ask(far->to.family()) ? Probe::none
                : far->named                                        ? Probe::named_ping
                                                                    : Probe::ping;
  if (child.probe == Probe::none) {
    child.passage.forget_answers();
    child.passage.ask_at(now + interval);
    return false;
  }
  if (!child.counts() && child.passage.num_missed() >= seldom) {
    child.passage.forget_answers();
    child.passage.ask_at(now + interval * seldom);
    return false;
  }
  const wire::Echo echo{wire::Echo::Type::question, *number, id.value(), nanoseconds(Clock::now()), 0, 0};
  return plane_->send_inner(far->tunnel, icmp_->question(far->from, far->to, echo, 0), false);
}

/// A question is answered at once, by the SA pair on which it came; the data plane lets through so few that nobody can
/// make us busy, and an answer is never longer than its question.
void Daemon::on_echo(TimePoint now, const tunnel::EchoEvent& event) {
  using std::chrono::microseconds;
  if (event.echo.type == wire::Echo::Type::question) {
    wire::Echo answer = event.echo;
    answer.type = wire::Echo::Type::answer;
    answer.held_us =
        static_cast<std::uint32_t>(std::chrono::duration_cast<microseconds>(Clock::now() - event.received).count());
    answer.question_len = event.len;
    [[maybe_unused]] const bool sent = plane_->answer_echo(event.inbound_spi, answer);
    return;
  }
  const auto sa = installed_.find(event.inbound_spi);
  if (sa == installed_.end()) return;
  on_probe_answer(now, event.echo, sa->second.child, event.received - microseconds(event.echo.held_us));
}

/// `by`: the child on which it came; of ICMP the signature says that it is ours. `received`: less what it lay with the
/// other end.
void Daemon::on_probe_answer(TimePoint now, const wire::Echo& echo, std::optional<ChildId> by, TimePoint received) {
  const TimePoint asked(std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(echo.asked_at)));
  if (asked > received || received - asked > std::chrono::minutes(1)) return;
  if (Pinger::is_ping(echo.id)) return pinger_.on_answer(echo, by, received - asked);
  if (is_path_echo(echo.id)) return on_path_ping_answer(echo, by);
  if (by && by->value() != echo.id) return;
  TrafficWatch::Child* child = traffic_.find(ChildId(echo.id));
  const ike::PeerConfig* peer = child ? config_.peer(child->peer) : nullptr;
  if (peer == nullptr) return;
  const bool first = !child->passage.answered();
  child->passage.on_answer(now, echo.sequence, received - asked, peer->probe_interval);
  if (first && child->passage.answered()) on_first_answer(child->peer);
}

void Daemon::wait_for_replies(IpFamily family) {
  auto& events = family == IpFamily::v4 ? icmp_events4_ : icmp_events6_;
  if (!events.is_open()) return;
  events.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                    [this, family](const boost::system::error_code& error) {
                      if (error || stopping_) return;
                      const TimePoint now = Clock::now();
                      while (const auto reply = icmp_->receive(family)) {
                        if (machine_->owns(reply->ifindex)) on_probe_answer(now, reply->echo, std::nullopt, now);
                      }
                      wait_for_replies(family);
                    });
}

/// Any pair of it: all have the same shape, but while they are being rekeyed to another one.
const Daemon::InstalledSa* Daemon::installed_for(ChildId child) const {
  const auto found = std::ranges::find_if(installed_, [&](const auto& entry) { return entry.second.child == child; });
  return found == installed_.end() ? nullptr : &found->second;
}

/// A question that takes as much room as an inner packet of `size` bytes. For now and then: it looks for the SA.
bool Daemon::send_probe(ChildId id, const wire::Echo& echo, std::size_t size, bool whole) {
  const TrafficWatch::Child* child = traffic_.find(id);
  const InstalledSa* sa = installed_for(id);
  if (child == nullptr || sa == nullptr) return false;
  if (child->probe == TrafficWatch::Probe::echo) {
    const config::TunnelSettings* tunnel = config_.tunnel_of(id);
    const std::size_t carried = tunnel ? tunnel_overhead(tunnel->plane, sa->shape) : 0;
    return plane_->send_echo(id, echo, std::max(size + carried, wire::echo_len), whole);
  }
  const auto far = machine_->far_end(id);
  if (!far || !icmp_ || !icmp_->can_ask(far->to.family())) return false;
  return plane_->send_inner(far->tunnel, icmp_->question(far->from, far->to, echo, size), whole);
}

/// Of the peer's first child that is up; or of a tunnel, by its name.
std::optional<ChildId> Daemon::pinged_child(std::string_view name) const {
  if (const ike::PeerConfig* peer = config_.peer_named(name)) {
    for (const auto& child : peer->children)
      if (traffic_.find(child.id)) return child.id;
  }
  const config::TunnelSettings* tunnel = config_.tunnel_named(name);
  if (tunnel && traffic_.find(tunnel->plane.child)) return tunnel->plane.child;
  return std::nullopt;
}

control::Response Daemon::answer_ping(const control::Request& request) const {
  control::Response response;
  const auto& name = request.peer;
  const bool known = config_.peer_named(name) || config_.tunnel_named(name);
  const auto child = pinged_child(name);
  response.code = "invalid";
  if (!known) {
    response.code = "not_found";
    response.error = "there is no such peer or tunnel";
  } else if (!child) {
    response.error = fmt::format("{}: no child SA is up; `culvert status` says why", name);
  } else if (traffic_.find(*child)->probe == TrafficWatch::Probe::none && !machine_->far_end(*child)) {
    response.error = fmt::format(
        "{}: the peer is no culvert, and nobody behind it is known who might answer: name an "
        "address in `probe` of its tunnel",
        name);
  } else if (!pinger_.has_room()) {
    response.code = "busy";
    response.error = "others ping: that is as many as may";
  } else {
    response.code.clear();
    response.ok = true;
    response.message = traffic_.find(*child)->probe == TrafficWatch::Probe::echo
                           ? "echoes in ESP dummy packets"
                           : fmt::format("ICMP echoes to {}", machine_->far_end(*child)->to.to_string());
  }
  return response;
}

Result<void> Daemon::open_icmp() {
  icmp_.emplace(IcmpEcho::open());
  for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
    if (!icmp_->can_ask(family)) continue;
    const int fd = ::dup(icmp_->fd(family));
    if (fd < 0) return fail(Errc::io, "ICMP socket", errno);
    (family == IpFamily::v4 ? icmp_events4_ : icmp_events6_).assign(fd);
  }
  return {};
}

}  // namespace culvert::daemon

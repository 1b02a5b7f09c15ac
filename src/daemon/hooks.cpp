#include "hooks.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "client_network.h"
#include "culvert/base/log.h"

namespace culvert::daemon {
namespace {

std::string joined(const std::vector<IpPrefix>& prefixes) {
  std::string text;
  for (const IpPrefix& prefix : prefixes) text += (text.empty() ? "" : " ") + prefix.to_string();
  return text;
}

/// "10.1.0.0/16 10.2.0.5-10.2.0.9", at most 4000 bytes of it.
std::string joined(const std::vector<TrafficSelector>& selectors) {
  std::string text;
  for (const TrafficSelector& selector : selectors) {
    const auto prefixes = ClientNetwork::prefixes_of(selector.first, selector.last, 2);
    const std::string one =
        prefixes.size() == 1 ? prefixes[0].to_string() : selector.first.to_string() + "-" + selector.last.to_string();
    if (text.size() + one.size() > 4000) break;
    text += (text.empty() ? "" : " ") + one;
  }
  return text;
}

log::Subject about(const HookJob& job) {
  return {.tunnel = job.tunnel};
}

const char* name_of(const HookJob& job) {
  return job.up ? "up" : "down";
}

}  // namespace

Hooks::Hooks(boost::asio::io_context& io, std::unique_ptr<HookHelper> helper, const config::Config& config)
    : helper_(std::move(helper)), replies_(io, ::dup(helper_->fd())) {
  replace(config);
  wait();
}

void Hooks::replace(const config::Config& config) {
  tunnels_.clear();
  for (const auto& settings : config.tunnels) {
    if (!settings.hooks) continue;
    tunnels_.emplace(settings.plane.child,
                     Tunnel{settings.plane.name, settings.plane.device, joined(settings.addresses),
                            joined(settings.routes), settings.plane.carry, settings.table, settings.hooks});
  }
  if (live_.empty()) return;
  // What has come up by the old ones goes down by the new ones, where the tunnel is still there.
  std::map<std::string_view, const config::TunnelSettings*> known;
  for (const auto& settings : config.tunnels) known.emplace(settings.plane.name, &settings);
  for (auto& [key, live] : live_) {
    for (HookJob& job : live.down) {
      const auto same = known.find(job.tunnel);
      if (same == known.end()) continue;
      job.argv = same->second->hooks ? same->second->hooks->down : std::vector<std::string>{};
    }
  }
}

void Hooks::adopt(const HookFacts& facts) {
  Live& live = live_[{facts.peer, facts.child}];
  if (++live.num_sas > 1) return;
  const auto [begin, end] = tunnels_.equal_range(facts.child);
  for (auto found = begin; found != end; ++found) live.down.push_back(job_of(found->second, facts, false));
}

HookJob Hooks::job_of(const Tunnel& tunnel, const HookFacts& facts, bool up) {
  HookJob job;
  job.key = fmt::format("{} {}", tunnel.name, facts.peer.value());
  job.tunnel = tunnel.name;
  job.up = up;
  job.argv = up ? tunnel.hooks->up : tunnel.hooks->down;
  const auto add = [&](const char* name, const std::string& value) {
    job.environment.push_back(fmt::format("CULVERT_{}={}", name, value));
  };
  add("EVENT", name_of(job));
  add("TUNNEL", escape_value(tunnel.name));
  add("PEER", escape_value(facts.peer_name));
  add("DEVICE", escape_value(tunnel.device));
  add("CARRY", tunnel.carry == tunnel::Carry::gre ? "gre" : "ip");
  add("LOCAL", facts.local.address.to_string());
  add("REMOTE", facts.remote.address.to_string());
  add("REMOTE_PORT", std::to_string(facts.remote.port));
  add("LOCAL_ID", escape_value(facts.local_id));
  add("REMOTE_ID", escape_value(facts.remote_id));
  add("USER", escape_value(facts.user));
  add("ADDRESSES", tunnel.addresses.substr(0, 4000));
  add("ROUTES", tunnel.routes.size() > 4000 ? std::string("-") : tunnel.routes);
  add("TABLE", tunnel.table == 0 ? std::string("off") : std::to_string(tunnel.table));
  add("REMOTE_NETS", joined(facts.remote_nets));
  return job;
}

void Hooks::installed(const HookFacts& facts) {
  const bool is_first = !knows(facts.peer, facts.child);
  adopt(facts);
  if (!is_first) return;
  const auto [begin, end] = tunnels_.equal_range(facts.child);
  for (auto found = begin; found != end; ++found) push(job_of(found->second, facts, true));
  start_some();
}

void Hooks::removed(PeerId peer, ChildId child) {
  const auto live = live_.find({peer, child});
  if (live == live_.end() || --live->second.num_sas > 0) return;
  for (HookJob& job : live->second.down) push(std::move(job));
  live_.erase(live);
  start_some();
}

void Hooks::push(HookJob job) {
  if (job.argv.empty() || gone_) return;
  if (!job.up) job.environment.push_back("CULVERT_REASON=" + reason_);
  const log::Subject subject{.tunnel = job.tunnel};
  if (const std::size_t left_out = queue_.push(std::move(job)); left_out > 0)
    subject.warn("{} runs of `up` and `down` are left out: events come faster than they end", left_out);
}

void Hooks::start_some() {
  for (HookJob& job : queue_.take()) {
    const std::uint32_t id = job.id;
    log::debug("tunnel {}: {}: {}", job.tunnel, name_of(job), job.argv[0]);
    const bool told = helper_->run(job);
    running_.emplace(id, std::move(job));
    if (!told) on_end(id, "cannot be run: the helper takes nothing");
  }
}

void Hooks::wait() {
  replies_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error || gone_) return;
    hear();
    if (!gone_) wait();
  });
}

void Hooks::hear() {
  helper_->hear({[this](std::uint32_t id, std::string_view line) { on_line(id, line); },
                 [this](std::uint32_t id, std::string_view trouble) { on_end(id, trouble); }, [this] { on_gone(); }});
  start_some();
}

void Hooks::on_line(std::uint32_t id, std::string_view line) {
  const auto job = running_.find(id);
  if (job == running_.end()) return;
  about(job->second).info("tunnel {}: {}: {}", job->second.tunnel, name_of(job->second), log::sanitize(line));
}

void Hooks::on_end(std::uint32_t id, std::string_view trouble) {
  const auto job = running_.find(id);
  if (job != running_.end() && !trouble.empty())
    about(job->second)
        .warn("tunnel {}: {}: {}: {}", job->second.tunnel, name_of(job->second), job->second.argv[0],
              log::sanitize(trouble));
  if (job != running_.end()) running_.erase(job);
  queue_.done(id);
}

void Hooks::on_gone() {
  if (std::exchange(gone_, true)) return;
  log::error("the helper that runs `up` and `down` has ended: none will be run until culvertd is restarted");
  queue_.clear();
  running_.clear();
}

void Hooks::finish(Duration patience) {
  for (auto& [key, live] : live_)
    for (HookJob& job : live.down) push(std::move(job));
  live_.clear();
  start_some();
  for (const TimePoint end = Clock::now() + patience; !queue_.idle() && !gone_;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd waiting{helper_->fd(), POLLIN, 0};
    if (left <= 0 || (::poll(&waiting, 1, static_cast<int>(left)) < 0 && errno != EINTR)) break;
    hear();
  }
  if (!queue_.idle() && !gone_) log::warn("not all of `up` and `down` have ended in time: the rest is left to itself");
}

}  // namespace culvert::daemon

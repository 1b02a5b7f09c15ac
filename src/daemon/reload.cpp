// Chain 4 of DESIGN.md §2: another configuration while the gateway runs. It is read and checked whole, and compared
// with the one that runs; what can fail is done next, and undone when it does; from there on nothing fails. Either all
// of it runs, or everything is as before.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "culvert/base/log.h"
#include "daemon.h"
#include "log_output.h"
#include "outer_mark.h"

namespace culvert::daemon {
namespace {

control::Response refuse(const std::vector<std::string>& mistakes) {
  control::Response response;
  response.code = "invalid";
  response.error = mistakes.size() == 1
                       ? mistakes.front() + ": nothing has changed"
                       : fmt::format("the configuration has {} mistakes: nothing has changed", mistakes.size());
  if (mistakes.size() > 1) response.mistakes = mistakes;
  return response;
}

control::Response refuse(std::string why) {
  control::Response response;
  response.code = "invalid";
  response.error = std::move(why);
  return response;
}

std::string_view kind_text(config::ConfigChange::Kind kind) {
  using Kind = config::ConfigChange::Kind;
  return kind == Kind::added ? "added" : kind == Kind::removed ? "removed" : "changed";
}

control::Response report(const config::ReloadPlan& plan, std::string message) {
  control::Response response;
  response.ok = true;
  response.message = std::move(message);
  auto& changes = response.changes.emplace();
  for (const config::ConfigChange& change : plan.changes) {
    const bool is_change = change.kind == config::ConfigChange::Kind::changed;
    changes.push_back({std::string(kind_text(change.kind)), change.key, change.before, change.after,
                       is_change ? std::string(reload_text(change.effect)) : "", to_string(change)});
  }
  return response;
}

crypto::WallTime wall_clock() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string needs_restart(const std::vector<std::string>& keys) {
  std::string list;
  for (const std::string& key : keys) list += (list.empty() ? "" : ", ") + key;
  return fmt::format("{} cannot change while culvertd runs: restart it, or take {} back", list,
                     keys.size() == 1 ? "that" : "those");
}

}  // namespace

// ---- who asks
// --------------------------------------------------------------------------------------------------------------------

/// SIGHUP: what `culvert reload` does; what it would print goes to the log.
void Daemon::on_hangup() {
  if (config_file_.empty()) {
    log::info("SIGHUP: fetching all CRLs anew; a client reads its profile when it connects");
    return revocation_->refresh();
  }
  log::info("SIGHUP: reading {} anew", config_file_.string());
  manager_.say_reloading();
  const auto done = reload(std::nullopt);
  manager_.say_ready(summary(Clock::now()));
  if (done) return;
  // Not through the log: it would leave out what exceeds ten lines a second.
  for (const std::string& mistake : done.error()) std::fprintf(stderr, "%s\n", log::sanitize(mistake).c_str());
}

control::Response Daemon::answer_reload(const std::string& how) {
  if (config_file_.empty())
    return refuse("a client reads its profile when it connects: disconnect it, and connect again");
  if (how == "confirmed" || how == "revert") {
    if (!unconfirmed_) return refuse("no reload waits to be confirmed");
    if (how == "revert") {
      const auto done = revert("the operator takes the reload back");
      return done ? report(*done, "back to the configuration of before: " + done->summary())
                  : refuse(done.error().detail);
    }
    unconfirmed_.reset();
    confirmation_.cancel();
    tell(log::Level::info, log::Subject{.event = EventKind::reload_confirmed}, "the reload is confirmed");
    return report({}, "confirmed");
  }
  std::optional<std::chrono::seconds> confirm;
  unsigned seconds = 0;
  if (std::from_chars(how.data(), how.data() + how.size(), seconds).ec == std::errc() && seconds > 0)
    confirm = std::chrono::seconds(seconds);
  const auto done = reload(confirm);
  if (!done) return refuse(done.error());
  std::string message = "reloaded: " + done->summary();
  if (unconfirmed_)
    message += fmt::format("; taken back in {} s unless 'culvert reload --confirmed' comes first", seconds);
  return report(*done, std::move(message));
}

control::Response Daemon::answer_diff(const std::filesystem::path& file) {
  if (file.empty()) return refuse("a client has no configuration but its profile");
  auto next = load_next(file);
  if (!next) return refuse(next.error());
  config::keep_ids(config_, *next);
  const config::ReloadPlan plan = plan_reload(config_, *next);
  const auto keys = plan.needing_restart();
  return report(plan, keys.empty() ? plan.summary() : plan.summary() + "; a reload refuses: " + needs_restart(keys));
}

// ---- the steps
// -------------------------------------------------------------------------------------------------------------------

std::expected<config::Config, Daemon::Mistakes> Daemon::load_next(const std::filesystem::path& file) const {
  auto next = config::load(file);
  if (next) return std::move(*next);
  Mistakes mistakes;
  for (const auto& diagnostic : next.error()) mistakes.push_back(diagnostic.to_string());
  return std::unexpected(std::move(mistakes));
}

std::expected<config::ReloadPlan, Daemon::Mistakes> Daemon::reload(std::optional<std::chrono::seconds> confirm) {
  auto done = try_reload(confirm);
  if (done) {
    tell(log::Level::info, log::Subject{.event = EventKind::reloaded},
         fmt::format("reloaded {}: {}", config_file_.string(), done->summary()));
    for (const auto& change : done->changes) log::debug("reload: {}", log::sanitize(to_string(change)));
  } else {
    const std::string first = log::sanitize(done.error().front());
    const std::size_t more = done.error().size() - 1;
    tell(log::Level::error, log::Subject{.reason = first, .event = EventKind::reload_refused},
         fmt::format("not reloaded: everything stays as it was; {}{}", first,
                     more == 0 ? "" : fmt::format(" (and {} more mistakes)", more)));
  }
  return done;
}

std::expected<config::ReloadPlan, Daemon::Mistakes> Daemon::try_reload(std::optional<std::chrono::seconds> confirm) {
  if (unconfirmed_ && !confirm)
    return std::unexpected(Mistakes{"the last reload waits to be confirmed: culvert reload --confirmed, or --revert"});
  auto next = load_next(config_file_);
  if (!next) {
    config_history_.note(false, wall_clock());
    return std::unexpected(next.error());
  }
  config::keep_ids(config_, *next);
  const config::ReloadPlan plan = plan_reload(config_, *next);
  const auto applied = apply(*next, plan);
  config_history_.note(applied.has_value(), wall_clock());
  if (!applied) return std::unexpected(Mistakes{applied.error().detail});
  for (const auto& warning : config_.warnings) log::warn("{}", log::sanitize(warning.to_string()));
  revocation_->refresh();
  if (confirm) await_confirmation(std::move(*next), *confirm);
  return plan;
}

/// `next` is the configuration of before when this returns without an error.
Result<void> Daemon::apply(config::Config& next, const config::ReloadPlan& plan) {
  if (const auto keys = plan.needing_restart(); !keys.empty()) return fail(Errc::invalid, needs_restart(keys));
  note_counters();
  std::swap(config_, next);
  config::Config& before = next;
  if (auto prepared = prepare(before, plan); !prepared) {
    std::swap(config_, next);
    next_metrics_.reset();
    machine_->index_tunnels();
    machine_->follow_mark();
    if (auto back = mark_sockets(plane_->descriptors(), config_.gateway.fwmark); !back)
      log::warn("{}", back.error().detail);
    if (auto back = streams_.replace_peers(config_); !back) log::warn("{}", back.error().detail);
    return prepared;
  }
  log::set_level(config_.gateway.log_level);
  if (before.gateway.log_format != config_.gateway.log_format) use_log_format(config_.gateway.log_format);
  change_metrics(before);
  revocation_->replace(config_.revocation);
  radius_->replace(config_.radius, config_.gateway.id.to_string());
  if (config_.users_file) users_stamp_ = FileStamp::of(config_.users_file->path);
  if (hooks_) {
    change_hooks();
    hooks_->set_reason("reload");
  }
  perform(ike_->reconfigure(Clock::now(), reconfiguration(before, plan)));
  if (hooks_) hooks_->set_reason("down");
  leases_.note_change();
  machine_->finish_reload(before, plan, *plane_);
  follow_mark(before);
  note_counters();
  if (!plan.new_tunnels.empty() || !plan.gone_tunnels.empty()) {
    manager_.keep({});  // also one that was made anew under its old name
    keep_descriptors();
  }
  const auto is_gone = [this](PeerId peer) { return config_.peer(peer) == nullptr; };
  paths_.forget_if(is_gone);
  std::erase_if(pinged_paths_, [&](const auto& entry) { return is_gone(entry.first); });
  std::erase_if(wanted_, [this](ChildId child) { return config_.tunnel_of(child) == nullptr; });
  return {};
}

/// All that can fail. After an error the machine is as before.
Result<void> Daemon::prepare(const config::Config& before, const config::ReloadPlan& plan) {
  if (auto streams = streams_.replace_peers(config_); !streams) return streams;
  if (before.gateway.metrics != config_.gateway.metrics) {
    auto metrics = open_metrics();
    if (!metrics) return std::unexpected(metrics.error());
    next_metrics_ = std::move(*metrics);
  }
  if (hooks_ && config_.uses_hooks)
    if (auto allowed = hooks_->prepare(config_file_); !allowed) return allowed;
  machine_->follow_mark();
  if (auto marked = mark_sockets(plane_->descriptors(), config_.gateway.fwmark); !marked) return marked;
  return machine_->reconfigure(before, plan, *plane_);
}

/// Another mark may mean other routes to every peer.
void Daemon::follow_mark(const config::Config& before) {
  if (before.gateway.fwmark == config_.gateway.fwmark) return;
  resolver_->set_mark(config_.gateway.fwmark);
  on_network_change();
}

ike::Reconfiguration Daemon::reconfiguration(const config::Config& before, const config::ReloadPlan& plan) const {
  ike::Reconfiguration next;
  for (const ike::PeerConfig& peer : config_.peers) {
    const auto renewal = plan.renewals.find(peer.id);
    next.peers.push_back({peer, renewal == plan.renewals.end() ? ike::Renewal{} : renewal->second});
  }
  next.pools = config_.pools;
  next.users = config_.users;
  if (before.gateway.redirect != config_.gateway.redirect) next.redirect = config_.gateway.redirect;
  return next;
}

// ---- unless confirmed
// ------------------------------------------------------------------------------------------------------------

/// A second one while the first is not confirmed goes back to what ran before both.
void Daemon::await_confirmation(config::Config before, std::chrono::seconds within) {
  if (!unconfirmed_) unconfirmed_.emplace(Unconfirmed{std::move(before), {}});
  unconfirmed_->until = Clock::now() + within;
  confirmation_.expires_at(unconfirmed_->until);
  confirmation_.async_wait([this, within](const boost::system::error_code& error) {
    if (error || stopping_ || !unconfirmed_ || Clock::now() < unconfirmed_->until) return;
    (void)revert(fmt::format("the reload was not confirmed within {} s", within.count()));
  });
}

Result<config::ReloadPlan> Daemon::revert(std::string_view why) {
  config::Config before = std::move(unconfirmed_->before);
  unconfirmed_.reset();
  confirmation_.cancel();
  config::keep_ids(config_, before);
  const config::ReloadPlan plan = plan_reload(config_, before);
  const auto applied = apply(before, plan);
  config_history_.note(applied.has_value(), wall_clock());
  if (!applied) {
    log::error("{}, and the configuration of before cannot be used: {}", why, applied.error().detail);
    return std::unexpected(applied.error());
  }
  tell(log::Level::warn, log::Subject{.reason = std::string(why), .event = EventKind::reload_reverted},
       fmt::format("{}: back to the configuration of before: {}", why, plan.summary()));
  return plan;
}

}  // namespace culvert::daemon

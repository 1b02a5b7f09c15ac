// Chain 3 of DESIGN.md §2 ends here: the Actions of ike are carried out, in their order.
#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>
#include <variant>

#include "client_mode.h"
#include "culvert/base/log.h"
#include "daemon.h"

namespace culvert::daemon {

/// Every call of ike may want something done before the next call. What arises meanwhile waits its turn in follow_ups_.
void Daemon::perform(ike::Actions actions) {
  perform_each(actions);
  if (performing_) return;
  performing_ = true;
  while (!follow_ups_.empty()) {
    const FollowUp next = std::move(follow_ups_.front());
    follow_ups_.pop_front();
    ike::Actions more = next(Clock::now());
    perform_each(more);
  }
  performing_ = false;
  arm_deadline();
}

void Daemon::perform_each(ike::Actions& actions) {
  for (auto& action : actions) std::visit([this](auto& what) { perform_one(what); }, action);
}

void Daemon::perform_one(ike::KeepTicketKeys& keep) {
  const auto kept = machine_->state().keep_secret(ticket_keys_name, keep.keys.view());
  if (!kept) log::warn("session tickets will not outlive this daemon: {}", kept.error().detail);
}

void Daemon::perform_one(ike::KeepLease&) {
  leases_.note_change();
}

void Daemon::perform_one(ike::UseVirtualNet& use) {
  machine_->use_virtual_net(use.peer, use.net);
}

void Daemon::perform_one(ike::SendDatagram& send) {
  if (send.dont_fragment) return plane_->send_whole(send.path.local, send.path.remote, send.bytes);
  const auto sent = plane_->send_control(send.path.local, send.path.remote, send.bytes, send.keepalive);
  if (!sent) report_unsent(send.path, sent.error());
}

/// ike sends again by itself, or gives the peer up; here it is only worth a word, and one a second is enough: when a
/// link goes down, it goes down for all peers.
void Daemon::report_unsent(const ike::Path& path, const Error& error) {
  const TimePoint now = Clock::now();
  if (now - unsent_reported_ < std::chrono::seconds(1)) {
    ++unsent_since_;
    return;
  }
  unsent_reported_ = now;
  const auto more = std::exchange(unsent_since_, 0);
  log::warn("IKE to {}: {}{}", path.remote.to_string(), error.detail,
            more == 0 ? "" : fmt::format(" (and {} others that could not be sent)", more));
}

/// A client's has no name here: its SAs say whose it is.
std::string Daemon::name_of(PeerId peer) const {
  const ike::PeerConfig* configured = config_.peer(peer);
  return configured ? configured->name : "(a client)";
}

void Daemon::perform_one(ike::InstallChild& install) {
  if (debug_keys_) debug_keys_->add(install.keys);
  export_keys(install.keys);
  const Spi spi = install.keys.inbound_spi;
  InstalledSa sa;
  sa.peer = install.keys.peer;
  sa.child = install.keys.child;
  sa.shape = {install.keys.suite, install.keys.mode, install.keys.encapsulation,
              install.keys.remote_endpoint.address.family()};
  const IpAddress remote = install.keys.remote_endpoint.address;
  HookFacts facts;
  if (hooks_ && hooks_->wants(sa.child)) {
    facts.local = install.keys.local_endpoint;
    facts.remote = install.keys.remote_endpoint;
    facts.remote_nets = install.keys.remote;
  }
  machine_->grant(sa.peer, sa.child, install.keys.remote, streams_.true_remote(remote));
  // Before the SA: packets that wait for it leave as soon as it is there.
  sa.remote = remote;
  watch_path(sa.peer, remote);
  adapt_mtu(sa);
  if (auto installed = plane_->install(std::move(install.keys), install.use_outbound); !installed) {
    log::Subject{
        .peer = name_of(sa.peer), .spi = fmt::format("0x{:08x}", spi.value()), .reason = installed.error().detail}
        .error("peer {}: the ESP SA 0x{:08x} cannot be installed: {}", name_of(sa.peer), spi.value(),
               installed.error().detail);
    follow_ups_.push_back(
        [this, spi](TimePoint now) { return ike_->on_child_event(now, spi, ChildEvent::hard_limit); });
    return;
  }
  wanted_.erase(sa.child);
  installed_[spi] = sa;
  watch_traffic(Clock::now(), sa, install.echoes);
  if (hooks_ && hooks_->wants(sa.child)) hooks_->installed(hook_facts(sa, std::move(facts)));
}

HookFacts Daemon::hook_facts(const InstalledSa& sa, HookFacts facts) const {
  facts.peer = sa.peer;
  facts.child = sa.child;
  if (const auto status = ike_->status_of(Clock::now(), sa.peer)) {
    const ike::PeerConfig* configured = config_.peer(status->client_of.value_or(sa.peer));
    facts.peer_name = configured ? configured->name : status->name;
    if (configured) facts.local_id = configured->local_id.to_string();
    facts.remote_id = status->remote_id;
    facts.user = status->user;
  }
  facts.remote.address = streams_.true_remote(sa.remote);
  return facts;
}

/// Another configuration: tunnels that are up may have got their first hooks.
void Daemon::change_hooks() {
  hooks_->replace(config_);
  std::vector<const InstalledSa*> unknown;
  for (const auto& [spi, sa] : installed_)
    if (hooks_->wants(sa.child) && !hooks_->knows(sa.peer, sa.child)) unknown.push_back(&sa);
  for (const InstalledSa* sa : unknown) hooks_->adopt(hook_facts(*sa, {}));
}

void Daemon::perform_one(ike::ActivateOutbound& activate) {
  plane_->activate_outbound(activate.inbound_spi);
}

void Daemon::perform_one(ike::RemoveChild& remove) {
  plane_->remove(remove.inbound_spi);
  const auto sa = installed_.extract(remove.inbound_spi);
  if (sa.empty()) return;
  traffic_.on_removed(sa.mapped().child);
  if (hooks_) hooks_->removed(sa.mapped().peer, sa.mapped().child);
}

void Daemon::perform_one(ike::MoveChild& move) {
  plane_->move(move.inbound_spi, move.local_endpoint, move.remote_endpoint, move.encapsulation);
  const auto sa = installed_.find(move.inbound_spi);
  if (sa == installed_.end()) return;
  sa->second.shape.encapsulation = move.encapsulation;
  sa->second.shape.outer_family = move.remote_endpoint.address.family();
  sa->second.remote = move.remote_endpoint.address;
  watch_path(sa->second.peer, sa->second.remote);
  adapt_mtu(sa->second);
}

void Daemon::perform_one(ike::FindPaths& find) {
  const ike::PeerConfig* peer = config_.peer(find.peer);  // a client may come to any of our addresses
  const auto by_stream = streams_.take_from(find.peer, find.remotes);
  if (client_)  // the gateway has told us of these, or we know them
    for (const IpAddress& remote : find.remotes) client_->allow(remote);
  auto paths = machine_->find_paths(std::move(find.remotes), peer ? peer->local_addresses : std::vector<IpAddress>{});
  if (by_stream) paths.push_back(*by_stream);
  follow_ups_.push_back(
      [this, id = find.peer, paths = std::move(paths)](TimePoint now) { return ike_->on_paths(now, id, paths); });
}

void Daemon::perform_one(ike::ResolveAddresses& resolve) {
  const ike::PeerConfig* peer = config_.peer(resolve.peer);
  if (!peer) return;  // a reload has removed it
  const std::vector<std::string> elsewhere{resolve.instead};
  resolver_->resolve(peer->id, resolve.instead.empty() ? peer->addresses : elsewhere, peer->port,
                     peer->local_addresses);
}

void Daemon::perform_one(ike::Report& report) {
  const bool is_told = events_.is_watched() && report.about.event != EventKind::none;
  const bool is_logged = !report.unlogged && log::enabled(report.level);
  if (!is_told && !is_logged) return;
  // Names and identities in it were chosen by whoever sent the message.
  for (std::string* value : {&report.about.peer, &report.about.tunnel, &report.about.spi, &report.about.reason})
    *value = log::sanitize(*value);
  const std::string text = log::sanitize(report.text);
  if (is_told) events_.publish(make_event(report.about, text, std::chrono::system_clock::now()));
  if (is_logged) log::write(report.level, text, report.about);
}

void Daemon::perform_one(ike::CountDrop& drop) {
  plane_->count_drop(drop.reason);
}

void Daemon::perform_one(ike::Compute& compute) {
  const std::uint64_t id = compute.id;
  if (compute_pool_->submit(std::move(compute))) return;
  follow_ups_.push_back([this, id](TimePoint now) { return ike_->on_computed(now, id, nullptr); });
}

void Daemon::perform_one(ike::CheckRevocation& check) {
  // The answer may be known already; ike gets it once what it wants now has been performed.
  const auto done = [this, id = check.id](std::shared_ptr<const crypto::RevocationData> known) {
    boost::asio::post(io_, [this, id, known = std::move(known)] {
      if (!stopping_) perform(ike_->on_revocation(Clock::now(), id, known));
    });
  };
  revocation_->check(check.feed, std::move(check.chain), done);
}

void Daemon::perform_one(ike::AskRadius& ask) {
  radius_->ask(std::move(ask));
}

void Daemon::perform_one(ike::UserSession& session) {
  radius_->begin(session);
}

void Daemon::perform_one(ike::UserSessionEnd& session) {
  radius_->end(session);
}

void Daemon::perform_one(ike::DebugIkeKeys& keys) {
  if (debug_keys_) debug_keys_->add(keys);
  export_keys(keys);
}

}  // namespace culvert::daemon

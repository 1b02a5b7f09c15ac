// Which addresses an association uses: the initiator's choice (RFC 4555 §3.5, §3.10), the responder's caution (§3.7),
// and what is left without MOBIKE.
#include <algorithm>

#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_remotes = 16;
constexpr Duration announce_pause = std::chrono::milliseconds(500);
constexpr Duration max_return_pause_by_tcp = std::chrono::seconds(20);
constexpr std::size_t max_other_paths = 7;  // by which a request goes at once when its own path is silent
constexpr Duration settled_time = std::chrono::minutes(5);  // on the preferred path: the next return is not held back

bool same_addresses(const Path& a, const Path& b) {
  return a.local.address == b.local.address && a.remote.address == b.remote.address;
}

void add_once(std::vector<IpAddress>& list, const IpAddress& address) {
  if (std::ranges::find(list, address) == list.end()) list.push_back(address);
}

std::string text_of(const Path& path) {
  return fmt::format("{} to {}", path.local.address.to_string(), path.remote.to_string());
}

}  // namespace

const Path& Association::child_path() const {
  return mobility_.children_path ? *mobility_.children_path : current_->path();
}

void Association::queue(Task::Kind kind) {
  Task task;
  task.kind = kind;
  add_task(std::move(task), true);
}

std::vector<IpAddress> Association::own_addresses() const {
  const Path& now = current_->path();
  std::vector<IpAddress> ours = peer_.config().local_addresses;
  if (ours.empty()) {
    for (const Path& path : mobility_.candidates) {
      if (path.remote.address == now.remote.address) add_once(ours, path.local.address);
    }
  }
  std::erase(ours, now.local.address);
  if (ours.size() > max_additional_addresses) ours.resize(max_additional_addresses);
  return ours;
}

void Association::start_mobility(const AddressNotifies& said) {
  mobility_.supported = true;
  mobility_.peer_addresses = said.additional;
  mobility_.announced = own_addresses();  // in IKE_AUTH
  find_paths();
}

// ---- what we could use
// ---------------------------------------------------------------------------------------------------------

void Association::find_paths() {
  if (ended_ || !current_) return;
  FindPaths find{peer_.config().id, {}};
  if (leads()) {
    for (const IpAddress& address : peer_.known_addresses()) add_once(find.remotes, address);
  }
  add_once(find.remotes, current_->path().remote.address);
  if (leads()) {
    for (const IpAddress& address : mobility_.peer_addresses) add_once(find.remotes, address);
  }
  if (find.remotes.size() > max_remotes) find.remotes.resize(max_remotes);
  core_.emit(std::move(find));
}

void Association::on_network_change() {
  mobility_.refused.clear();
  find_paths();
}

void Association::on_paths(std::vector<Path> paths) {
  if (ended_ || !current_) return;
  const Path now = current_->path();
  for (Path& path : paths) {
    path.local.port = now.local.port;
    path.remote.port = path.remote.address == now.remote.address ? now.remote.port : peer_.config().nat_port;
  }
  const auto choice_in = [&](const std::vector<Path>& list) {
    const auto found =
        std::ranges::find_if(list, [&](const Path& path) { return path.remote.address == now.remote.address; });
    return found == list.end() ? std::nullopt : std::optional(*found);
  };
  const auto before = choice_in(mobility_.candidates);
  const auto choice = choice_in(paths);
  mobility_.candidates = std::move(paths);
  if (mobility_.candidates.empty()) {  // no way to anywhere: the next change may bring one
    mobility_.stranded = true;
    return;
  }
  const bool was_stranded = std::exchange(mobility_.stranded, false);
  const bool usable =
      std::ranges::any_of(mobility_.candidates, [&](const Path& path) { return same_addresses(path, now); });
  // What was the kernel's choice follows the kernel; what was chosen because nothing else answered stays.
  // Who does not decide goes back to where the other end thinks it is.
  if (!leads() && mobility_.assigned && *mobility_.assigned != now.local.address) {
    const Path back{{*mobility_.assigned, now.local.port}, now.remote};
    const auto same = [&](const Path& path) { return same_addresses(path, back); };
    if (std::ranges::any_of(mobility_.candidates, same)) return change_local(back);
  }
  // It stays where it is as long as that works.
  const bool rerouted =
      leads() && choice && before && !same_addresses(*choice, *before) && same_addresses(now, *before);
  if (usable && !rerouted) {
    if (was_stranded) go_on();
    if (mobility_.supported && own_addresses() != mobility_.announced) announce();
    return plan_return();
  }
  if (leads()) return lead_to(choice ? *choice : mobility_.candidates.front(), "its network has changed here");
  if (choice) change_local(*choice);
}

/// The path in use is there again: what was sent meanwhile went nowhere, and the peer may wonder where we are.
void Association::go_on() {
  const std::vector<Session*> sessions = sessions_;
  for (Session* session : sessions) session->relocate(session->path());
  check_liveness();
}

/// RFC 4555 §3.6. Not at once behind the answer to IKE_AUTH, which it could overtake.
void Association::announce() {
  Task task;
  task.kind = Task::Kind::announce_addresses;
  task.not_before = established_ + announce_pause;
  add_task(std::move(task), true);
}

/// We do not decide, or the peer does not speak MOBIKE: our end alone changes.
void Association::change_local(const Path& path) {
  const Path to{path.local, current_->path().remote};
  if (!mobility_.assigned) mobility_.assigned = current_->path().local.address;
  const NatStatus& nat = current_->nat();
  // RFC 7296 §2.23: a peer that takes us to be behind a NAT follows what it authenticates.
  const bool followed = mobility_.supported || nat.local || nat.announced;
  if (!followed && peer_.may_call())
    return peer_.start_over(*this, "our address has changed, and it does not speak MOBIKE");
  if (mobility_.children_path) mobility_.children_path->local = to.local;
  relocate(to);
  move_children();
  if (mobility_.supported) {
    queue(Task::Kind::announce_addresses);  // RFC 4555 §3.6: from the new address, to where the peer was last
  } else {
    check_liveness();
  }
  peer_.count(PeerEvent::move);
  core_.report_limited("move " + peer_.config().name, log::Level::info, peer_.about().as(EventKind::peer_moved),
                       fmt::format("{}: our address is {} now", peer_.label(), to.local.address.to_string()));
}

std::vector<Path> Association::other_paths() const {
  std::vector<Path> others;
  for (const Path& path : mobility_.candidates) {
    if (same_addresses(path, current_->path()) || std::ranges::find(mobility_.refused, path) != mobility_.refused.end())
      continue;
    if (others.size() < max_other_paths) others.push_back(path);
  }
  return others;
}

std::vector<Path> Association::better_paths() const {
  std::vector<Path> better;
  for (const Path& path : mobility_.candidates) {
    if (same_addresses(path, current_->path())) return better;
    if (std::ranges::find(mobility_.refused, path) == mobility_.refused.end() && better.size() < max_other_paths)
      better.push_back(path);
  }
  return {};  // the path in use is none of them: it works, and nothing tells that it is worse
}

/// A path that has failed is given a while before it is tried again, and longer each time.
void Association::plan_return() {
  if (!leads() || better_paths().empty()) {
    mobility_.prefer_at.reset();
  } else if (!mobility_.prefer_at) {
    return_later();
  }
}

/// TCP is for want of better: how long UDP has failed says nothing about the network that comes next.
void Association::return_later() {
  const Duration pause = mobility_.prefer_pause.next(core_.random());
  mobility_.prefer_at = core_.now() + (peer_.config().tcp_port == 0 ? pause : std::min(pause, max_return_pause_by_tcp));
}

/// The peer may have asked for the current IKE SA in a rekey whose answer never reached it, since we have moved: it
/// listens on the one before. nullptr: not now.
Session* Association::session_for_update() const {
  if (current_->confirmed()) return current_;
  for (Session* session : sessions_) {
    if (session->state() != Session::State::superseded || session->close_wanted()) continue;
    return session->idle() ? session : nullptr;
  }
  return current_;
}

// ---- the initiator moves
// -------------------------------------------------------------------------------------------------------

void Association::relocate(const Path& path) {
  ++mobility_.moves;
  mobility_.pending_nat.reset();
  mobility_.check.reset();
  const std::vector<Session*> sessions = sessions_;
  for (Session* session : sessions) session->relocate(path);
}

void Association::lead_to(const Path& path, std::string_view why) {
  const Path children = child_path();
  // Where the operator or the name server says the peer is, nothing needs to be verified. What it said itself, does: we
  // could be used to flood someone (RFC 4555 §3.7).
  const bool known = path.remote.address == children.remote.address || peer_.names_address(path.remote.address);
  if (core_.now() - mobility_.moved_at > settled_time) mobility_.prefer_pause.reset();
  mobility_.moved_at = core_.now();
  mobility_.children_path.reset();
  relocate(path);
  if (known) {
    move_children();
  } else {
    mobility_.children_path = children;
  }
  queue(Task::Kind::update_addresses);
  mobility_.prefer_at.reset();
  plan_return();
  peer_.count(PeerEvent::move);
  core_.report_limited("move " + peer_.config().name, log::Level::info,
                       peer_.about(std::string(why)).as(EventKind::peer_moved),
                       fmt::format("{}: moves to {} ({})", peer_.label(), text_of(path), why));
}

void Association::on_answer_by(const Path& path) {
  if (!leads()) return;
  const auto found = std::ranges::find(mobility_.candidates, path);
  if (found != mobility_.candidates.end()) lead_to(Path(*found), "it answers there");
}

void Association::leave_refused_path(const std::string& why) {
  const Path path = current_->path();
  core_.report_limited("refused " + peer_.config().name, log::Level::warn, peer_.about(why),
                       fmt::format("{}: cannot use {}: {}", peer_.label(), text_of(path), why));
  mobility_.refused.push_back(path);
  if (const std::vector<Path> others = other_paths(); !others.empty()) lead_to(others.front(), "the next");
}

// ---- the peer moves
// ------------------------------------------------------------------------------------------------------------

void Association::follow_update(const Path& path, const std::optional<NatStatus>& nat) {
  const Path children = child_path();
  mobility_.children_path.reset();
  mobility_.assigned.reset();
  if (path != current_->path()) relocate(path);
  mobility_.check.reset();
  mobility_.pending_nat = nat;
  const bool known = path.remote.address == children.remote.address || peer_.configures_address(path.remote.address);
  if (known) return verified(path);
  mobility_.children_path = children;
  queue(Task::Kind::check_address);
}

void Association::verified(const Path& path) {
  const Path before = child_path();
  mobility_.children_path.reset();
  const auto nat = mobility_.pending_nat;
  if (path != current_->path()) relocate(path);
  mobility_.check.reset();
  mobility_.pending_nat.reset();
  if (nat) {
    for (Session* session : sessions_) session->set_nat(*nat);
  }
  move_children();
  if (before == path || lineage_.ours) return;
  peer_.count(PeerEvent::move);
  core_.report_limited("move " + peer_.config().name, log::Level::info, peer_.about().as(EventKind::peer_moved),
                       fmt::format("{}: now at {}", peer_.label(), path.remote.to_string()));
}

/// RFC 4555 §3.6: the list replaces the one before.
void Association::on_peer_addresses(const AddressNotifies& said, const Path& heard_on) {
  mobility_.peer_addresses = said.additional;
  if (!leads()) return;
  const IpAddress& in_use = current_->path().remote.address;
  const bool gone =
      heard_on.remote.address != in_use && std::ranges::find(said.additional, in_use) == said.additional.end();
  if (gone) {
    lead_to(heard_on, "the peer is there now");
  }
  find_paths();
}

/// RFC 7296 §2.23, for ESP: the end that is not behind a NAT follows the other one. With MOBIKE it must be one that may
/// (RFC 4555 §3.8: the responder; the initiator decides by itself), and another address is verified first.
void Association::on_esp_moved(const Path& path) {
  if (ended_ || redundant_ || !current_ || leads() || path == child_path()) return;
  const NatStatus& nat = current_->nat();
  if (!nat.remote || nat.local || path.local.port != core_.options().nat_port) return;
  if (!mobility_.supported || path.remote.address == child_path().remote.address) {
    mobility_.children_path.reset();
    return verified(path);
  }
  if (!peer_.may_come_from(path.remote.address)) return;
  mobility_.check = path;
  queue(Task::Kind::check_address);
}

/// A peer that does not follow our ESP needs to hear of a new NAT mapping, and a path that died is left for another
/// one, the sooner the better. Traffic that goes one way only is no news: the data plane asks less and less often.
void Association::on_unanswered_traffic() {
  if (ended_ || redundant_ || !current_ || !current_->ready() || peer_.config().liveness <= Duration::zero()) return;
  if (current_->nat().local || (leads() && !other_paths().empty())) check_liveness();
}

}  // namespace culvert::ike

// What `culvert status` shows of a peer.
#include <algorithm>
#include <chrono>

#include "clients.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

std::int64_t seconds_between(TimePoint from, TimePoint to) {
  return std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(to - from).count());
}

constexpr std::chrono::minutes turned_away_shown{5};

}  // namespace

PeerStatus Peer::status() const {
  PeerStatus status;
  status.peer = config_.id;
  status.name = config_.name;
  status.admin_down = admin_down_;
  status.retry_at = phase_ == Phase::backing_off && wanted_ ? retry_at_ : std::nullopt;
  using State = PeerStatus::State;
  if (preferred()) {
    status.state = State::established;
    describe_session(status);
  } else if (phase_ == Phase::resolving) {
    status.state = State::resolving;
  } else if (phase_ == Phase::connecting) {
    status.state = State::connecting;
    if (attempt_) status.path = attempt_->path();
  } else if (!admin_down_ && phase_ == Phase::idle && (any_address_ || config_.start != StartMode::always)) {
    status.state = State::waiting;
  }
  if (status.state != State::established) status.reason = reason_text();
  status.downs = tally_->counters[PeerEvent::down];
  if (last_down_) {
    status.last_down = last_down_->why;
    status.last_down_at = last_down_->at;
  }
  for (const auto& association : associations_) {
    status.ike_sas += association->num_open_sessions();
    status.child_sas += association->children().size();
  }
  for (const ChildNeed& need : needs_) status.children.push_back(child_status(need));
  describe_addresses(status);
  return status;
}

void Peer::describe_addresses(PeerStatus& status) const {
  if (client_) {
    status.client_of = client_->of->config().id;
    status.user = client_->user.to_string();
    status.groups = client_->groups;
    status.virtual_net = client_->net;
  } else if (is_template()) {
    status.clients = core_.clients().num_of(*this);
  } else if (!virtual_net_.addresses.empty()) {
    status.virtual_net = virtual_net_;
  }
}

std::string Peer::reason_text() const {
  const bool turned_away = !turned_away_.empty() && core_.now() - turned_away_at_ < turned_away_shown;
  if (!turned_away) return own_reason_text();
  const std::string theirs =
      fmt::format("{} (last {} s ago)", turned_away_, seconds_between(turned_away_at_, core_.now()));
  if (reason_.empty() && phase_ == Phase::idle) return theirs;
  return own_reason_text() + "; when it calls us: " + theirs;
}

std::string Peer::own_reason_text() const {
  std::string text = reason_;
  if (text.empty()) {
    if (phase_ == Phase::resolving) return "resolving its address";
    if (phase_ == Phase::connecting) {
      const std::string progress = attempt_ ? attempt_->progress() : "";
      return progress.empty() ? "first attempt under way" : progress;
    }
    if (config_.start == StartMode::on_traffic) return "waiting for traffic";
    return any_address_ || config_.start == StartMode::wait ? "waiting for the peer to call" : "not started";
  }
  text += fmt::format(" (last {} s ago)", seconds_between(reason_at_, core_.now()));
  if (phase_ == Phase::backing_off && retry_at_ && wanted_) {
    text += fmt::format("; next try in {} s", seconds_between(core_.now(), *retry_at_));
  } else if (phase_ == Phase::connecting) {
    text += "; trying again now";
  }
  return text;
}

void Peer::describe_session(PeerStatus& status) const {
  const Session* session = preferred()->current();
  if (!session) return;
  status.path = session->path();
  status.spi_i = session->spi_i();
  status.spi_r = session->spi_r();
  status.initiator = session->initiator();
  status.suite = to_string(session->suite());
  const AuthenticatedPeer& proof = preferred()->proof();
  status.remote_id = proof.identity().to_string();
  status.local_auth = own_auth_text(config_.auth.ours);
  status.remote_auth = proof.how();
  status.remote_certificate_until = proof.until();
  status.nat_local = session->nat().local;
  status.nat_remote = session->nat().remote;
  status.rtt = preferred()->rtt();
  status.jitter = preferred()->jitter();
  status.mobike = preferred()->mobility().supported;
  status.established = session->established_at();
  status.rekey_at = session->soft_at();
}

ChildStatus Peer::child_status(const ChildNeed& need) const {
  ChildStatus status;
  status.child = need.config->id;
  status.name = need.config->name;
  const Association* association = preferred();
  const ChildSa* child = association ? association->live_child(*need.config) : nullptr;
  if (child) {
    status.up = true;
    status.inbound_spi = child->inbound;
    status.outbound_spi = child->outbound;
    status.suite = to_string(child->suite);
    status.mode = child->mode;
    status.encapsulation = child->encapsulation;
    status.local = child->local;
    status.remote = child->remote;
    status.established = child->established;
    status.rekey_at = child->soft_at;
    return status;
  }
  if (!association) {
    status.reason = reason_text();
  } else if (!need.reason.empty()) {
    status.reason = need.reason;
    if (need.wanted && need.retry_at)
      status.reason += fmt::format("; next try in {} s", seconds_between(core_.now(), *need.retry_at));
  } else if (!need.declined.empty()) {
    status.reason = "we have refused what the peer asked for: " + need.declined;
  } else {
    status.reason = need.wanted                              ? "being negotiated"
                    : config_.start == StartMode::on_traffic ? "waiting for traffic"
                                                             : "waiting for the peer to ask for it";
  }
  return status;
}

}  // namespace culvert::ike

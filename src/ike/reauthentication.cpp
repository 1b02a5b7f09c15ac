// Reauthentication, RFC 7296 §2.8.3 and RFC 4478: what IKE_SA_INIT and IKE_AUTH prove is proved again, by a new IKE SA
// beside the old one. Make before break: the new one has all the children before the old one is deleted.
//
//   initiator                                                    responder
//   new: IKE_SA_INIT, IKE_AUTH (first child)  -->     <--        AUTH_LIFETIME; sends on the old child still
//   new: CREATE_CHILD_SA (the others)         -->     <--        sends on a new child as soon as it hears the peer
//   there old: Delete                               -->     <--        the old children are gone on both sides
//
// Which of two associations is the old one, and who deletes it, is settled in duplicates.cpp.
#include <algorithm>

#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr Duration reauthentication_pause = std::chrono::seconds(1);  // at least, between two
constexpr double earliest_part = 0.8, latest_part = 0.9;              // of the peer's AUTH_LIFETIME

}  // namespace

// ---- Session: the notify
// -------------------------------------------------------------------------------------------------------

/// RFC 4478 §3: the responder says in how many seconds it wants to see the peer authenticated again.
void Session::add_auth_lifetime(std::vector<Payload>& payloads) const {
  if (origin_.initiator || config().reauth_lifetime <= Duration::zero()) return;
  NotifyPayload notify = make_notify(NotifyType::auth_lifetime, Bytes(4));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(config().reauth_lifetime).count();
  store_be(notify.data.data(), static_cast<std::uint32_t>(seconds));
  payloads.emplace_back(std::move(notify));
}

/// In the IKE_AUTH response or, later, in an INFORMATIONAL request.
void Session::read_auth_lifetime(const Message& message) {
  const NotifyPayload* notify = message.find_notify(NotifyType::auth_lifetime);
  if (!notify || notify->data.size() != 4 || !association_) return;
  association_->limit_authentication(load_be<std::uint32_t>(notify->data.data()));
}

// ---- Association: when
// ---------------------------------------------------------------------------------------------------------

/// Who initiated reauthenticates a little early; the other end steps in when that has not happened.
Lifetime Association::authentication_lifetime() const {
  const PeerConfig& config = peer_.config();
  return lifetime_from(core_.now(), config.reauth_lifetime, lineage_.ours ? config.jitter : 0, core_.random());
}

void Association::limit_authentication(std::uint32_t seconds) {
  if (!lineage_.ours) return;  // RFC 4478 §2: it is the original responder's to say
  const Duration most = spread(std::chrono::seconds(seconds), earliest_part, latest_part, core_.random());
  const TimePoint at = core_.now() + std::max<Duration>(most, reauthentication_pause);
  if (authentication_.soft && *authentication_.soft <= at) return;
  authentication_.soft = at;
  core_.report(log::Level::info, peer_.about(),
               fmt::format("{}: it wants to be authenticated again within {} s", peer_.label(), seconds));
}

void Association::age_authentication(Duration age) {
  if (authentication_.soft) *authentication_.soft -= age;
  if (authentication_.hard) *authentication_.hard -= age;
}

void Association::reauthenticate_when_due() {
  const TimePoint now = core_.now();
  if (authentication_.hard && *authentication_.hard <= now) {
    authentication_ = {};
    core_.report(log::Level::warn, peer_.about(),
                 fmt::format("{}: it was not authenticated again in time (reauth_lifetime); closed", peer_.label()));
    return close_with_delete("it was not authenticated again in time");
  }
  if (!authentication_.soft || *authentication_.soft > now) return;
  authentication_.soft = now + spread(std::chrono::seconds(5), 0.8, 1.2, core_.random());  // when it cannot be now
  if (peer_.reauthenticate(*this))
    core_.report(log::Level::info, peer_.about().as(EventKind::reauthenticating),
                 fmt::format("{}: authenticating again, by a new IKE SA", peer_.label()));
}

/// The old one goes on as long as it may.
void Association::on_reauthentication_failed(const std::string& reason) {
  Duration pause = std::chrono::seconds(30);
  if (authentication_.hard)
    pause = std::clamp<Duration>((*authentication_.hard - core_.now()) / 4, reauthentication_pause, pause);
  authentication_.soft = core_.now() + spread(pause, 0.75, 1.25, core_.random());
  core_.report_limited(
      "reauthentication " + peer_.config().name, log::Level::warn, peer_.about(reason).as(EventKind::attempt_failed),
      fmt::format("{}: reauthentication failed: {}; the IKE SA that is up goes on", peer_.label(), reason));
}

// ---- Peer: the new IKE SA
// -------------------------------------------------------------------------------------------------------

bool Peer::reauthenticate(const Association& old) {
  const Session* session = old.current();
  if (admin_down_ || attempt_ || phase_ != Phase::idle || preferred() != &old || !session) return false;
  if (!old.lineage().ours && any_address_) return false;  // it has to call us
  // What is up now is what the new one has to carry.
  for (ChildNeed& need : needs_) need.wanted = need.wanted || old.live_child(*need.config);
  // §2.23: IKE may start on the port that the old one has moved to.
  const Session::Origin origin{true, core_.new_ike_spi(), IkeSpi(0), session->path(), {}};
  phase_ = Phase::connecting;
  attempt_ = &core_.add_session(std::make_unique<Session>(core_, origin, Session::State::init_sent, MessageId(0)));
  attempt_->start(*this);
  return attempt_ != nullptr;
}

Result<void> Peer::reauthenticate_now() {
  const Association* association = preferred();
  if (!association)
    return fail(Errc::invalid,
                fmt::format("{} is not up: {}", label(), reason_.empty() ? "it was not started" : reason_));
  if (any_address_ && !association->lineage().ours)
    return fail(Errc::invalid, fmt::format("{} has called us, and only it can do so again: `culvert kick` makes it "
                                           "(reauth_lifetime asks it to, RFC 4478)",
                                           label()));
  if (!reauthenticate(*association))
    return fail(Errc::invalid, fmt::format("{}: not now: a new IKE SA is being made already", label()));
  core_.report(log::Level::info, about().as(EventKind::reauthenticating),
               fmt::format("{}: authenticating again, by a new IKE SA", label()));
  return {};
}

}  // namespace culvert::ike

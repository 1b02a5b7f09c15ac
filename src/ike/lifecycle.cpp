// What later RFCs add to IKE_AUTH, one hook each for the messages that carry AUTH.
#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {

/// What goes behind AUTH, in either role.
void Session::add_auth_notifies(std::vector<Payload>& payloads) {
  add_crash_token(payloads);
  add_auth_lifetime(payloads);
  add_ticket(payloads);
}

/// From an authenticated peer; the association is there.
void Session::read_auth_notifies(const Message& message) {
  read_crash_token(message);
  read_auth_lifetime(message);
  read_ticket(message);
  settle_resumption();
}

std::optional<Session::Reply> Session::unwelcome(const Peer& claimed, const Peer* peer, const Message& message) const {
  const auto refuse = [](Reply reply) {
    reply.close = true;
    return reply;
  };
  if (!peer) return refuse(reply_with(refusal(NotifyType::temporary_failure, "too many clients")));
  if (claimed.admin_down() || peer->admin_down())
    return refuse(reply_with(refusal(NotifyType::temporary_failure, "administratively down")));
  const bool initial_contact = message.find_notify(NotifyType::initial_contact) != nullptr;
  std::string why =
      peer->refuses_second(origin_.path, created_, initial_contact, *identity_from(*message.find_id(true)));
  if (!why.empty()) {
    core_.report_limited("second " + claimed.config().name, log::Level::warn,
                         claimed.about(why).as(EventKind::auth_failed),
                         fmt::format("{}: a second IKE SA is refused: {}", claimed.label(), why));
    return refuse(reply_with(refusal(NotifyType::authentication_failed, std::move(why))));
  }
  // RFC 6023 §3: who has not announced it answers as to any message that lacks payloads.
  if (claimed.config().childless == ChildlessPolicy::never && !message.find<SaPayload>()) {
    core_.report_limited(
        "childless " + claimed.config().name, log::Level::warn, claimed.about(),
        fmt::format("{}: it wants an IKE SA without a child, and childless = \"never\"", claimed.label()));
    return invalid_syntax("IKE_AUTH without a child");
  }
  // RFC 6023 §4: all of them or none.
  if (!message.find<SaPayload>() && (message.find_ts(true) || message.find_ts(false)))
    return invalid_syntax("IKE_AUTH with traffic selectors and no SA");
  return std::nullopt;
}

}  // namespace culvert::ike

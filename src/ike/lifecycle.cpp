// What later RFCs add to IKE_AUTH, one hook each for the messages that carry AUTH.
#include <algorithm>
#include <array>

#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

/// RFC 7296 §3.12: who has sent it answers echoes in ESP dummy packets, and may be asked. It stands in IKE_AUTH, where
/// nobody but the peer reads it. The first half of SHA-256("culvert: echoes in ESP dummy packets, 1").
constexpr std::array<std::uint8_t, 16> echo_vendor_id = {0xfd, 0xcf, 0xf0, 0x43, 0x71, 0x79, 0x5f, 0xfe,
                                                         0x3f, 0x8a, 0x62, 0xba, 0x23, 0x76, 0x05, 0xd0};

bool answers_echoes(const Message& message) {
  return std::ranges::any_of(message.payloads, [](const Payload& payload) {
    const auto* vendor = std::get_if<VendorIdPayload>(&payload);
    return vendor && std::ranges::equal(vendor->data, echo_vendor_id);
  });
}

}  // namespace

/// What goes behind AUTH, in either role.
void Session::add_auth_notifies(std::vector<Payload>& payloads) {
  add_crash_token(payloads);
  add_auth_lifetime(payloads);
  add_ticket(payloads);
  payloads.emplace_back(VendorIdPayload{Bytes(echo_vendor_id.begin(), echo_vendor_id.end())});
}

/// From an authenticated peer; the association is there.
void Session::read_auth_notifies(const Message& message) {
  read_crash_token(message);
  read_auth_lifetime(message);
  read_ticket(message);
  if (answers_echoes(message)) association_->set_echoes();
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

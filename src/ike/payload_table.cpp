#include "payload_table.h"

#include <algorithm>
#include <vector>

#include "payloads.h"

namespace culvert::ike {
namespace {

struct Rule {
  PayloadType type;
  std::uint8_t at_least;
  std::uint8_t at_most;
};

using enum PayloadType;

// RFC 7296 §1.2. Notify, vendor ID and CERTREQ payloads come in any number and are not listed.
constexpr Rule init_rules[] = {{sa, 1, 1}, {ke, 1, 1}, {nonce, 1, 1}};
// §1.2: without AUTH the initiator asks for EAP.
constexpr Rule auth_request_rules[] = {{id_i, 1, 1}, {id_r, 0, 1}, {auth, 0, 1}, {cp, 0, 1},
                                       {sa, 0, 1},   {ts_i, 0, 1}, {ts_r, 0, 1}};
constexpr Rule auth_response_rules[] = {{id_r, 1, 1}, {auth, 1, 1}, {cp, 0, 1},
                                        {sa, 0, 1},   {ts_i, 0, 1}, {ts_r, 0, 1}};
// §2.16: EAP in between, AUTH at the end; the first response has IDr, and AUTH unless RFC 5998 is used.
constexpr Rule eap_request_rules[] = {{id_i, 0, 1}, {id_r, 0, 1}, {auth, 0, 1}, {eap, 0, 1}};
constexpr Rule eap_response_rules[] = {{id_r, 0, 1}, {auth, 0, 1}, {eap, 0, 1}, {cp, 0, 1},
                                       {sa, 0, 1},   {ts_i, 0, 1}, {ts_r, 0, 1}};
// §1.3.1–1.3.3.
constexpr Rule create_child_rules[] = {{sa, 1, 1}, {nonce, 1, 1}, {ke, 0, 1}, {ts_i, 0, 1}, {ts_r, 0, 1}};

// RFC 5723 §4.3.1.
constexpr Rule resume_rules[] = {{nonce, 1, 1}, {sa, 0, 0}, {ke, 0, 0}};

std::span<const Rule> rules_for(MessageKind kind) {
  switch (kind) {
    case MessageKind::init_request:
    case MessageKind::init_response:
      return init_rules;
    case MessageKind::auth_request:
      return auth_request_rules;
    case MessageKind::auth_response:
      return auth_response_rules;
    case MessageKind::eap_request:
      return eap_request_rules;
    case MessageKind::eap_response:
      return eap_response_rules;
    case MessageKind::create_child_request:
    case MessageKind::create_child_response:
      return create_child_rules;
    case MessageKind::resume_request:
    case MessageKind::resume_response:
      return resume_rules;
    case MessageKind::informational:
      return {};
  }
  return {};
}

bool is_response(MessageKind kind) {
  return kind == MessageKind::init_response || kind == MessageKind::resume_response ||
         kind == MessageKind::auth_response || kind == MessageKind::eap_response || kind == MessageKind::create_child_response;
}

/// What takes the place of the other payloads of a response.
bool excuses_absence(const Payload& payload) {
  const auto* notify = std::get_if<NotifyPayload>(&payload);
  return notify &&
         (is_error(notify->type) || notify->type == NotifyType::cookie || notify->type == NotifyType::ticket_nack);
}

}  // namespace

std::optional<PayloadProblem> check_payloads(MessageKind kind, std::span<const Payload> payloads) {
  for (const Payload& payload : payloads) {
    const auto* unknown = std::get_if<UnknownPayload>(&payload);
    if (unknown && unknown->critical) return PayloadProblem{PayloadProblem::Kind::unknown_critical, unknown->type};
  }
  const bool excused = is_response(kind) && std::ranges::any_of(payloads, excuses_absence);
  for (const Rule& rule : rules_for(kind)) {
    const auto num =
        std::ranges::count_if(payloads, [&](const Payload& payload) { return payload_type(payload) == rule.type; });
    const auto type = static_cast<std::uint8_t>(rule.type);
    if (num > rule.at_most) return PayloadProblem{PayloadProblem::Kind::repeated, type};
    if (num < rule.at_least && !excused) return PayloadProblem{PayloadProblem::Kind::missing, type};
  }
  return std::nullopt;
}

}  // namespace culvert::ike

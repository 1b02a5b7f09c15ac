#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "message.h"

namespace culvert::ike {

/// The messages of RFC 7296 §1.2–1.4, by what they may carry.
enum class MessageKind : std::uint8_t {
  init_request,
  init_response,
  auth_request,
  auth_response,
  eap_request,  ///< IKE_AUTH with EAP behind the first request (§2.16)
  eap_response,
  create_child_request,  ///< new child, child rekey: TS payloads; IKE rekey: none
  create_child_response,
  resume_request,  ///< RFC 5723
  resume_response,
  informational,  ///< request or response
};

/// Why a message's payloads do not make sense together, and what §2.21 and §2.5 let us answer.
struct PayloadProblem {
  enum class Kind : std::uint8_t {
    unknown_critical,  ///< UNSUPPORTED_CRITICAL_PAYLOAD with the type
    missing,           ///< INVALID_SYNTAX
    repeated,          ///< INVALID_SYNTAX
  } kind{};
  std::uint8_t type = 0;  ///< of the payload
};

/// Counts each payload against the table in payload_table.cpp. Payloads that the table does not name are left to be
/// ignored; the critical bit of known types is ignored (§2.5). A response with an error notify may lack the others
/// (§2.21).
[[nodiscard]] std::optional<PayloadProblem> check_payloads(MessageKind kind, std::span<const Payload> payloads);

}  // namespace culvert::ike

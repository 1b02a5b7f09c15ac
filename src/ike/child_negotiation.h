#pragma once
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "child.h"
#include "culvert/ike/endpoint.h"
#include "message.h"
#include "nat.h"
#include "proposal_select.h"

namespace culvert::ike {

/// We must tell the peer: an error notify, and what the operator should read.
struct Refusal {
  NotifyPayload notify;
  std::string why;  ///< to stand behind "peer NAME: "
};
[[nodiscard]] Refusal refusal(NotifyType type, std::string why);

/// The peer told us.
struct PeerRefusal {
  NotifyType type{};
  /// "NO_PROPOSAL_CHOSEN: …" with what an operator may do about it.
  [[nodiscard]] std::string to_string() const;
};

/// Where a child is negotiated: what its selectors and its encapsulation depend on.
struct ChildContext {
  const PeerConfig& peer;
  const Path& path;
  const NatStatus& nat;
  EspNegotiation negotiation = EspNegotiation::create_child;
};

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

/// Selectors and proposals of `config`; `spi` and `nonce` are the caller's, the key exchange comes later.
[[nodiscard]] ChildOffer make_offer(const ChildContext& context, const ChildConfig& config,
                                    const std::optional<Trigger>& trigger, Spi spi);
/// For a rekey: never less than what is in use (RFC 7296 §2.9.2), in the mode in use.
[[nodiscard]] ChildOffer make_rekey_offer(const ChildContext& context, const ChildSa& old, Spi spi);
/// [N(USE_TRANSPORT_MODE)], SA, [Ni, KEi], TSi, TSr; the nonce only when the offer has one (not in IKE_AUTH).
[[nodiscard]] std::vector<Payload> offer_payloads(const ChildOffer& offer);
/// Checks SAr2, TSi, TSr and the mode of the answer; the error is the reason for the operator.
[[nodiscard]] std::expected<ChildAgreement, std::string> accept_child(const ChildContext& context,
                                                                      const ChildOffer& offer, const Message& answer);

// ---- responder
// -----------------------------------------------------------------------------------------------------------------

struct ChildAnswer {
  ChildAgreement agreement;
  std::vector<Payload> head;  ///< [N(USE_TRANSPORT_MODE)], SA
  std::vector<Payload> tail;  ///< TSi, TSr
};
/// Picks the configured child by selectors and mode, narrows, and chooses the ESP suite. `rekeyed` fixes which child it
/// is. `spi` is ours.
[[nodiscard]] std::expected<ChildAnswer, Refusal> answer_child(const ChildContext& context, const Message& request,
                                                               const ChildSa* rekeyed, Spi spi);

}  // namespace culvert::ike

#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "proposal_select.h"

namespace culvert::ike {

/// What a negotiation asks of a proposal.
struct Terms {
  ProtocolId protocol = ProtocolId::ike;
  std::size_t spi_len = 0;
  bool with_ke = true;  ///< false: key exchange transforms are ignored (ESP in IKE_AUTH)
};
[[nodiscard]] inline Terms ike_terms(IkeNegotiation negotiation) noexcept {
  return {ProtocolId::ike, negotiation == IkeNegotiation::rekey ? 8U : 0U, true};
}
[[nodiscard]] inline Terms esp_terms(EspNegotiation negotiation) noexcept {
  return {ProtocolId::esp, 4, negotiation == EspNegotiation::create_child};
}

/// Whether a type is chosen in this negotiation (RFC 7296 §3.3.3).
[[nodiscard]] bool is_negotiated(TransformType type, Terms terms) noexcept;
[[nodiscard]] bool is_aead(const Transform& encryption) noexcept;
/// Those of one type, in order.
[[nodiscard]] std::vector<Transform> transforms_of(const Proposal& proposal, TransformType type);

/// Why a proposal of the peer's can't be used whatever we allow; nullopt when it can. To stand behind "its answer: " or
/// the like.
[[nodiscard]] std::optional<std::string> unacceptable(const Proposal& theirs, Terms terms);
/// Why nothing of `offered` fits `configured`: a sentence for the operator, of bounded length.
[[nodiscard]] std::string describe_mismatch(std::span<const Proposal> configured, std::span<const Proposal> offered,
                                            Terms terms);
/// The proposals in words, of bounded length: "aes256gcm16-prfsha384-x25519 or aes256-sha1…".
[[nodiscard]] std::string describe_set(std::span<const Proposal> proposals, Terms terms);

}  // namespace culvert::ike

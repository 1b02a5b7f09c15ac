#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/result.h"
#include "culvert/ike/proposal.h"
#include "message.h"

namespace culvert::ike {

/// Where an SA payload rides, which decides what belongs in it: SPI sizes (RFC 7296 §3.3.1) and key exchange transforms
/// (§1.2, §1.3).
enum class IkeNegotiation : std::uint8_t {
  initial,  ///< IKE_SA_INIT: no SPI
  rekey,    ///< CREATE_CHILD_SA for the IKE SA: SPI of 8 bytes
};
enum class EspNegotiation : std::uint8_t {
  ike_auth,      ///< no key exchange: what stands in the proposals is not sent, and ignored on receipt
  create_child,  ///< key exchange as configured (PFS); "none" among the configured ones allows to go without
};

/// What was agreed. `answer` is what the responder sends back: the number of the peer's proposal, exactly one transform
/// of each type, the SPI left empty for the caller to fill in. `peer_spi` is the one the peer sent (0 in IKE_SA_INIT).
struct IkeChoice {
  Proposal answer;
  IkeSuite suite;
  IkeSpi peer_spi;
};
struct EspChoice {
  Proposal answer;
  EspSuite suite;
  Spi peer_spi;
};

// ---- initiator -----------------------------------------------------------------------------------------------------

/// The proposals as they go out: numbered from 1, with our SPI; ESP in IKE_AUTH without key exchange and without
/// duplicates.
[[nodiscard]] std::vector<Proposal> offer_ike(std::span<const Proposal> configured, IkeNegotiation negotiation,
                                              IkeSpi spi = {});
[[nodiscard]] std::vector<Proposal> offer_esp(std::span<const Proposal> configured, EspNegotiation negotiation,
                                              Spi spi);

/// Checks the peer's answer against what offer_* made: one proposal, one that we offered, one transform a type (RFC
/// 7296 §2.7, §3.3.6). Errc::no_match says in words what is wrong with it.
[[nodiscard]] Result<IkeChoice> accept_ike(std::span<const Proposal> offered, const SaPayload& answer,
                                           IkeNegotiation negotiation);
[[nodiscard]] Result<EspChoice> accept_esp(std::span<const Proposal> offered, const SaPayload& answer,
                                           EspNegotiation negotiation);

// ---- responder -----------------------------------------------------------------------------------------------------

/// Our order of proposals, and of transforms within one, decides. Errc::no_match: `detail` is the sentence for the
/// operator, to stand behind "peer NAME: ", e.g. "its proposal has no key exchange we accept: it offered MODP1024, we
/// allow x25519, ECP256".
[[nodiscard]] Result<IkeChoice> choose_ike(std::span<const Proposal> configured, const SaPayload& offered,
                                           IkeNegotiation negotiation);
[[nodiscard]] Result<EspChoice> choose_esp(std::span<const Proposal> configured, const SaPayload& offered,
                                           EspNegotiation negotiation);

// ---- key exchange --------------------------------------------------------------------------------------------------

/// The method to guess first: the most preferred of the first proposal that has one; nullopt when there is none (or
/// only "none").
[[nodiscard]] std::optional<crypto::KeMethod> preferred_ke(std::span<const Proposal> proposals);
/// Whether one of the proposals allows this method: what an INVALID_KE_PAYLOAD may send us to (RFC 7296 §1.2), and no
/// other.
[[nodiscard]] bool offers_ke(std::span<const Proposal> proposals, crypto::KeMethod method);
/// A number of Transform Type 4 as a method that this build has.
[[nodiscard]] std::optional<crypto::KeMethod> ke_method(std::uint16_t id) noexcept;

/// Responder: does the initiator's KE payload (nullptr: it sent none) fit what was selected?
enum class KeFit : std::uint8_t {
  fits,    ///< use it
  unused,  ///< nothing was selected: no key exchange, whatever payload came
  wrong,   ///< answer INVALID_KE_PAYLOAD with the selected method
};
[[nodiscard]] KeFit ke_fit(std::optional<crypto::KeMethod> selected, const KePayload* payload) noexcept;
/// Our KE payload: the public value of `ke`.
[[nodiscard]] KePayload ke_payload(const crypto::KeyExchange& ke);
/// INVALID_KE_PAYLOAD: its data is the method we want, 2 bytes (RFC 7296 §1.2, §3.10.1).
[[nodiscard]] NotifyPayload invalid_ke_payload(crypto::KeMethod wanted);
/// The method of a received one; nullopt when malformed or a method that this build does not have.
[[nodiscard]] std::optional<crypto::KeMethod> wanted_ke(const NotifyPayload& notify) noexcept;

}  // namespace culvert::ike

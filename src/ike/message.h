#pragma once
#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ids.h"
#include "culvert/base/result.h"
#include "culvert/child_sa.h"
#include "culvert/crypto/aead.h"
#include "culvert/ike/identity.h"
#include "culvert/ike/proposal.h"

namespace culvert::ike {

enum class ExchangeType : std::uint8_t {
  ike_sa_init = 34,
  ike_auth = 35,
  create_child_sa = 36,
  informational = 37,
  ike_session_resume = 38,  ///< RFC 5723
};

enum class PayloadType : std::uint8_t {
  none = 0,
  sa = 33,
  ke = 34,
  id_i = 35,
  id_r = 36,
  cert = 37,
  certreq = 38,
  auth = 39,
  nonce = 40,
  notify = 41,
  delete_ = 42,
  vendor_id = 43,
  ts_i = 44,
  ts_r = 45,
  sk = 46,
  cp = 47,
  eap = 48,
  skf = 53,
};

/// RFC 7296 §3.10.1. Error types are below 16384.
enum class NotifyType : std::uint16_t {
  unsupported_critical_payload = 1,
  invalid_ike_spi = 4,
  invalid_major_version = 5,
  invalid_syntax = 7,
  invalid_message_id = 9,
  invalid_spi = 11,
  no_proposal_chosen = 14,
  invalid_ke_payload = 17,
  authentication_failed = 24,
  single_pair_required = 34,
  no_additional_sas = 35,
  internal_address_failure = 36,
  failed_cp_required = 37,
  ts_unacceptable = 38,
  invalid_selectors = 39,
  unacceptable_addresses = 40,
  unexpected_nat_detected = 41,
  temporary_failure = 43,
  child_sa_not_found = 44,
  initial_contact = 16384,
  set_window_size = 16385,
  additional_ts_possible = 16386,
  ipcomp_supported = 16387,
  nat_detection_source_ip = 16388,
  nat_detection_destination_ip = 16389,
  cookie = 16390,
  use_transport_mode = 16391,
  http_cert_lookup_supported = 16392,
  rekey_sa = 16393,
  esp_tfc_padding_not_supported = 16394,
  non_first_fragments_also = 16395,
  mobike_supported = 16396,
  additional_ip4_address = 16397,
  additional_ip6_address = 16398,
  no_additional_addresses = 16399,
  update_sa_addresses = 16400,
  cookie2 = 16401,
  no_nats_allowed = 16402,
  auth_lifetime = 16403,
  redirect_supported = 16406,
  redirect = 16407,
  redirected_from = 16408,
  ticket_lt_opaque = 16409,
  ticket_request = 16410,
  ticket_ack = 16411,
  ticket_nack = 16412,
  ticket_opaque = 16413,
  eap_only_authentication = 16417,
  childless_ikev2_supported = 16418,
  qcd_token = 16419,
  ikev2_fragmentation_supported = 16430,
  signature_hash_algorithms = 16431,
};
[[nodiscard]] std::string_view notify_name(NotifyType type) noexcept;  ///< RFC spelling, or "unknown notify"
[[nodiscard]] inline bool is_error(NotifyType type) noexcept {
  return static_cast<std::uint16_t>(type) < 16384;
}

/// RFC 7296 §3.1.
struct Header {
  IkeSpi spi_i, spi_r;
  ExchangeType exchange{};
  bool initiator = false;  ///< I flag: sent by the original initiator of this IKE SA
  bool response = false;   ///< R flag
  MessageId message_id;
};
inline constexpr std::size_t header_len = 28;
inline constexpr std::size_t generic_header_len = 4;  ///< of a payload, RFC 7296 §3.2

// ---- payloads as values --------------------------------------------------------------------------------------------

struct SaPayload {
  std::vector<Proposal> proposals;
};
struct KePayload {
  std::uint16_t method = 0;
  Bytes data;
};
struct IdPayload {
  bool initiator = true;
  std::uint8_t type = 0;
  std::array<std::uint8_t, 3> reserved{};
  Bytes data;
  [[nodiscard]] Bytes body() const;  ///< type | reserved | data: what AUTH covers (§2.15)
};
struct AuthPayload {
  std::uint8_t method = 0;  ///< 2 = shared key MIC
  Bytes data;
};
struct NoncePayload {
  Bytes data;  ///< 16…256 bytes (§3.9)
};
struct NotifyPayload {
  NotifyType type{};
  ProtocolId protocol = ProtocolId::none;
  Bytes spi;
  Bytes data;
};
/// Of no SA in particular: no protocol, no SPI.
[[nodiscard]] inline NotifyPayload make_notify(NotifyType type, Bytes data = {}) {
  return {type, ProtocolId::none, {}, std::move(data)};
}
struct DeletePayload {
  ProtocolId protocol = ProtocolId::ike;
  std::vector<Bytes> spis;
};
struct VendorIdPayload {
  Bytes data;
};
struct TsPayload {
  bool initiator = true;
  std::vector<TrafficSelector> selectors;
};
struct CertPayload {
  std::uint8_t encoding = 0;
  Bytes data;
};
struct CertReqPayload {
  std::uint8_t encoding = 0;
  Bytes data;
};
struct EapPayload {
  Bytes data;
};
/// RFC 7296 §3.15.
enum class CfgType : std::uint8_t { request = 1, reply = 2, set = 3, ack = 4 };
/// RFC 7296 §3.15.1, RFC 8598 §3: those that we know; others stay as they came.
enum class CfgAttributeType : std::uint16_t {
  internal_ip4_address = 1,
  internal_ip4_netmask = 2,
  internal_ip4_dns = 3,
  internal_ip6_address = 8,
  internal_ip6_dns = 10,
  internal_ip4_subnet = 13,
  internal_ip6_subnet = 15,
  internal_dns_domain = 25,
};
struct CfgAttribute {
  CfgAttributeType type{};
  Bytes value;
};
struct CpPayload {
  CfgType type{};
  std::vector<CfgAttribute> attributes;
};
/// Not understood. In a message that parsed, a critical one stands here for the session to answer
/// UNSUPPORTED_CRITICAL_PAYLOAD (§2.5).
struct UnknownPayload {
  std::uint8_t type = 0;
  bool critical = false;
};
/// Which part of a message a fragment is: 1 ≤ number ≤ total (RFC 7383 §2.5).
struct FragmentPosition {
  std::uint16_t number = 0, total = 0;
};
/// Still encrypted: where the SK (or SKF) payload stands in the datagram.
struct EncryptedPayload {
  PayloadType inner_first = PayloadType::none;
  std::size_t header_offset = 0;
  std::size_t body_offset = 0;  ///< behind the generic header, and the position of a fragment
  std::size_t body_len = 0;
  std::optional<FragmentPosition> fragment;
};

using Payload =
    std::variant<SaPayload, KePayload, IdPayload, AuthPayload, NoncePayload, NotifyPayload, DeletePayload,
                 VendorIdPayload, TsPayload, CertPayload, CertReqPayload, EapPayload, CpPayload, UnknownPayload>;

struct Message {
  Header header;
  std::vector<Payload> payloads;              ///< in the order of the wire
  std::optional<EncryptedPayload> encrypted;  ///< set when the message has an SK payload, which is always the last one

  template <class T>
  [[nodiscard]] const T* find() const noexcept {
    for (const auto& payload : payloads)
      if (const T* found = std::get_if<T>(&payload)) return found;
    return nullptr;
  }
  [[nodiscard]] const NotifyPayload* find_notify(NotifyType type) const noexcept;
  [[nodiscard]] const NotifyPayload* first_error() const noexcept;  ///< first notify that is an error
  [[nodiscard]] const IdPayload* find_id(bool initiator) const noexcept;
  [[nodiscard]] const TsPayload* find_ts(bool initiator) const noexcept;
};

/// Why a message could not be used, and what the RFC lets us tell the peer about it.
struct ParseError {
  enum class Kind : std::uint8_t {
    malformed_header,       ///< shorter than its header, or its length field is wrong: dropped
    invalid_major_version,  ///< §2.5; `header` is set: INVALID_MAJOR_VERSION may be answered
    invalid_syntax,         ///< a payload does not follow its grammar: INVALID_SYNTAX when authenticated (§2.21)
  } kind{};
  Header header{};
  const char* where = "";  ///< which payload or field
};

/// The header alone. Bytes are one datagram, without the non-ESP marker.
[[nodiscard]] std::expected<Header, ParseError> parse_header(ByteView bytes);
/// Header and unencrypted payloads; an SK payload is located, not opened, and ends the message. At most max_payloads
/// payloads.
[[nodiscard]] std::expected<Message, ParseError> parse(ByteView bytes);
/// A payload chain (the content of SK, already decrypted).
[[nodiscard]] std::expected<std::vector<Payload>, ParseError> parse_payloads(PayloadType first, ByteView bytes);

inline constexpr std::size_t max_payloads = 64;
inline constexpr std::size_t max_proposals = 64;    ///< of one SA payload
inline constexpr std::size_t max_transforms = 128;  ///< of one proposal
inline constexpr std::size_t max_selectors = 64;    ///< of one TS payload

/// A message without SK (IKE_SA_INIT and unprotected notifies). Empty when it would be longer than 65535 bytes.
[[nodiscard]] Bytes build(const Header& header, const std::vector<Payload>& payloads);
/// The payload chain alone: its bytes and the type of its first payload.
struct PayloadChain {
  PayloadType first = PayloadType::none;
  Bytes bytes;
};
[[nodiscard]] PayloadChain build_payloads(const std::vector<Payload>& payloads);

// ---- SK payload (RFC 7296 §3.14, RFC 5282), SKF payload (RFC 7383 §2.5) --------------------------------------------

/// One direction's protection of SK and SKF payloads. AEAD: the IV is a counter of this key. Owned by an IkeSa, control
/// thread.
class SkProtection {
 public:
  /// `encryption` is key | salt for AEADs, `integrity` empty for them.
  [[nodiscard]] static Result<SkProtection> create(crypto::CipherSuite suite, ByteView encryption, ByteView integrity);
  /// The whole datagram: header, SK payload with `payloads` inside. Errc::invalid beyond 65535 bytes, Errc::exhausted
  /// without IVs.
  [[nodiscard]] Result<Bytes> seal(const Header& header, const std::vector<Payload>& payloads);
  [[nodiscard]] Result<Bytes> seal_chain(const Header& header, const PayloadChain& chain);
  /// The same around a plaintext that is already padded and ends with its pad length; CBC wants whole blocks
  /// (Errc::invalid).
  [[nodiscard]] Result<Bytes> seal_plaintext(const Header& header, PayloadType first, ByteView plaintext);
  /// As many fragments as it takes for none to be longer than `max_len` bytes, each sealed on its own; whether it is
  /// too long for one message is not asked. Errc::invalid when `max_len` leaves no room for content.
  [[nodiscard]] Result<std::vector<Bytes>> seal_fragments(const Header& header, const PayloadChain& chain,
                                                          std::size_t max_len);
  /// Checks the ICV of `datagram` (as parsed into `message`), then parses what is inside: the payloads inside only
  /// (what stood beside SK is unauthenticated and not returned). Errc::authentication when the ICV does not hold;
  /// ParseError invalid_syntax inside.
  struct OpenError {
    bool authentic = false;
    ParseError parse{};
  };  ///< authentic: the ICV held, the content is malformed
  [[nodiscard]] std::expected<std::vector<Payload>, OpenError> open(ByteView datagram, const Message& message) const;
  /// The same, but not parsed: the payload chain of an SK payload, or a fragment's part of one.
  [[nodiscard]] std::expected<Bytes, OpenError> open_content(ByteView datagram, const Message& message) const;
  /// Bytes of the message that seal makes of so much.
  [[nodiscard]] std::size_t sealed_len(const PayloadChain& chain) const noexcept;

  /// As given to create, without the integrity key.
  [[nodiscard]] Secret copy_of_encryption() const { return key_->copy_of_encryption(); }

  SkProtection(SkProtection&&) noexcept = default;
  SkProtection& operator=(SkProtection&&) noexcept = default;

 private:
  SkProtection() = default;
  [[nodiscard]] Bytes padded(ByteView content) const;
  [[nodiscard]] Result<Bytes> seal_message(const Header& header, PayloadType first,
                                           const std::optional<FragmentPosition>& position, ByteView plaintext);
  std::unique_ptr<crypto::AeadKey> key_;
  std::uint64_t iv_counter_ = 0;  ///< AEAD; CBC takes random IVs
};

}  // namespace culvert::ike

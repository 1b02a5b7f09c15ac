// Payloads in words. What is secret, or could help to find a secret, is told by its kind alone.
#include <fmt/format.h>

#include "authentication.h"
#include "culvert/base/log.h"
#include "trace.h"
#include "traffic_selector.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_text_len = 1024;

template <class Range, class ToText>
std::string joined(const Range& range, ToText to_text, std::string_view between = " ") {
  std::string text;
  for (const auto& item : range) {
    if (text.size() > max_text_len) return text + "...";
    if (!text.empty()) text += between;
    text += to_text(item);
  }
  return text;
}

std::string words(const SaPayload& sa) {
  return "SA(" +
         joined(
             sa.proposals, [](const Proposal& proposal) { return to_string(proposal); }, ", ") +
         ")";
}

std::string words(const KePayload& ke) {
  Transform transform;
  transform.type = TransformType::ke;
  transform.id = ke.method;
  return fmt::format("KE({})", transform_name(transform));
}

std::string words(const IdPayload& id) {
  return fmt::format("ID{}({})", id.initiator ? "i" : "r", identity_text(id));
}

/// IANA "IKEv2 Authentication Method".
std::string words(const AuthPayload& auth) {
  switch (auth.method) {
    case 1:
      return "AUTH(RSA signature)";
    case 2:
      return "AUTH(shared key)";
    case 9:
    case 10:
    case 11:
      return "AUTH(ECDSA)";
    case 13:
      return "AUTH(NULL)";
    case 14:
      return "AUTH(signature)";
    default:
      return fmt::format("AUTH(method {})", auth.method);
  }
}

std::string words(const NoncePayload&) {
  return "nonce";
}

std::string words(const NotifyPayload& notify) {
  const std::string_view name = notify_name(notify.type);
  const std::string text =
      name.starts_with("unknown") ? fmt::format("notify {}", static_cast<unsigned>(notify.type)) : std::string(name);
  if (notify.type == NotifyType::invalid_ke_payload && notify.data.size() == 2) {
    Transform wanted;
    wanted.type = TransformType::ke;
    wanted.id = load_be<std::uint16_t>(notify.data.data());
    return fmt::format("N({}: {} is wanted)", text, transform_name(wanted));
  }
  if (notify.type == NotifyType::rekey_sa && notify.spi.size() == 4)
    return fmt::format("N({} 0x{:08x})", text, load_be<std::uint32_t>(notify.spi.data()));
  return fmt::format("N({})", text);
}

std::string words(const DeletePayload& deletion) {
  if (deletion.protocol == ProtocolId::ike) return "D(IKE SA)";
  return "D(" +
         joined(deletion.spis,
                [](const Bytes& spi) {
                  return spi.size() == 4 ? fmt::format("0x{:08x}", load_be<std::uint32_t>(spi.data()))
                                         : std::string("?");
                }) +
         ")";
}

std::string words(const VendorIdPayload&) {
  return "V";
}

std::string words(const TsPayload& ts) {
  return fmt::format("TS{}({})", ts.initiator ? "i" : "r",
                     joined(ts.selectors, [](const TrafficSelector& selector) { return to_string(selector); }));
}

std::string words(const CertPayload& cert) {
  return fmt::format("CERT({} bytes)", cert.data.size());
}

std::string words(const CertReqPayload&) {
  return "CERTREQ";
}

/// RFC 3748 §4: code and type; never what is in it.
std::string words(const EapPayload& eap) {
  constexpr std::string_view codes[] = {"?", "request", "response", "success", "failure"};
  const std::size_t code = eap.data.empty() || eap.data[0] > 4 ? 0 : eap.data[0];
  if (eap.data.size() < 5 || code > 2) return fmt::format("EAP({})", codes[code]);
  switch (eap.data[4]) {
    case 1:
      return fmt::format("EAP({}, identity)", codes[code]);
    case 3:
      return fmt::format("EAP({}, nak)", codes[code]);
    case 13:
      return fmt::format("EAP({}, TLS)", codes[code]);
    case 26:
      return fmt::format("EAP({}, MSCHAPv2)", codes[code]);
    default:
      return fmt::format("EAP({}, type {})", codes[code], eap.data[4]);
  }
}

std::string words(const CpPayload& cp) {
  constexpr std::string_view types[] = {"?", "request", "reply", "set", "ack"};
  const auto type = static_cast<std::size_t>(cp.type);
  return fmt::format("CP({}, {} attributes)", types[type > 4 ? 0 : type], cp.attributes.size());
}

std::string words(const UnknownPayload& unknown) {
  return fmt::format("payload {}{}", unknown.type, unknown.critical ? " (critical)" : "");
}

/// Printable ASCII, whatever a peer has put into its identity or selectors.
std::string clean(std::string text) {
  if (text.size() > max_text_len) text = text.substr(0, max_text_len) + "...";
  for (char& c : text)
    if (c < 0x20 || c > 0x7e) c = '?';
  return text;
}

}  // namespace

std::string describe(const std::vector<Payload>& payloads) {
  return clean(joined(
      payloads, [](const Payload& payload) { return std::visit([](const auto& one) { return words(one); }, payload); },
      ", "));
}

std::string_view exchange_name(std::uint8_t exchange) noexcept {
  switch (static_cast<ExchangeType>(exchange)) {
    case ExchangeType::ike_sa_init:
      return "IKE_SA_INIT";
    case ExchangeType::ike_auth:
      return "IKE_AUTH";
    case ExchangeType::create_child_sa:
      return "CREATE_CHILD_SA";
    case ExchangeType::informational:
      return "INFORMATIONAL";
    case ExchangeType::ike_session_resume:
      return "IKE_SESSION_RESUME";
  }
  return "";
}

}  // namespace culvert::ike

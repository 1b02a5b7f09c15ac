// The contents of the payloads of RFC 7296 §3.4–§3.16, each: its diagram, its parser, its builder. Reserved fields are
// sent as zero and ignored on receipt (§2.5); those of the ID payload are kept, because AUTH covers them (§2.15).
#include "payloads.h"

#include <algorithm>

namespace culvert::ike {
namespace {

template <class T>
using Parsed = std::expected<T, PayloadError>;

constexpr std::size_t min_nonce_len = 16, max_nonce_len = 256;  // §3.9
constexpr std::size_t max_cookie_len = 64;                      // §2.6
constexpr std::size_t max_deleted_spis = 1024;                  // ours

Bytes copy(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

// §3.4: Key Exchange. §3.5: Identification. §3.8: Authentication. §3.6, §3.7: Certificate (Request), whose first byte
// is the encoding.
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |   Diffie-Hellman Group Num    |           RESERVED            |  KE
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |   ID Type     |                 RESERVED                      |  ID
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// | Auth Method   |                RESERVED                       |  AUTH
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                             Data                              ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
Parsed<Payload> parse_ke(Reader reader) {
  const auto method = reader.u16();
  if (!method || !reader.skip(2) || reader.empty()) return std::unexpected("KE payload is too short");
  return KePayload{*method, copy(reader.rest())};
}

void write(Writer& writer, const KePayload& ke) {
  writer.u16(ke.method);
  writer.zeros(2);
  writer.bytes(ke.data);
}

Parsed<Payload> parse_id(Reader reader, bool initiator) {
  IdPayload id;
  id.initiator = initiator;
  const auto type = reader.u8();
  const auto reserved = reader.take(id.reserved.size());
  if (!type || !reserved) return std::unexpected("ID payload is too short");
  id.type = *type;
  std::ranges::copy(*reserved, id.reserved.begin());
  id.data = copy(reader.rest());
  return id;
}

void write(Writer& writer, const IdPayload& id) {
  writer.bytes(id.body());
}

Parsed<Payload> parse_auth(Reader reader) {
  const auto method = reader.u8();
  if (!method || !reader.skip(3)) return std::unexpected("AUTH payload is too short");
  return AuthPayload{*method, copy(reader.rest())};
}

void write(Writer& writer, const AuthPayload& auth) {
  writer.u8(auth.method);
  writer.zeros(3);
  writer.bytes(auth.data);
}

Parsed<Payload> parse_cert(Reader reader) {
  const auto encoding = reader.u8();
  if (!encoding) return std::unexpected("CERT payload is empty");
  return CertPayload{*encoding, copy(reader.rest())};
}

void write(Writer& writer, const CertPayload& cert) {
  writer.u8(cert.encoding);
  writer.bytes(cert.data);
}

Parsed<Payload> parse_certreq(Reader reader) {
  const auto encoding = reader.u8();
  if (!encoding) return std::unexpected("CERTREQ payload is empty");
  return CertReqPayload{*encoding, copy(reader.rest())};
}

void write(Writer& writer, const CertReqPayload& request) {
  writer.u8(request.encoding);
  writer.bytes(request.data);
}

Parsed<Payload> parse_nonce(ByteView body) {
  if (body.size() < min_nonce_len || body.size() > max_nonce_len) return std::unexpected("length of the nonce");
  return NoncePayload{copy(body)};
}

void write(Writer& writer, const NoncePayload& nonce) {
  writer.bytes(nonce.data);
}
void write(Writer& writer, const VendorIdPayload& vendor) {
  writer.bytes(vendor.data);
}
void write(Writer& writer, const EapPayload& eap) {
  writer.bytes(eap.data);
}
void write(Writer&, const UnknownPayload&) {}

/// SPIs of AH and ESP have 4 bytes; the IKE SA is named by the header, never by an SPI (§3.10, §3.11).
bool is_child_protocol(ProtocolId protocol) {
  return protocol == ProtocolId::ah || protocol == ProtocolId::esp;
}

// §3.10: Notify.
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |  Protocol ID  |   SPI Size    |      Notify Message Type      |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                Security Parameter Index (SPI)                 ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                       Notification Data                       ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
Parsed<Payload> parse_notify(Reader reader) {
  NotifyPayload notify;
  const auto protocol = reader.u8();
  const auto spi_len = reader.u8();
  const auto type = reader.u16();
  if (!protocol || !spi_len || !type) return std::unexpected("notify is too short");
  const auto spi = reader.take(*spi_len);
  if (!spi) return std::unexpected("SPI size of a notify");
  notify.type = static_cast<NotifyType>(*type);
  notify.protocol = static_cast<ProtocolId>(*protocol);
  if (is_child_protocol(notify.protocol) && *spi_len != 0 && *spi_len != 4)
    return std::unexpected("SPI size of a notify");
  notify.spi = copy(*spi);
  notify.data = copy(reader.rest());
  if (notify.type == NotifyType::cookie && (notify.data.empty() || notify.data.size() > max_cookie_len)) {
    return std::unexpected("length of the cookie");
  }
  return notify;
}

void write(Writer& writer, const NotifyPayload& notify) {
  writer.u8(static_cast<std::uint8_t>(notify.protocol));
  writer.u8(static_cast<std::uint8_t>(notify.spi.size()));
  writer.u16(static_cast<std::uint16_t>(notify.type));
  writer.bytes(notify.spi);
  writer.bytes(notify.data);
}

// §3.11: Delete.
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// | Protocol ID   |   SPI Size    |          Num of SPIs          |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~               Security Parameter Index(es) (SPI)              ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
Parsed<Payload> parse_delete(Reader reader) {
  DeletePayload del;
  const auto protocol = reader.u8();
  const auto spi_len = reader.u8();
  const auto num_spis = reader.u16();
  if (!protocol || !spi_len || !num_spis) return std::unexpected("delete is too short");
  del.protocol = static_cast<ProtocolId>(*protocol);
  if (*spi_len != (is_child_protocol(del.protocol) ? 4 : 0)) return std::unexpected("SPI size of a delete");
  if (reader.remaining() != std::size_t{*spi_len} * *num_spis) return std::unexpected("number of SPIs of a delete");
  if (*spi_len == 0) return del;
  if (*num_spis > max_deleted_spis) return std::unexpected("number of SPIs of a delete");
  while (!reader.empty()) del.spis.push_back(copy(*reader.take(*spi_len)));
  return del;
}

void write(Writer& writer, const DeletePayload& del) {
  writer.u8(static_cast<std::uint8_t>(del.protocol));
  writer.u8(is_child_protocol(del.protocol) ? 4 : 0);
  writer.u16(static_cast<std::uint16_t>(del.spis.size()));
  for (const Bytes& spi : del.spis) writer.bytes(spi);
}

// §3.13: Traffic Selectors: their number, then each as in §3.13.1.
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// | Number of TSs |                 RESERVED                      |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |   TS Type     |IP Protocol ID*|       Selector Length         |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |           Start Port*         |           End Port*           |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                         Starting Address*                     ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                         Ending Address*                       ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
constexpr std::uint8_t ts_ipv4_addr_range = 7, ts_ipv6_addr_range = 8;
constexpr std::size_t selector_header_len = 8;

/// Reads one selector. nullopt: of a type that we do not know, skipped.
Parsed<std::optional<TrafficSelector>> parse_selector(Reader& reader) {
  const auto type = reader.u8();
  const auto protocol = reader.u8();
  const auto length = reader.u16();
  if (!type || !protocol || !length || *length < 4) return std::unexpected("traffic selector is cut off");
  const auto body = reader.take(*length - 4U);
  if (!body) return std::unexpected("traffic selector length");
  if (*type != ts_ipv4_addr_range && *type != ts_ipv6_addr_range) return std::nullopt;
  const std::size_t address_len = *type == ts_ipv4_addr_range ? 4 : 16;
  if (*length != selector_header_len + 2 * address_len) return std::unexpected("traffic selector length");

  Reader inner(*body);
  TrafficSelector selector;
  selector.protocol = *protocol;
  selector.start_port = *inner.u16();
  selector.end_port = *inner.u16();
  selector.first = *IpAddress::from_bytes(*inner.take(address_len));
  selector.last = *IpAddress::from_bytes(*inner.take(address_len));
  if (selector.last < selector.first) return std::unexpected("traffic selector with its addresses reversed");
  const bool opaque = selector.start_port == 65535 && selector.end_port == 0;
  if (selector.start_port > selector.end_port && !opaque)
    return std::unexpected("traffic selector with its ports reversed");
  return selector;
}

Parsed<Payload> parse_ts(Reader reader, bool initiator) {
  TsPayload ts;
  ts.initiator = initiator;
  const auto num_selectors = reader.u8();
  if (!num_selectors || !reader.skip(3)) return std::unexpected("TS payload is too short");
  if (*num_selectors == 0 || *num_selectors > max_selectors) return std::unexpected("number of traffic selectors");
  for (std::size_t i = 0; i < *num_selectors; ++i) {
    const auto selector = parse_selector(reader);
    if (!selector) return std::unexpected(selector.error());
    if (*selector) ts.selectors.push_back(**selector);
  }
  if (!reader.empty()) return std::unexpected("number of traffic selectors");
  return ts;
}

void write(Writer& writer, const TsPayload& ts) {
  writer.u8(static_cast<std::uint8_t>(ts.selectors.size()));
  writer.zeros(3);
  for (const TrafficSelector& selector : ts.selectors) {
    writer.u8(selector.first.is_v4() ? ts_ipv4_addr_range : ts_ipv6_addr_range);
    writer.u8(selector.protocol);
    const auto length = writer.length16(2);
    writer.u16(selector.start_port);
    writer.u16(selector.end_port);
    writer.bytes(selector.first.bytes());
    writer.bytes(selector.last.bytes());
  }
}

void write(Writer& writer, const SaPayload& sa) {
  write_sa(writer, sa);
}

void write(Writer& writer, const CpPayload& cp) {
  write_cp(writer, cp);
}

struct TypeOf {
  PayloadType operator()(const SaPayload&) const { return PayloadType::sa; }
  PayloadType operator()(const KePayload&) const { return PayloadType::ke; }
  PayloadType operator()(const IdPayload& id) const { return id.initiator ? PayloadType::id_i : PayloadType::id_r; }
  PayloadType operator()(const AuthPayload&) const { return PayloadType::auth; }
  PayloadType operator()(const NoncePayload&) const { return PayloadType::nonce; }
  PayloadType operator()(const NotifyPayload&) const { return PayloadType::notify; }
  PayloadType operator()(const DeletePayload&) const { return PayloadType::delete_; }
  PayloadType operator()(const VendorIdPayload&) const { return PayloadType::vendor_id; }
  PayloadType operator()(const TsPayload& ts) const { return ts.initiator ? PayloadType::ts_i : PayloadType::ts_r; }
  PayloadType operator()(const CertPayload&) const { return PayloadType::cert; }
  PayloadType operator()(const CertReqPayload&) const { return PayloadType::certreq; }
  PayloadType operator()(const EapPayload&) const { return PayloadType::eap; }
  PayloadType operator()(const CpPayload&) const { return PayloadType::cp; }
  PayloadType operator()(const UnknownPayload& unknown) const { return static_cast<PayloadType>(unknown.type); }
};

}  // namespace

std::expected<Payload, PayloadError> parse_payload(PayloadType type, bool critical, ByteView body) {
  const Reader reader(body);
  switch (type) {
    case PayloadType::sa: {
      auto sa = parse_sa(body);
      if (!sa) return std::unexpected(sa.error());
      return std::move(*sa);
    }
    case PayloadType::ke:
      return parse_ke(reader);
    case PayloadType::id_i:
      return parse_id(reader, true);
    case PayloadType::id_r:
      return parse_id(reader, false);
    case PayloadType::cert:
      return parse_cert(reader);
    case PayloadType::certreq:
      return parse_certreq(reader);
    case PayloadType::auth:
      return parse_auth(reader);
    case PayloadType::nonce:
      return parse_nonce(body);
    case PayloadType::notify:
      return parse_notify(reader);
    case PayloadType::delete_:
      return parse_delete(reader);
    case PayloadType::vendor_id:
      return VendorIdPayload{copy(body)};
    case PayloadType::ts_i:
      return parse_ts(reader, true);
    case PayloadType::ts_r:
      return parse_ts(reader, false);
    case PayloadType::cp: {
      auto cp = parse_cp(body);
      if (!cp) return std::unexpected(cp.error());
      return std::move(*cp);
    }
    case PayloadType::eap:
      return EapPayload{copy(body)};
    case PayloadType::none:
    case PayloadType::sk:
    case PayloadType::skf:
      break;
  }
  // §2.5: the critical bit counts for types that we do not know, and is ignored for all others.
  return UnknownPayload{static_cast<std::uint8_t>(type), critical};
}

PayloadType payload_type(const Payload& payload) noexcept {
  return std::visit(TypeOf{}, payload);
}

void write_payload(Writer& writer, const Payload& payload) {
  std::visit([&writer](const auto& value) { write(writer, value); }, payload);
}

Bytes IdPayload::body() const {
  Bytes body;
  body.reserve(4 + data.size());
  Writer writer(body);
  writer.u8(type);
  writer.bytes(reserved);
  writer.bytes(data);
  return body;
}

}  // namespace culvert::ike

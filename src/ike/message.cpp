// The IKE header and the chain of payloads, RFC 7296 §3.1 and §3.2: parse and build. What stands inside a payload:
// payloads.cpp, sa_payload.cpp, and for SK sk_payload.cpp.
#include "message.h"

#include "payloads.h"

namespace culvert::ike {
namespace {

constexpr std::uint8_t flag_initiator = 0x08, flag_response = 0x20;
constexpr std::uint8_t critical_bit = 0x80;
constexpr std::size_t position_len = 4;  // of a fragment
constexpr std::size_t max_message_len = 65535;

struct RawHeader {
  Header header;
  PayloadType first = PayloadType::none;
};

//                      1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |                       IKE SA Initiator's SPI                  |
// |                                                               |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |                       IKE SA Responder's SPI                  |
// |                                                               |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |  Next Payload | MjVer | MnVer | Exchange Type |     Flags     |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |                          Message ID                           |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |                            Length                             |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
std::expected<RawHeader, ParseError> parse_raw_header(ByteView bytes) {
  if (bytes.size() < header_len) {
    return std::unexpected(ParseError{ParseError::Kind::malformed_header, {}, "shorter than the IKE header"});
  }
  Reader reader(bytes);
  RawHeader raw;
  Header& header = raw.header;
  header.spi_i = IkeSpi(*reader.u64());
  header.spi_r = IkeSpi(*reader.u64());
  raw.first = static_cast<PayloadType>(*reader.u8());
  const std::uint8_t version = *reader.u8();
  header.exchange = static_cast<ExchangeType>(*reader.u8());
  const std::uint8_t flags = *reader.u8();
  header.initiator = (flags & flag_initiator) != 0;
  header.response = (flags & flag_response) != 0;
  header.message_id = MessageId(*reader.u32());
  const std::uint32_t length = *reader.u32();

  // The minor version and the flags V and X are ignored on receipt (§2.5, §3.1).
  if (version >> 4 != 2) {
    return std::unexpected(ParseError{ParseError::Kind::invalid_major_version, header, "major version is not 2"});
  }
  if (length != bytes.size()) {
    return std::unexpected(ParseError{ParseError::Kind::malformed_header, header, "length field of the header"});
  }
  if (header.spi_i.value() == 0) {  // §3.1: "This value MUST NOT be zero."
    return std::unexpected(ParseError{ParseError::Kind::malformed_header, header, "initiator's SPI is zero"});
  }
  return raw;
}

struct Chain {
  std::vector<Payload> payloads;
  std::optional<EncryptedPayload> encrypted;
};

/// RFC 7383 §2.5: two numbers ahead of what SK has, which are authenticated with the header. §2.6: a fragment whose
/// numbers make no sense is dropped.
//
//                      1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |        Fragment Number        |        Total Fragments        |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
bool read_position(EncryptedPayload& payload, ByteView body) {
  Reader reader(body);
  const auto number = reader.u16(), total = reader.u16();
  if (!number || !total || *number == 0 || *number > *total) return false;
  payload.fragment = FragmentPosition{*number, *total};
  payload.body_offset += position_len;
  payload.body_len -= position_len;
  return true;
}

/// Walks the payloads of bytes[offset…]. SK ends the message (§3.14: it "MUST be the last payload"), and is not legal
/// inside another.
//
//                      1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// | Next Payload  |C|  RESERVED   |         Payload Length        |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
std::expected<Chain, PayloadError> parse_chain(PayloadType first, ByteView bytes, std::size_t offset,
                                               bool may_be_encrypted) {
  Chain chain;
  Reader reader(bytes.subspan(offset));
  PayloadType type = first;
  while (type != PayloadType::none) {
    if (chain.payloads.size() == max_payloads) return std::unexpected("too many payloads");
    const std::size_t header_offset = bytes.size() - reader.remaining();
    if (reader.remaining() < generic_header_len) return std::unexpected("payload header is cut off");
    const auto next = static_cast<PayloadType>(*reader.u8());
    const bool critical = (*reader.u8() & critical_bit) != 0;
    const std::uint16_t length = *reader.u16();
    if (length < generic_header_len) return std::unexpected("payload length is smaller than its header");
    const auto body = reader.take(length - generic_header_len);
    if (!body) return std::unexpected("payload length is beyond the message");

    if (type == PayloadType::sk || type == PayloadType::skf) {
      if (!may_be_encrypted) return std::unexpected("encrypted payload inside an encrypted payload");
      if (!reader.empty()) return std::unexpected("encrypted payload is not the last one");
      chain.encrypted = EncryptedPayload{next, header_offset, header_offset + generic_header_len, body->size(), {}};
      if (type == PayloadType::skf && !read_position(*chain.encrypted, *body)) return std::unexpected("SKF payload");
      return chain;
    }
    auto payload = parse_payload(type, critical, *body);
    if (!payload) return std::unexpected(payload.error());
    chain.payloads.push_back(std::move(*payload));
    type = next;
  }
  if (!reader.empty()) return std::unexpected("bytes behind the last payload");
  return chain;
}

}  // namespace

std::expected<Header, ParseError> parse_header(ByteView bytes) {
  auto raw = parse_raw_header(bytes);
  if (!raw) return std::unexpected(raw.error());
  return raw->header;
}

std::expected<Message, ParseError> parse(ByteView bytes) {
  const auto raw = parse_raw_header(bytes);
  if (!raw) return std::unexpected(raw.error());
  auto chain = parse_chain(raw->first, bytes, header_len, true);
  if (!chain) return std::unexpected(ParseError{ParseError::Kind::invalid_syntax, raw->header, chain.error()});
  return Message{raw->header, std::move(chain->payloads), chain->encrypted};
}

std::expected<std::vector<Payload>, ParseError> parse_payloads(PayloadType first, ByteView bytes) {
  auto chain = parse_chain(first, bytes, 0, false);
  if (!chain) return std::unexpected(ParseError{ParseError::Kind::invalid_syntax, {}, chain.error()});
  return std::move(chain->payloads);
}

void write_header(Writer& writer, const Header& header, PayloadType first, std::size_t length) {
  writer.u64(header.spi_i.value());
  writer.u64(header.spi_r.value());
  writer.u8(static_cast<std::uint8_t>(first));
  writer.u8(0x20);  // 2.0
  writer.u8(static_cast<std::uint8_t>(header.exchange));
  writer.u8(static_cast<std::uint8_t>((header.initiator ? flag_initiator : 0) | (header.response ? flag_response : 0)));
  writer.u32(header.message_id.value());
  writer.u32(static_cast<std::uint32_t>(length));
}

PayloadChain build_payloads(const std::vector<Payload>& payloads) {
  PayloadChain chain;
  if (payloads.empty()) return chain;
  chain.first = payload_type(payloads.front());
  Writer writer(chain.bytes);
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    writer.u8(static_cast<std::uint8_t>(i + 1 < payloads.size() ? payload_type(payloads[i + 1]) : PayloadType::none));
    const auto* unknown = std::get_if<UnknownPayload>(&payloads[i]);
    // §2.5: the critical bit MUST be 0 for the payload types of RFC 7296.
    writer.u8(unknown != nullptr && unknown->critical ? critical_bit : 0);
    const auto length = writer.length16(2);
    write_payload(writer, payloads[i]);
  }
  return chain;
}

Bytes build(const Header& header, const std::vector<Payload>& payloads) {
  const PayloadChain chain = build_payloads(payloads);
  const std::size_t length = header_len + chain.bytes.size();
  if (length > max_message_len) return {};
  Bytes message;
  message.reserve(length);
  Writer writer(message);
  write_header(writer, header, chain.first, length);
  writer.bytes(chain.bytes);
  return message;
}

const NotifyPayload* Message::find_notify(NotifyType type) const noexcept {
  for (const Payload& payload : payloads) {
    const auto* notify = std::get_if<NotifyPayload>(&payload);
    if (notify != nullptr && notify->type == type) return notify;
  }
  return nullptr;
}

const NotifyPayload* Message::first_error() const noexcept {
  for (const Payload& payload : payloads) {
    const auto* notify = std::get_if<NotifyPayload>(&payload);
    if (notify != nullptr && is_error(notify->type)) return notify;
  }
  return nullptr;
}

const IdPayload* Message::find_id(bool initiator) const noexcept {
  for (const Payload& payload : payloads) {
    const auto* id = std::get_if<IdPayload>(&payload);
    if (id != nullptr && id->initiator == initiator) return id;
  }
  return nullptr;
}

const TsPayload* Message::find_ts(bool initiator) const noexcept {
  for (const Payload& payload : payloads) {
    const auto* ts = std::get_if<TsPayload>(&payload);
    if (ts != nullptr && ts->initiator == initiator) return ts;
  }
  return nullptr;
}

}  // namespace culvert::ike

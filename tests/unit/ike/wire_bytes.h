#pragma once
#include <initializer_list>
#include <string_view>

#include "culvert/base/bytes.h"
#include "message.h"
#include "vectors/hex.h"

namespace culvert::ike::test {

using culvert::test::hex;
using culvert::test::to_hex;

/// Bytes as they stand on the wire, put together by hand and not by the builder under test.
inline Bytes join(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) append(all, part);
  return all;
}

inline Bytes be16(std::size_t value) {
  return {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}

/// One payload: next, C, length, body.
inline Bytes raw_payload(unsigned next, const Bytes& body, bool critical = false) {
  return join(
      {{static_cast<std::uint8_t>(next), static_cast<std::uint8_t>(critical ? 0x80 : 0)}, be16(body.size() + 4), body});
}

/// A datagram of IKE_SA_INIT, initiator's request, around a chain.
inline Bytes raw_message(unsigned first, const Bytes& chain) {
  const std::size_t length = 28 + chain.size();
  return join({hex("1122334455667788 0000000000000000"),
               {static_cast<std::uint8_t>(first)},
               hex("202208 00000000 0000"),
               be16(length),
               chain});
}

/// The one payload of a chain of one.
inline std::expected<Payload, ParseError> parse_one(PayloadType type, const Bytes& body) {
  auto payloads = parse_payloads(type, raw_payload(0, body));
  if (!payloads) return std::unexpected(payloads.error());
  return payloads->front();
}

inline bool is_malformed(PayloadType type, const Bytes& body) {
  const auto parsed = parse_one(type, body);
  return !parsed && parsed.error().kind == ParseError::Kind::invalid_syntax;
}

}  // namespace culvert::ike::test

#pragma once
#include <expected>

#include "culvert/base/bytes.h"
#include "message.h"

namespace culvert::ike {

/// Appends the IKE header; `length` is that of the whole message.
void write_header(Writer& writer, const Header& header, PayloadType first, std::size_t length);

/// What does not follow its grammar: a static text, for ParseError::where.
using PayloadError = const char*;

/// The content of one payload, behind its generic header. A type that we do not know gives UnknownPayload; SK and SKF
/// are not handled here.
[[nodiscard]] std::expected<Payload, PayloadError> parse_payload(PayloadType type, bool critical, ByteView body);
/// The type number that `payload` has on the wire.
[[nodiscard]] PayloadType payload_type(const Payload& payload) noexcept;
/// Appends the content, without the generic header.
void write_payload(Writer& writer, const Payload& payload);

// The SA payload has a grammar of its own (sa_payload.cpp).
[[nodiscard]] std::expected<SaPayload, PayloadError> parse_sa(ByteView body);
void write_sa(Writer& writer, const SaPayload& sa);
// So has the CP payload (config_payload.cpp).
[[nodiscard]] std::expected<CpPayload, PayloadError> parse_cp(ByteView body);
void write_cp(Writer& writer, const CpPayload& cp);

}  // namespace culvert::ike

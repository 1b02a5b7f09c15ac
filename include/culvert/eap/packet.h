#pragma once
#include <cstdint>
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"

namespace culvert::eap {

/// RFC 3748 §4.
enum class Code : std::uint8_t { request = 1, response = 2, success = 3, failure = 4 };

/// IANA "EAP method types": what we speak, and what we must know to refuse it.
enum class Type : std::uint8_t {
  identity = 1,
  notification = 2,
  nak = 3,
  tls = 13,
  mschapv2 = 26,
  expanded = 254,
};

/// One packet. Success and Failure have neither type nor data.
///
///    0                   1                   2                   3
///    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///   |     Code      |  Identifier   |            Length             |
///   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///   |     Type      |  Type-Data ...
struct Packet {
  Code code = Code::request;
  std::uint8_t identifier = 0;
  Type type{};
  Bytes data;
};

inline constexpr std::size_t max_packet_len = 4096;   ///< bytes that we take of a peer or of a RADIUS server
inline constexpr std::size_t max_identity_len = 253;  ///< RFC 4282 §2.2, and what a RADIUS attribute holds

/// Errc::malformed: not RFC 3748 §4; Errc::exhausted: over max_packet_len. What stands behind Length is padding of the
/// layer below, and ignored (§4.1).
[[nodiscard]] Result<Packet> parse(ByteView bytes);
[[nodiscard]] Bytes build(const Packet& packet);
/// An identity as it came off the wire, fit for a log or a table: UTF-8 text without control characters, 1 to
/// max_identity_len bytes.
[[nodiscard]] bool is_usable_identity(ByteView identity) noexcept;

}  // namespace culvert::eap

#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"

namespace culvert::radius {

enum class Code : std::uint8_t {
  access_request = 1,
  access_accept = 2,
  access_reject = 3,
  accounting_request = 4,
  accounting_response = 5,
  access_challenge = 11,
};

/// IANA "RADIUS Attribute Types": those that we send or read.
enum class AttributeType : std::uint8_t {
  user_name = 1,
  nas_ip_address = 4,
  service_type = 6,
  framed_ip_address = 8,
  filter_id = 11,
  framed_mtu = 12,
  reply_message = 18,
  state = 24,
  class_ = 25,
  vendor_specific = 26,
  session_timeout = 27,
  called_station_id = 30,
  calling_station_id = 31,
  nas_identifier = 32,
  acct_status_type = 40,
  acct_delay_time = 41,
  acct_input_octets = 42,
  acct_output_octets = 43,
  acct_session_id = 44,
  acct_authentic = 45,
  acct_session_time = 46,
  acct_input_packets = 47,
  acct_output_packets = 48,
  acct_terminate_cause = 49,
  acct_input_gigawords = 52,
  acct_output_gigawords = 53,
  event_timestamp = 55,
  nas_port_type = 61,
  eap_message = 79,
  message_authenticator = 80,
  nas_ipv6_address = 95,
  framed_ipv6_address = 168,
};

struct Attribute {
  AttributeType type{};
  Bytes value;  ///< 1 to max_value_len bytes
};

inline constexpr std::size_t max_packet_len = 4096;  ///< bytes, RFC 2865 §3
inline constexpr std::size_t max_value_len = 253;
inline constexpr std::size_t max_attributes = 256;  ///< that we take

using Authenticator = std::array<std::uint8_t, 16>;

/// One packet, its attributes in the order of the wire.
///
///    0                   1                   2                   3
///    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///   |     Code      |  Identifier   |            Length             |
///   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///   |                         Authenticator (16)                    |
///   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///   |  Attributes: type, length (with these two bytes), value …
struct Packet {
  Code code{};
  std::uint8_t identifier = 0;
  Authenticator authenticator{};
  std::vector<Attribute> attributes;

  void add(AttributeType type, ByteView value);  ///< at most max_value_len bytes of it
  void add(AttributeType type, std::string_view text) { add(type, as_bytes(text)); }
  void add(AttributeType type, std::uint32_t number);
  /// RFC 3579 §3.1: as many EAP-Message attributes as it takes, one behind the other.
  void add_eap(ByteView message);

  [[nodiscard]] const Bytes* find(AttributeType type) const noexcept;  ///< the first one
  [[nodiscard]] std::optional<std::uint32_t> number(AttributeType type) const noexcept;
  [[nodiscard]] std::string text(AttributeType type) const;  ///< empty: none; control characters become '?'
  /// What the EAP-Message attributes hold together; empty: none.
  [[nodiscard]] Bytes eap() const;
  /// Framed-IP-Address (RFC 2865 §5.8): an address of a host, not one of the two values with a meaning of their own.
  [[nodiscard]] std::optional<IpAddress> framed_ipv4() const;
  /// Framed-IPv6-Address (RFC 6911 §3.1).
  [[nodiscard]] std::optional<IpAddress> framed_ipv6() const;
};

/// Grammar alone: nothing is authenticated. Errc::malformed; Errc::exhausted. What stands behind Length is padding (RFC
/// 2865 §3).
[[nodiscard]] Result<Packet> parse(ByteView bytes);

/// An Access-Request with its Message-Authenticator, first of all attributes (as answers to CVE-2024-3596 want it), or
/// an Accounting-Request with the authenticator of RFC 2866 §3, written back into `packet`. An Access-Request's own
/// authenticator is random, by the caller. Errc::exhausted: over max_packet_len.
[[nodiscard]] Result<Bytes> build_request(Packet& packet, ByteView secret);

/// A reply to `request` (its identifier and authenticator as sent): Response Authenticator (RFC 2865 §3), and for
/// replies to an Access-Request a Message-Authenticator, which must be there (RFC 3579 §3.2; CVE-2024-3596).
/// Errc::authentication when one of them does not hold, Errc::no_match for another request's.
[[nodiscard]] Result<Packet> open_reply(ByteView bytes, const Packet& request, ByteView secret);

/// MS-MPPE-Recv-Key | MS-MPPE-Send-Key (RFC 2548 §2.4.2, §2.4.3) of a reply: the EAP method's MSK as the server gives
/// it out; empty: not both there, or broken. `request` is the authenticator of the Access-Request.
[[nodiscard]] Secret master_session_key(const Packet& reply, const Authenticator& request, ByteView secret);

}  // namespace culvert::radius

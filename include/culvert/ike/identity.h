#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"

namespace culvert::ike {

/// RFC 7296 §3.5. Values are the wire's.
enum class IdType : std::uint8_t {
  any = 0,  ///< ours: the pattern that covers all
  ipv4_addr = 1,
  fqdn = 2,
  rfc822_addr = 3,
  ipv6_addr = 5,
  der_asn1_dn = 9,
  key_id = 11,
};

/// An IKE identity: its type and the octets that ride in the ID payload (without its 4 bytes of header).
struct Identity {
  IdType type = IdType::fqdn;
  Bytes data;

  /// "gw.example.net" (FQDN), "a@b.c" (RFC822), "192.0.2.1", "2001:db8::1", "CN=gw,O=Example" (DN), "keyid:0x0102" or
  /// "keyid:text"; "any" is the pattern that covers all; an explicit type in front wins: "fqdn:", "email:", "dn:". Errc::malformed says what was expected.
  [[nodiscard]] static Result<Identity> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;  ///< for people; sanitized by whoever logs it
  /// Octet by octet of one type; FQDN and the domain of an e-mail address without regard to case.
  [[nodiscard]] bool matches(const Identity& other) const;
  /// `other` is one that this pattern of the operator allows. "*" in front of a domain name stands for any name below
  /// it
  /// ("*.example.net", or "*" for all), in place of an e-mail address's local part for any ("*@example.net"), as a
  /// value of a DN for any value ("O=Example, CN=*"). Without a "*" the same as matches().
  [[nodiscard]] bool covers(const Identity& other) const;
  [[nodiscard]] bool has_wildcard() const;
  friend bool operator==(const Identity&, const Identity&) = default;
};

}  // namespace culvert::ike

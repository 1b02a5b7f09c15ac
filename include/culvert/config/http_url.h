#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "culvert/base/result.h"

namespace culvert::config {

/// Where a CRL or an OCSP responder is: "http://HOST[:PORT][/PATH]". Only such that the operator wrote are ever
/// fetched, never one that stands in a certificate.
struct HttpUrl {
  std::string host;  ///< a name or an address, without the brackets of IPv6
  std::uint16_t port = 80;
  std::string target = "/";  ///< path and query

  /// Errc::malformed says what was expected; https is refused with the reason why http does.
  [[nodiscard]] static Result<HttpUrl> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] std::string authority() const;  ///< HOST, or HOST:PORT when it is not 80, as the Host field wants it
  friend auto operator<=>(const HttpUrl&, const HttpUrl&) = default;
};

}  // namespace culvert::config

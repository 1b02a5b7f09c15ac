#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/time.h"
#include "message.h"

namespace culvert::ike {

/// The data of REDIRECT and REDIRECTED_FROM, RFC 5685 §9.2, §9.3. A value.
struct RedirectTarget {
  std::string gateway;  ///< an address or a host name
  Bytes nonce;          ///< that of the client, in an IKE_SA_INIT response alone
};

/// `gateway` is an address or a host name, as gateways_name or IpAddress take them.
[[nodiscard]] Bytes redirect_data(std::string_view gateway, ByteView nonce);
/// nullopt: malformed, or a name that is none.
[[nodiscard]] std::optional<RedirectTarget> parse_redirect(ByteView data);
/// REDIRECT_SUPPORTED, or REDIRECTED_FROM, which says the same (RFC 5685 §4).
[[nodiscard]] bool announces_redirects(const Message& message);
/// RFC 1123 §2.1, at most 253 bytes.
[[nodiscard]] bool is_gateway_name(std::string_view text);

/// RFC 5685 §5: gateways that send a client from one to the other are followed 5 times in 300 s. Owned by a Peer.
class RedirectLoop {
 public:
  /// Whether one more may be followed now; counts it.
  [[nodiscard]] bool allows(TimePoint now);

 private:
  std::vector<TimePoint> followed_;
};

}  // namespace culvert::ike

#pragma once
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/ike/virtual_net.h"
#include "message.h"
#include "payloads.h"

namespace culvert::ike {

// What the attributes of a CP payload mean. Their grammar (parse_cp, write_cp in payloads.h) is in the same .cpp.

/// Of name servers and search domains: what we take from a gateway, and give.
inline constexpr std::size_t max_dns = 8, max_domains = 32;

/// What a client asks for, or is asked on behalf of: with an address it would like that one (RFC 7296 §3.15.1).
struct AddressRequest {
  bool v4 = false, v6 = false;
  std::optional<IpAddress> wish_v4, wish_v6;
  bool dns_v4 = false, dns_v6 = false, domains = false, subnet_v4 = false, subnet_v6 = false;

  [[nodiscard]] bool wants(IpFamily family) const noexcept { return family == IpFamily::v4 ? v4 : v6; }
  [[nodiscard]] const std::optional<IpAddress>& wish(IpFamily family) const noexcept {
    return family == IpFamily::v4 ? wish_v4 : wish_v6;
  }
};

/// The CFG_REQUEST of a client that asks for addresses of these families, and for all else that goes with them; for
/// those that it has had before when the gateway still has them free.
[[nodiscard]] CpPayload make_request(bool v4, bool v6, const VirtualNet& before);
[[nodiscard]] AddressRequest read_request(const CpPayload& request);

/// The CFG_REPLY: of `net` what was asked for.
[[nodiscard]] CpPayload make_reply(const VirtualNet& net, const AddressRequest& asked);
/// What a gateway gives. The error is for the operator: an address that nobody can use.
[[nodiscard]] std::expected<VirtualNet, std::string> read_reply(const CpPayload& reply);

/// A domain as RFC 8598 §3.2 wants it: labels of letters, digits and hyphens (A-labels), no dot at the end, at most 253
/// bytes.
[[nodiscard]] bool is_domain(std::string_view text) noexcept;

}  // namespace culvert::ike

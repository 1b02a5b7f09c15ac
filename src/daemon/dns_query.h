#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/base/time.h"

namespace culvert::daemon {

/// Questions to one name server, beside the resolver of this host, whose servers may stand behind a tunnel that is
/// down. Only for addresses of gateways: what comes back is not checked by DNSSEC, and need not be; a gateway proves
/// itself.

/// A query for the addresses of one family (RFC 1035 §4.1), recursion desired. Errc::invalid: no host name.
[[nodiscard]] Result<Bytes> dns_query(std::uint16_t id, std::string_view name, IpFamily family);
/// The addresses in the answer to `query`, at most 16; none: the name has none of that family. Errc::no_match: it is
/// not an answer to it; Errc::malformed; Errc::not_found: the server knows no such name, or does not tell.
[[nodiscard]] Result<std::vector<IpAddress>> dns_answer(ByteView datagram, ByteView query);

/// Asks `server`, UDP port 53, for both families, from a socket with the routing mark `mark` (CAP_NET_ADMIN), and waits
/// at most `patience`. Errc::io: it cannot be asked or does not answer. Any thread.
[[nodiscard]] Result<std::vector<IpAddress>> ask_name_server(const IpAddress& server, std::string_view name,
                                                             std::uint32_t mark, Duration patience);

}  // namespace culvert::daemon

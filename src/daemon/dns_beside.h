#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "client_dns.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"

namespace culvert::daemon {

/// Of sockets that ask for a gateway's name while the tunnel is down: routing (ClientNetwork) and the kill switch know
/// it.
inline constexpr std::uint32_t lookup_mark = 0xc01e7053;

/// The name servers that this host would ask if there were no tunnel: from the files where its resolvers keep them, as
/// they are now. Without loopback and without `tunnel`; at most 4. Any thread.
[[nodiscard]] std::vector<IpAddress> servers_beside(const std::vector<IpAddress>& tunnel, const DnsPlaces& places = {});

/// Asks them, one after the other, with lookup_mark, 2 s each. Errc::not_found: none knows. Any thread.
[[nodiscard]] Result<std::vector<IpAddress>> look_up_beside(const std::string& name,
                                                            const std::vector<IpAddress>& tunnel);

/// hosts(5) has this name: no name server is to be asked.
[[nodiscard]] bool is_in_hosts(std::string_view name, const std::filesystem::path& hosts = "/etc/hosts");

}  // namespace culvert::daemon

#pragma once
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"

namespace culvert::daemon {

/// Who knows names; others for tests. Called on threads of their own.
struct NameSources {
  std::function<Result<std::vector<IpAddress>>(const std::string& name)> system;  ///< empty: getaddrinfo
  /// Servers beside the tunnel, whose own are `tunnel`; empty: look_up_beside.
  std::function<Result<std::vector<IpAddress>>(const std::string& name, const std::vector<IpAddress>& tunnel)> beside;
  std::filesystem::path hosts = "/etc/hosts";
};

/// The addresses of a client's gateways, by name, and the last ones that were found: the name servers of the moment may
/// stand behind a tunnel that is down, or behind a kill switch. Any thread.
class GatewayNames : public std::enable_shared_from_this<GatewayNames> {
 public:
  /// `file` keeps what was found for the next process.
  explicit GatewayNames(std::filesystem::path file, NameSources sources = {});

  /// This host's resolver leads to the `servers` of the tunnel: where that is down the others are asked first. Empty:
  /// it does not.
  void set_tunnel_servers(std::vector<IpAddress> servers);

  /// The answer of the name servers when it comes within a second; else what is known, while the lookup goes on for the
  /// next time. Without anything known waits for the answer. Literal addresses are themselves.
  [[nodiscard]] Result<std::vector<IpAddress>> find(const std::string& name);
  /// Waits for the answer of the name servers, of those beside the tunnel when others have none; what is known is the
  /// answer when they have none.
  [[nodiscard]] Result<std::vector<IpAddress>> look_up(const std::string& name);

 private:
  [[nodiscard]] Result<std::vector<IpAddress>> ask(const std::string& name);
  [[nodiscard]] std::vector<IpAddress> known(const std::string& name);
  void keep(const std::string& name, const std::vector<IpAddress>& addresses);

  std::filesystem::path file_;
  NameSources sources_;
  std::vector<IpAddress> tunnel_servers_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::map<std::string, std::vector<IpAddress>> known_;
  std::set<std::string> under_way_;  ///< one thread each
};

}  // namespace culvert::daemon

#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client_dns.h"
#include "client_network.h"
#include "culvert/base/result.h"
#include "culvert/config/client_profile.h"
#include "gateway_names.h"
#include "kill_switch.h"

namespace culvert::daemon {

/// Where a client of this name keeps its state, and where it listens.
struct ClientPlaces {
  std::filesystem::path folder, socket;
  [[nodiscard]] static ClientPlaces of(const std::filesystem::path& run_dir, const std::string& name);
};

/// What `culvert connect` adds to a daemon with one peer: the host's DNS follows the tunnel, and a kill switch stands
/// around it. Control thread.
class ClientMode final : public ClientWatcher {
 public:
  /// `connected`: is called once, with a sentence, when traffic can flow.
  ClientMode(const config::ClientProfile& profile, const std::filesystem::path& run_dir,
             std::function<void(const std::string&)> connected = {});

  /// Before anything is sent, and once nobody else holds the state: undoes what a process before this one has left,
  /// finds the gateway's addresses, closes the kill switch.
  [[nodiscard]] Result<void> prepare();
  /// We go, as we were told to: DNS is as it was; the kill switch stays.
  void finish();

  /// The gateway may soon be called there: it was looked up, or has told us.
  void allow(const IpAddress& gateway);
  /// Each second.
  void on_tick() { dns_.look_again(); }
  void on_connection(const ClientConnection& connection) override;
  void on_disconnected(const std::string& peer) override;
  [[nodiscard]] const std::shared_ptr<GatewayNames>& names() const noexcept { return names_; }
  /// What the client of this name, which has ended, has left in this host's DNS.
  [[nodiscard]] static Result<void> undo_dns(const std::string& name, const std::filesystem::path& run_dir);

 private:
  void set_dns(const ClientConnection& connection);

  const config::ClientProfile& profile_;
  ClientPlaces places_;
  ClientDns dns_;
  std::shared_ptr<GatewayNames> names_;
  KillSwitchPlan plan_;
  bool closed_ = false;
  std::optional<DnsSettings> used_;
  std::function<void(const std::string&)> connected_;
};

struct ClientOptions {
  std::filesystem::path run_dir = "/run/culvert";
  bool background = false;
};

/// `culvertd --client`: the whole life of a client; `profile` is a file, or the name of one in /etc/culvert/clients.
/// The exit status of the process.
[[nodiscard]] int run_client(const std::string& profile, const ClientOptions& options);
/// `culvertd --disconnect`: ends the client if it runs, and brings the network back, whatever has become of it. An
/// empty name: the only one that there is. The exit status of the process.
[[nodiscard]] int disconnect_client(std::string name, const std::filesystem::path& run_dir);

}  // namespace culvert::daemon

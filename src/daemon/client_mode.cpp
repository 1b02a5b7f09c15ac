#include "client_mode.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "culvert/base/log.h"
#include "dns_beside.h"
#include "small_file.h"
#include "state_dir.h"

namespace culvert::daemon {
namespace {

constexpr const char *dns_record = "dns", *names_file = "gateway-addresses";

std::string describe(const ClientConnection& connection) {
  std::vector<std::string> addresses, routes;
  for (const IpAddress& address : connection.net.addresses) addresses.push_back(address.to_string());
  for (const IpPrefix& route : connection.routes) routes.push_back(route.to_string());
  constexpr std::size_t most = 8;
  const bool cut = routes.size() > most;
  if (cut) routes.resize(most);
  return fmt::format("connected: {} on {}, routes {}{}", fmt::join(addresses, ", "), connection.device,
                     routes.empty() ? "none" : fmt::format("{}", fmt::join(routes, ", ")), cut ? ", …" : "");
}

/// Who has names to look up does it also while the switch is closed.
std::uint32_t mark_for(const config::ClientProfile& profile) {
  const bool has_names =
      std::ranges::any_of(profile.servers, [](const std::string& server) { return !IpAddress::parse(server); });
  return has_names ? lookup_mark : 0;
}

}  // namespace

ClientPlaces ClientPlaces::of(const std::filesystem::path& run_dir, const std::string& name) {
  return {run_dir / ("client-" + name), run_dir / ("client-" + name + ".sock")};
}

ClientMode::ClientMode(const config::ClientProfile& profile, const std::filesystem::path& run_dir,
                       std::function<void(const std::string&)> connected)
    : profile_(profile),
      places_(ClientPlaces::of(run_dir, profile.name)),
      dns_(profile.name, profile.device, places_.folder / dns_record),
      names_(std::make_shared<GatewayNames>(places_.folder / names_file)),
      plan_{profile.name, profile.device, {}, profile.ports, profile.tcp_port, profile.raw_esp, mark_for(profile)},
      connected_(std::move(connected)) {}

Result<void> ClientMode::prepare() {
  if (auto undone = dns_.undo(); !undone) return undone;
  if (!profile_.kill_switch) {
    if (kill_switch_closed(profile_.name))
      log::warn("the kill switch of an earlier connection is still closed: 'culvert disconnect {}' opens it",
                profile_.name);
    return {};
  }
  std::string why;
  for (const std::string& server : profile_.servers) {
    const auto found = names_->look_up(server);
    if (!found) {
      why += fmt::format("; {}: {}", server, found.error().detail);
      continue;
    }
    for (const IpAddress& address : *found)
      if (std::ranges::find(plan_.gateways, address) == plan_.gateways.end()) plan_.gateways.push_back(address);
  }
  if (plan_.gateways.empty())
    return fail(Errc::not_found,
                fmt::format("the kill switch must know where the gateway is before it closes, and no address was "
                            "found{}: name one in `server`, or try again when the network is there",
                            why));
  if (auto closed = close_kill_switch(plan_); !closed) return closed;
  closed_ = true;
  log::info("kill switch: nothing leaves this machine but by {}, until 'culvert disconnect {}'", profile_.device,
            profile_.name);
  return {};
}

void ClientMode::allow(const IpAddress& gateway) {
  if (!closed_ || std::ranges::find(plan_.gateways, gateway) != plan_.gateways.end()) return;
  KillSwitchPlan wider = plan_;
  if (wider.gateways.size() >= max_gateways) wider.gateways.erase(wider.gateways.begin());
  wider.gateways.push_back(gateway);
  if (auto closed = close_kill_switch(wider); !closed) return log::warn("kill switch: {}", closed.error().detail);
  plan_ = std::move(wider);
}

void ClientMode::on_connection(const ClientConnection& connection) {
  for (const IpAddress& gateway : connection.gateways) allow(gateway);
  if (connection.gateways.empty()) return;  // addresses, but no SA yet
  if (profile_.dns) set_dns(connection);
  log::info("{}", describe(connection));
  if (connected_) std::exchange(connected_, {})(describe(connection));
}

void ClientMode::set_dns(const ClientConnection& connection) {
  DnsSettings wanted = acceptable({connection.net.dns, connection.net.domains});
  if (used_ == wanted) return;
  const auto done = dns_.set(wanted);
  if (!done) return log::error("DNS: {}", done.error().detail);
  log::info("{}", *done);
  names_->set_tunnel_servers(wanted.servers);
  used_ = std::move(wanted);
}

void ClientMode::on_disconnected(const std::string&) {
  used_.reset();
  names_->set_tunnel_servers({});
  if (auto undone = dns_.undo(); !undone) log::error("DNS: {}", undone.error().detail);
}

void ClientMode::finish() {
  on_disconnected(profile_.name);
  if (closed_)
    log::warn("the kill switch stays closed: nothing leaves this machine until 'culvert disconnect {}'", profile_.name);
}

Result<void> ClientMode::undo_dns(const std::string& name, const std::filesystem::path& run_dir) {
  const auto record = ClientPlaces::of(run_dir, name).folder / dns_record;
  std::string way, device;
  std::istringstream words(read_small_file(record).value_or(""));
  words >> way >> device;
  return ClientDns(name, device, record).undo();
}

}  // namespace culvert::daemon

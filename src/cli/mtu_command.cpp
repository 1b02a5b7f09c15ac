#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "client.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "culvert/control/mtu.h"
#include "output.h"

namespace culvert::cli {
namespace {

constexpr auto longest_search = std::chrono::seconds(15);
constexpr auto pause = std::chrono::milliseconds(200);

std::string how_known(const control::MtuReport& report) {
  if (report.state == "confirmed") return fmt::format("confirmed by {}", report.asked_by);
  if (report.state == "searching") return "still being found out: this much passes";
  if (report.state == "dark") return "unknown: not even small probes are answered; this is what our link takes";
  if (report.state == "off") return "unknown: the peer cannot be asked; this is what our link takes";
  return "not confirmed yet: this is what our link takes";
}

std::string explain(const control::MtuReport& report) {
  std::string text = fmt::format("path to {} ({}): {} bytes, {}\n", printable(report.peer), printable(report.remote),
                                 report.path_mtu, how_known(report));
  if (report.path_mtu < report.link_mtu)
    text += fmt::format("  our own link takes {}: something on the way takes less, and larger packets vanish\n", report.link_mtu);
  for (const auto& tunnel : report.tunnels) {
    text += fmt::format("tunnel {} ({})\n  {:>6}  outer packet\n", printable(tunnel.name), printable(tunnel.device), report.path_mtu);
    for (const auto& share : tunnel.shares) text += fmt::format("  {:>6}  {}\n", fmt::format("- {}", share.bytes), printable(share.what));
    text += fmt::format("  {:>6}  inner packet: the largest that passes in one piece\n", tunnel.inner_mtu);
    text += fmt::format("  the device's MTU is {}{}; TCP MSS {} over IPv4, {} over IPv6\n", tunnel.device_mtu,
                        tunnel.configured ? " (`mtu` of the tunnel)" : "", tunnel.mss_v4, tunnel.mss_v6);
    if (tunnel.device_mtu > tunnel.inner_mtu)
      text += "  larger ones are fragmented outside, or lost: a smaller `mtu` is better\n";
  }
  return text;
}

}  // namespace

ExitCode run_mtu(const std::filesystem::path& socket, const std::string& peer, bool json) {
  const auto until = std::chrono::steady_clock::now() + longest_search;
  std::string what = "search";
  for (;;) {
    control::MtuReport report;
    const auto on_line = [&](const std::string& line) {
      auto read = control::parse_mtu(line);
      if (read) report = std::move(*read);
      return false;
    };
    const auto end = follow(socket, {"mtu", peer, what}, on_line, -1);
    if (end && end->code == "not_found") return refused_peer(socket, peer);
    if (end && !end->ok) {
      complain(printable(end->error));
      return ExitCode::failed;
    }
    if (!end) {
      complain(end.error().detail);
      return ExitCode::unreachable;
    }
    const bool settled = !report.asking && report.state != "searching" && report.state != "unconfirmed";
    if (settled || std::chrono::steady_clock::now() >= until)
      return printed(json ? control::to_json(report) + "\n" : explain(report));
    what = "show";
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace culvert::cli

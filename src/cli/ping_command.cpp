#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "client.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "culvert/control/ping.h"
#include "interrupt.h"
#include "output.h"

namespace culvert::cli {
namespace {

std::string milliseconds(std::uint64_t us) {
  return fmt::format("{:.3f}", static_cast<double>(us) / 1000);
}

std::string packet_line(const control::PingReport& report, const std::string& peer, std::uint32_t size) {
  if (report.rtt_us)
    return fmt::format("{} bytes from {}: seq={} time={} ms\n", size, peer, report.sequence,
                       milliseconds(*report.rtt_us));
  return fmt::format("no answer from {}: seq={}{}\n", peer, report.sequence,
                     report.sent ? "" : " (it did not leave: the SA is gone, or our link is too small for it)");
}

/// As ping(8).
std::string summary_text(const control::PingSummary& summary, std::chrono::milliseconds took) {
  const std::uint64_t lost = summary.sent - summary.received;
  std::string text =
      fmt::format("\n--- {} ping statistics ---\n{} packets transmitted, {} received, {}% packet loss, time {}ms\n",
                  summary.peer, summary.sent, summary.received,
                  summary.sent == 0 ? 0 : (lost * 100 + summary.sent / 2) / summary.sent, took.count());
  if (summary.received == 0) return text;
  return text + fmt::format("rtt min/avg/max/mdev = {}/{}/{}/{} ms\n", milliseconds(*summary.rtt_min_us),
                            milliseconds(*summary.rtt_avg_us), milliseconds(*summary.rtt_max_us),
                            milliseconds(*summary.rtt_mdev_us));
}

}  // namespace

ExitCode run_ping(const std::filesystem::path& socket, const std::string& peer, const PingOptions& options) {
  control::PingRequest request = options.request;
  request.interval = std::chrono::milliseconds(std::llround(options.interval_s * 1000));
  control::PingSummary summary;
  summary.peer = printable(peer);
  summary.size = request.size;
  const auto began = std::chrono::steady_clock::now();
  const Interrupt interrupt;
  bool heard = options.json || print(fmt::format("PING {} through its tunnel, packets of {} bytes{}.\n", summary.peer,
                                                 request.size, request.dont_fragment ? ", none to be fragmented" : ""));
  const auto on_line = [&](const std::string& line) {
    const auto report = control::parse_ping_report(line);
    if (!report) return true;  // of a daemon that is newer than this command
    if (summary.packets.size() < control::max_pings) summary.packets.push_back(*report);
    if (!options.json) heard = heard && print(packet_line(*report, summary.peer, request.size));
    return heard && summary.packets.size() != request.count;
  };
  const auto end = follow(socket, {"ping", peer, control::to_text(request)}, on_line, interrupt.fd());
  if (end && !end->ok) {
    complain(printable(end->error));
    return ExitCode::failed;
  }
  if (!end && end.error().code != Errc::cancelled && summary.packets.empty()) {
    complain(end.error().detail);
    return ExitCode::unreachable;
  }
  control::complete(summary);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  heard = heard && print(options.json ? control::to_json(summary) + "\n" : summary_text(summary, took));
  return heard && summary.received != 0 ? ExitCode::ok : ExitCode::failed;
}

}  // namespace culvert::cli

#include "commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "client.h"
#include "culvert/base/text.h"
#include "culvert/config/client_profile.h"
#include "culvert/config/config.h"
#include "output.h"
#include "render.h"

namespace culvert::cli {
namespace {

std::expected<control::StatusReport, ExitCode> ask_for_status(const std::filesystem::path& socket) {
  auto response = ask_for(socket, {"status", "", ""});
  if (!response) return std::unexpected(response.error());
  if (response->status) return std::move(*response->status);
  complain("culvertd answered without a status");
  return std::unexpected(ExitCode::failed);
}

ExitCode show_status(const std::filesystem::path& socket, const StatusOptions& options, std::string_view before) {
  const auto status = ask_for_status(socket);
  if (!status) return status.error();
  const std::string text =
      options.json ? control::to_json(*status) + "\n" : render_status(*status, Display::of_stdout());
  if (!print(std::string(before) + text)) return ExitCode::failed;
  return options.check && any_tunnel_down(*status) ? ExitCode::tunnel_down : ExitCode::ok;
}

ExitCode show_users(const std::filesystem::path& socket, const StatusOptions& options, std::string_view before) {
  const auto response = ask_for(socket, {"users", "", ""});
  if (!response) return response.error();
  if (!response->users) {
    complain("culvertd answered without users");
    return ExitCode::failed;
  }
  const std::string text =
      options.json ? control::to_json(*response->users) + "\n" : render_users(*response->users, Display::of_stdout());
  return print(std::string(before) + text) ? ExitCode::ok : ExitCode::failed;
}

void name_known_peers(const std::filesystem::path& socket) {
  const auto response = ask(socket, {"status", "", ""});
  if (!response || !response->status || response->status->peers.empty()) return;
  constexpr std::size_t max_listed = 20;
  std::vector<std::string> names;
  for (const auto& peer : response->status->peers) {
    if (names.size() == max_listed) {
      names.emplace_back("…");
      break;
    }
    names.push_back(printable(peer.name));
  }
  complain(fmt::format("the peers are: {}", fmt::join(names, ", ")));
}

}  // namespace

ExitCode run_status(const std::filesystem::path& socket, const StatusOptions& options) {
  const auto show = options.users ? show_users : show_status;
  if (!options.watch_seconds) return show(socket, options, "");
  const bool redraw = !options.json && ::isatty(STDOUT_FILENO) != 0;
  for (;;) {
    // Home and clear to the end; a pipe gets one report behind the other.
    const ExitCode code = show(socket, options, redraw ? "\x1b[H\x1b[2J" : "");
    if (code == ExitCode::failed) return code;
    std::this_thread::sleep_for(std::chrono::duration<double>(*options.watch_seconds));
    if (!redraw && !options.json && !print("\n")) return ExitCode::failed;
  }
}

ExitCode run_drops(const std::filesystem::path& socket, bool json, bool all) {
  const auto response = ask_for(socket, {"drops", "", ""});
  if (!response) return response.error();
  if (!response->drops) {
    complain("culvertd answered without drops");
    return ExitCode::failed;
  }
  return printed(json ? control::to_json(*response->drops) + "\n"
                      : render_drops(*response->drops, all, Display::of_stdout()));
}

ExitCode run_request(const std::filesystem::path& socket, const control::Request& request) {
  const auto response = ask(socket, request);
  if (!response) {
    complain(response.error().detail);
    return ExitCode::unreachable;
  }
  if (response->ok) return printed(response->message.empty() ? "" : printable(response->message) + "\n");
  if (response->code == "not_found" && !request.peer.empty()) return refused_peer(socket, request.peer);
  complain(printable(response->error));
  return ExitCode::failed;
}

ExitCode refused_peer(const std::filesystem::path& socket, const std::string& peer) {
  complain(fmt::format("there is no peer {}", printable(peer)));
  name_known_peers(socket);
  return ExitCode::failed;
}

namespace {

ExitCode tell_mistakes(const std::vector<config::Diagnostic>& mistakes) {
  for (const auto& mistake : mistakes) fmt::print(stderr, "{}\n", mistake.to_string());
  return ExitCode::failed;
}

void tell_warnings(const std::vector<config::Diagnostic>& warnings) {
  for (const auto& warning : warnings) fmt::print(stderr, "{} (warning)\n", warning.to_string());
}

}  // namespace

ExitCode run_check(const std::filesystem::path& file) {
  const auto config = config::load(file);
  if (!config) return tell_mistakes(config.error());
  tell_warnings(config->warnings);
  const auto counted = [](std::size_t count, std::string_view noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
  };
  return printed(fmt::format("{}: ok: {}, {}\n", printable(file.string()), counted(config->peers.size(), "peer"),
                             counted(config->tunnels.size(), "tunnel")));
}

ExitCode run_check_profile(const std::filesystem::path& file) {
  const auto profile = config::load_client(file);
  if (!profile) return tell_mistakes(profile.error());
  tell_warnings(profile->config.warnings);
  return printed(fmt::format("{}: ok: {} to {}\n", printable(file.string()), profile->device,
                             printable(fmt::format("{}", fmt::join(profile->servers, ", ")))));
}

}  // namespace culvert::cli

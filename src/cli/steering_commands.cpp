#include <fmt/format.h>

#include "client.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "output.h"
#include "render.h"

namespace culvert::cli {
namespace {

/// The response when the daemon said yes; otherwise the exit status, after a message.
std::expected<control::Response, ExitCode> ask_for(const std::filesystem::path& socket,
                                                   const control::Request& request) {
  auto response = ask(socket, request);
  if (!response) {
    complain(response.error().detail);
    return std::unexpected(ExitCode::unreachable);
  }
  if (!response->ok) {
    complain(printable(response->error.empty() ? "culvertd refused without saying why" : response->error));
    return std::unexpected(ExitCode::failed);
  }
  return std::move(*response);
}

}  // namespace

ExitCode run_routes(const std::filesystem::path& socket, bool json) {
  const auto response = ask_for(socket, {"routes", "", ""});
  if (!response) return response.error();
  if (!response->routes) {
    complain("culvertd answered without routes");
    return ExitCode::failed;
  }
  return printed(json ? control::to_json(*response->routes) + "\n"
                      : render_routes(*response->routes, Display::of_stdout()));
}

ExitCode run_log_level(const std::filesystem::path& socket, const std::string& level, bool json) {
  const auto response = ask_for(socket, {"log-level", "", level});
  if (!response) return response.error();
  if (!response->log_level) {
    complain("culvertd answered without a level");
    return ExitCode::failed;
  }
  const auto& now = *response->log_level;
  if (json) return printed(control::to_json(now) + "\n");
  const std::string back = now.level == now.configured
                               ? " (as configured)"
                               : fmt::format(" (a reload brings back {})", printable(now.configured));
  return printed(printable(now.level) + back + "\n");
}

}  // namespace culvert::cli

#include <fmt/format.h>

#include "client.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "output.h"
#include "render.h"

namespace culvert::cli {
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

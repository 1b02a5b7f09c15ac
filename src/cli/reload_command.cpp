// `culvert reload` and `culvert diff`.
#include <fmt/format.h>

#include <chrono>

#include "client.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "output.h"

namespace culvert::cli {
namespace {

/// Thousands of peers with their keys and certificates take a while to read.
constexpr std::chrono::seconds reload_timeout{60};

ExitCode show_mistakes(const control::Response& response) {
  for (const std::string& mistake : response.mistakes) fmt::print(stderr, "{}\n", printable(mistake));
  complain(printable(response.error));
  return ExitCode::failed;
}

ExitCode run(const std::filesystem::path& socket, const control::Request& request, bool json) {
  const auto response = ask(socket, request, reload_timeout);
  if (!response) {
    complain(response.error().detail);
    return ExitCode::unreachable;
  }
  if (!response->ok) return show_mistakes(*response);
  const auto changes = response->changes.value_or(std::vector<control::ChangeReport>{});
  if (json) return printed(control::to_json(changes) + "\n");
  std::string text;
  for (const auto& change : changes) text += printable(change.text) + "\n";
  return printed(text + printable(response->message) + "\n");
}

}  // namespace

ExitCode run_reload(const std::filesystem::path& socket, const ReloadOptions& options) {
  std::string what;
  if (options.confirm) what = fmt::format("{}", *options.confirm);
  if (options.dry_run) what = "dry-run";
  if (options.confirmed) what = "confirmed";
  if (options.revert) what = "revert";
  return run(socket, {"reload", "", what}, options.json);
}

ExitCode run_diff(const std::filesystem::path& socket, const std::optional<std::filesystem::path>& file, bool json) {
  std::error_code unknown;  // an empty path then, which the daemon refuses
  const std::string path = file ? std::filesystem::absolute(*file, unknown).lexically_normal().string() : "";
  return run(socket, {"diff", "", path}, json);
}

}  // namespace culvert::cli

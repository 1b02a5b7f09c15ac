#include "client.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "culvert/control/events.h"
#include "interrupt.h"
#include "output.h"
#include "render.h"

namespace culvert::cli {
namespace {

/// False: standard output is gone.
bool show_event(const std::string& line, bool json) {
  const auto event = control::parse_event(line);
  if (!event) return true;  // of a daemon that is newer than this command
  return print(json ? control::to_json(*event) + "\n" : render_event(*event, Display::of_stdout()));
}

}  // namespace

ExitCode run_monitor(const std::filesystem::path& socket, const std::string& peer, bool json) {
  const Interrupt interrupt;
  const auto end = follow(
      socket, {"monitor", peer, ""}, [json](const std::string& line) { return show_event(line, json); },
      interrupt.fd());
  if (end && end->ok) return ExitCode::failed;  // nobody takes what is printed
  if (end) {
    if (end->code == "not_found") return refused_peer(socket, peer);
    complain(printable(end->error));
    return ExitCode::failed;
  }
  if (end.error().code == Errc::cancelled) return ExitCode::ok;
  complain(end.error().detail);
  return ExitCode::unreachable;
}

ExitCode run_trace(const std::filesystem::path& socket, const std::string& peer, bool json) {
  const auto response = ask(socket, {"trace", peer, ""});
  if (!response) {
    complain(response.error().detail);
    return ExitCode::unreachable;
  }
  if (response->code == "not_found") return refused_peer(socket, peer);
  if (!response->trace) {
    complain(response->ok ? "culvertd answered without a trace" : printable(response->error));
    return ExitCode::failed;
  }
  return printed(json ? control::to_json(*response->trace) + "\n"
                      : render_trace(*response->trace, Display::of_stdout()));
}

}  // namespace culvert::cli

// What the operator asks for by the control socket.
#include <fmt/format.h>

#include <utility>

#include "culvert/base/log.h"
#include "daemon.h"
#include "status_report.h"

namespace culvert::daemon {
namespace {

control::Response refuse(std::string code, std::string error) {
  control::Response response;
  response.code = std::move(code);
  response.error = std::move(error);
  return response;
}

ike::IkeEndpoint::RekeyWhat rekey_what(const std::string& what) {
  using enum ike::IkeEndpoint::RekeyWhat;
  if (what == "ike") return ike;
  return what == "children" ? children : both;
}

}  // namespace

control::Response Daemon::answer(const control::Request& request) {
  const TimePoint now = Clock::now();
  if (!ike_ || stopping_) return refuse("busy", "culvertd is starting or stopping: try again");
  control::Response response;
  response.ok = true;
  if (request.command == "status") {
    response.status = make_status(
        {config_, *plane_, ike_->status(now), [this](const Endpoint& endpoint) { return streams_.text_of(endpoint); },
         [this](TunnelId id) { return machine_->mtu(id); }, &paths_, &traffic_, now, started_,
         std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()), revocation_->report()});
    response.status->key_export = key_export_.describe(now);
    return response;
  }
  if (request.command == "capture") return answer_capture(request.peer);
  if (request.command == "keys") return answer_keys(now, request);
  if (request.command == "drops") {
    response.drops = make_drops(*plane_);
    return response;
  }
  if (request.command == "users") {
    auto& users = response.users.emplace();
    for (const auto& client : ike_->clients(now, std::nullopt, control::max_users))
      users.push_back(make_user(client, config_, *plane_, now));
    return response;
  }
  if (request.command == "monitor") return answer_monitor(request);
  if (request.command == "trace") return answer_trace(request);
  if (request.command == "routes") return answer_routes();
  if (request.command == "log-level") return answer_log_level(request.what);
  if (request.command == "mtu") return answer_mtu(request);
  if (request.command == "ping") return answer_ping(request);
  if (request.command == "diff")
    return answer_diff(request.what.empty() ? config_file_ : std::filesystem::path(request.what));
  if (request.command == "reload" && request.what == "dry-run") return answer_diff(config_file_);
  tell(log::Level::info, log::Subject{.peer = log::sanitize(request.peer), .event = EventKind::operator_command},
       fmt::format("operator: {}{}{} {}", request.command, request.what.empty() ? "" : " ", log::sanitize(request.what),
                   log::sanitize(request.peer)));
  if (request.command == "reload") return answer_reload(request.what);
  if (request.command == "up")
    return answer_change(ike_->up(now, request.peer), fmt::format("{}: coming up", request.peer));
  if (request.command == "down")
    return answer_change(ike_->down(now, request.peer), fmt::format("{}: down", request.peer));
  if (request.command == "rekey")
    return answer_change(ike_->rekey(now, request.peer, rekey_what(request.what)),
                         fmt::format("{}: rekeying", request.peer));
  if (request.command == "reauth")
    return answer_change(ike_->reauthenticate(now, request.peer),
                         fmt::format("{}: authenticating again, by a new IKE SA beside the old one", request.peer));
  if (request.command == "kick")
    return answer_change(ike_->kick(now, request.what), fmt::format("{}: disconnected", log::sanitize(request.what)));
  if (request.command == "redirect") {
    const std::string gateway = request.what == "none" ? "" : request.what;
    return answer_change(ike_->redirect(now, gateway),
                         gateway.empty() ? "redirect: off" : fmt::format("callers are sent to {}", gateway));
  }
  return refuse("malformed", fmt::format("unknown command \"{}\"", request.command));
}

control::Response Daemon::answer_change(Result<ike::Actions> result, std::string message) {
  if (!result) return refuse(result.error().code == Errc::not_found ? "not_found" : "invalid", result.error().detail);
  perform(std::move(*result));
  control::Response response;
  response.ok = true;
  response.message = std::move(message);
  return response;
}

}  // namespace culvert::daemon

#pragma once
#include <string>
#include <vector>

#include "culvert/control/events.h"
#include "culvert/control/protocol.h"
#include "human.h"

namespace culvert::cli {

/// A block for the gateway and one for each peer with its tunnels, up or down; whoever is down says why. Ends with a
/// newline. The worst come first, else in the order of the configuration.
[[nodiscard]] std::string render_status(const control::StatusReport& status, const Display& display);
/// A row for each reason; those that never happened only with `all`.
[[nodiscard]] std::string render_drops(const std::vector<control::DropReport>& drops, bool all, const Display& display);

/// A row for each user that is connected.
[[nodiscard]] std::string render_users(const std::vector<control::UserReport>& users, const Display& display);

/// "2026-11-23 03:00:01.123  peer-up  peer tokyo: up: …", in local time; the text on a line of its own where it is
/// narrow.
[[nodiscard]] std::string render_event(const control::EventReport& event, const Display& display);
/// RFC 3339 in UTC, as people here say it; what is no such time stays as it is.
[[nodiscard]] std::string local_time(const std::string& utc);

/// A line for each message and note, under the names of the peers.
[[nodiscard]] std::string render_trace(const std::vector<control::TraceReport>& trace, const Display& display);

/// A line for each route, guard and rule, and below it why it is not as it should be.
[[nodiscard]] std::string render_routes(const std::vector<control::RouteReport>& routes, const Display& display);

[[nodiscard]] bool any_tunnel_down(const control::StatusReport& status);

/// `text` cut into lines of at most `width` columns at spaces, the lines after the first behind `indent` spaces. A word
/// longer than a line stays whole. `width` 0: one line.
[[nodiscard]] std::string wrapped(std::string_view text, std::size_t indent, std::size_t width);

}  // namespace culvert::cli

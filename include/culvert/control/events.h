#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "culvert/base/result.h"

namespace culvert::control {

// `monitor` is answered by a response, and from then on by a line for each event, until either end closes. A reader
// that does not read loses events, and is told how many.
inline constexpr std::size_t max_watchers = 8;  ///< at a time
inline constexpr std::size_t max_watcher_backlog = 128u
                                                   << 10;  ///< bytes that wait for a reader, beside the socket's own
inline constexpr std::size_t max_line_len = 64u << 10;     ///< bytes of a line that a client accepts

/// Something has happened. Members that do not apply are empty, and left out of the JSON.
struct EventReport {
  std::string time;    ///< RFC 3339, UTC, milliseconds
  std::string event;   ///< event_name(): "peer-up"
  std::string peer;    ///< [peer.NAME], or a client's name
  std::string tunnel;  ///< [tunnel.NAME]; of a child SA that several share, all of them
  std::string spi;
  std::string reason;
  std::string text;                     ///< the whole in a line, for people
  std::optional<std::uint64_t> missed;  ///< of "missed": how many events this reader was too slow for
};

// Pure; any thread.

/// One line of JSON without the newline, as it goes over the socket and as `culvert monitor --json` prints it.
[[nodiscard]] std::string to_json(const EventReport& event);
/// Tolerant, as parse_response is: Errc::malformed when it is no JSON object, or of another `schema`.
[[nodiscard]] Result<EventReport> parse_event(std::string_view line);

}  // namespace culvert::control

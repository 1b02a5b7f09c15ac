#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::control {

// `ping` is answered by a response, and from then on by a line for each packet that was answered or lost, in the order
// in which that is known; after the last one the daemon closes.
inline constexpr std::size_t max_pingers = 8;  ///< at a time
inline constexpr std::uint32_t max_pings = 100'000;
inline constexpr std::uint32_t min_ping_size = 64, max_ping_size = 9000;  ///< bytes of inner packet
inline constexpr std::chrono::milliseconds min_ping_interval{20}, max_ping_interval{60'000};

/// What the request's `what` says: "count=5 interval=1000 size=64 df".
struct PingRequest {
  std::uint32_t count = 0;  ///< 0: until the client closes
  std::chrono::milliseconds interval{1000};
  std::uint32_t size = min_ping_size;
  bool dont_fragment = false;  ///< outside, too: what the path does not carry in one piece is lost
};
[[nodiscard]] std::string to_text(const PingRequest& request);
/// Errc::malformed says which word is wrong.
[[nodiscard]] Result<PingRequest> parse_ping(std::string_view text);

struct PingReport {
  std::uint64_t sequence = 0;           ///< from 1
  std::optional<std::uint64_t> rtt_us;  ///< null: no answer in time
  bool sent = true;                     ///< false: it did not even leave
};
/// One line of JSON without the newline, as it goes over the socket.
[[nodiscard]] std::string to_json(const PingReport& report);
[[nodiscard]] Result<PingReport> parse_ping_report(std::string_view line);

/// What `culvert ping --json` prints at its end.
struct PingSummary {
  std::string peer;
  std::uint64_t size = 0, sent = 0, received = 0;
  std::optional<std::uint64_t> rtt_min_us, rtt_avg_us, rtt_max_us, rtt_mdev_us;
  std::vector<PingReport> packets;
};
[[nodiscard]] std::string to_json(const PingSummary& summary);
/// min, avg, max and mdev (the standard deviation, as ping(8) has it) of what was answered.
void complete(PingSummary& summary);

}  // namespace culvert::control

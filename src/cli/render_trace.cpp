#include <fmt/format.h>

#include "culvert/base/text.h"
#include "render.h"

namespace culvert::cli {
namespace {

/// "IKE_AUTH request 1, 312 bytes, in 2 fragments, sent 3 times".
std::string headline(const control::TraceReport& entry) {
  std::string text =
      fmt::format("{} {} {}", printable(entry.exchange), entry.response ? "response" : "request", entry.message_id);
  if (entry.bytes > 0) text += fmt::format(", {} bytes", entry.bytes);
  if (entry.datagrams > 1) text += fmt::format(", in {} fragments", entry.datagrams);
  if (entry.tries > 1) text += fmt::format(", sent {} times", entry.tries);
  return text;
}

std::string body_of(const control::TraceReport& entry, const Display& display) {
  if (entry.kind == "note") return display.yellow("* ");
  const bool sent = entry.kind == "sent";
  return fmt::format("{} {} {} {}: ", sent ? "→" : "←", headline(entry), sent ? "to" : "from", printable(entry.remote));
}

}  // namespace

std::string render_trace(const std::vector<control::TraceReport>& trace, const Display& display) {
  if (trace.empty()) return "nothing has been said yet\n";
  std::string text, peer;
  for (const auto& entry : trace) {
    if (&entry == &trace.front() || (entry.peer != peer && !entry.peer.empty())) {
      peer = entry.peer;
      if (!peer.empty()) text += display.bold("peer " + printable(peer)) + "\n";
    }
    constexpr std::size_t indent = 8;
    const std::string line = body_of(entry, display) + printable(entry.text);
    const std::string time = local_time(entry.time);
    const bool narrow = display.width != 0 && display.width < 80;
    text += "  " + time + (narrow ? "\n" + std::string(indent, ' ') : "  ");
    const std::size_t used = narrow ? indent : columns_of(time) + 4;
    const std::size_t room = std::max<std::size_t>(display.width, used + 30) - used;
    text += wrapped(line, narrow ? indent + 2 : used + 2, display.width == 0 ? 0 : room) + "\n";
  }
  return text;
}

}  // namespace culvert::cli

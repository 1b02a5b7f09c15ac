#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <ctime>

#include "culvert/base/text.h"
#include "render.h"

namespace culvert::cli {
namespace {

constexpr std::size_t kind_width = 16;  // of the longest name that is common

/// Green is good news, red bad; the rest is neither.
std::string painted(const Display& display, const std::string& event) {
  const std::string padded = fmt::format("{:<{}}", printable(event), kind_width);
  if (event == "peer-up" || event == "tunnel-up" || event == "tunnel-recovered") return display.green(padded);
  for (const char* bad : {"peer-down", "tunnel-down", "tunnel-degraded", "attempt-failed", "auth-failed", "refused",
                          "child-failed", "rekey-failed", "reload-refused", "missed", "stopping"})
    if (event == bad) return display.red(padded);
  return display.bold(padded);
}

}  // namespace

std::string local_time(const std::string& utc) {
  std::tm fields{};
  const char* rest = ::strptime(utc.c_str(), "%Y-%m-%dT%H:%M:%S", &fields);
  if (rest == nullptr) return printable(utc);
  const std::time_t time = ::timegm(&fields);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}{}", fmt::localtime(time),
                     printable(std::string_view(rest).substr(0, std::string_view(rest).find('Z'))));
}

std::string render_event(const control::EventReport& event, const Display& display) {
  const std::string time = local_time(event.time);
  const std::size_t used = columns_of(time) + 2 + std::max(kind_width, columns_of(event.event)) + 1;
  const std::string head = time + "  " + painted(display, event.event) + " ";
  constexpr std::size_t least_room = 30;
  const std::string text = printable(event.text);
  if (display.width == 0 || display.width >= used + least_room)
    return head + wrapped(text, used, display.width == 0 ? 0 : display.width - used) + "\n";
  constexpr std::size_t indent = 4;  // narrow: the text goes below
  return head + "\n" + std::string(indent, ' ') +
         wrapped(text, indent, std::max(display.width, indent + least_room) - indent) + "\n";
}

}  // namespace culvert::cli

#include <fmt/format.h>

#include <algorithm>

#include "culvert/base/text.h"
#include "render.h"

namespace culvert::cli {

std::string render_drops(const std::vector<control::DropReport>& drops, bool all, const Display& display) {
  std::size_t reason_width = 0, packets_width = 0;
  for (const auto& drop : drops) {
    if (drop.packets == 0 && !all) continue;
    reason_width = std::max(reason_width, columns_of(drop.reason));
    packets_width = std::max(packets_width, human_count(drop.packets).size());
  }
  if (reason_width == 0) return "no packet was dropped\n";
  std::string text;
  const std::size_t at = reason_width + packets_width + 4;
  constexpr std::size_t min_text_width = 20;
  const std::size_t room = display.width == 0 ? 0 : std::max(display.width, at + min_text_width) - at;
  for (const auto& drop : drops) {
    if (drop.packets == 0 && !all) continue;
    const std::string padding(reason_width - columns_of(drop.reason), ' ');
    text += fmt::format("{}{}  {:>{}}  {}\n", display.bold(printable(drop.reason)), padding, human_count(drop.packets),
                        packets_width, wrapped(printable(drop.text), at, room));
  }
  return text;
}

}  // namespace culvert::cli

#include "human.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace culvert::cli {

std::string human_duration(std::uint64_t seconds) {
  constexpr std::uint64_t minute = 60, hour = 60 * minute, day = 24 * hour;
  if (seconds >= day) return fmt::format("{}d {}h", seconds / day, seconds % day / hour);
  if (seconds >= hour) return fmt::format("{}h {}m", seconds / hour, seconds % hour / minute);
  if (seconds >= minute) return fmt::format("{}m {}s", seconds / minute, seconds % minute);
  return fmt::format("{}s", seconds);
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::array units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double amount = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; amount >= 1023.95 && unit + 1 < units.size(); ++unit) amount /= 1024;  // 1023.95 would print as 1024.0
  return fmt::format("{:.1f} {}", amount, units[unit]);
}

std::string human_bits(std::uint64_t bits) {
  constexpr std::array units = {"bit", "kbit", "Mbit", "Gbit", "Tbit"};
  auto value = static_cast<double>(bits);
  std::size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < units.size(); ++unit) value /= 1000;
  return unit == 0 ? fmt::format("{} bit", bits) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string human_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ' ');
  }
  return digits;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string Display::painted(std::string_view code, std::string_view text) const {
  if (!colour) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

Display Display::of_stdout() {
  Display display;
  if (::isatty(STDOUT_FILENO) == 0) return display;
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  display.colour = (!no_color || *no_color == '\0') && term && std::string_view(term) != "dumb";
  winsize size{};
  display.width = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : 80;
  return display;
}

}  // namespace culvert::cli

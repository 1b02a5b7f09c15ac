#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace culvert::log {

enum class Level : std::uint8_t { debug, info, warn, error };

/// What every line goes through: at most 10 lines in any second, whatever arrives; what was left out is
/// counted, and a line says how many as soon as there is room. Thread-safe; never called per packet.
void write(Level level, std::string_view message);
void set_level(Level level) noexcept;
[[nodiscard]] bool enabled(Level level) noexcept;
/// Everything but printable ASCII becomes \xNN and 256 bytes are the end: text that a peer chose cannot forge a line or colour a
/// terminal.
[[nodiscard]] std::string sanitize(std::string_view text);
/// Where lines go instead of stderr (tests). An empty function restores stderr.
void set_sink(std::function<void(Level, std::string_view)> sink);
[[nodiscard]] std::uint64_t num_suppressed() noexcept;  ///< lines left out by the limit since the start

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::warn)) write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::error)) write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace culvert::log

#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "culvert/base/event.h"

namespace culvert::log {

enum class Level : std::uint8_t { debug, info, warn, error };

/// What a line is about, for those who search: fields of JSON and of the journal. Empty ones do not apply. Values that
/// somebody else chose go through sanitize, as the line does.
struct Subject {
  std::string peer{};    ///< [peer.NAME], or a client's name
  std::string tunnel{};  ///< [tunnel.NAME]; of a child SA that several share, all of them
  std::string spi{};     ///< "0x…", the inbound SPI of ESP or ours of IKE
  std::string reason{};  ///< why it is so, in words
  EventKind event = EventKind::none;

  /// The same as an event.
  [[nodiscard]] Subject as(EventKind kind) && {
    event = kind;
    return std::move(*this);
  }

  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const;
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) const;
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const;
};
struct Record {
  Level level;
  std::string_view message;
  const Subject& about;
};

/// What every line goes through: at most 10 lines in any second, whatever arrives; what was left out is
/// counted, and a line says how many as soon as there is room. Thread-safe; never called per packet.
void write(Level level, std::string_view message, const Subject& about = {});
/// A warning that no flood of other lines leaves out: of what root alone can cause, and everybody should know.
void alarm(std::string_view message);
void set_level(Level level) noexcept;
[[nodiscard]] bool enabled(Level level) noexcept;
/// Everything but printable ASCII becomes \xNN and 256 bytes are the end: text that a peer chose cannot forge a line or
/// colour a terminal.
[[nodiscard]] std::string sanitize(std::string_view text);
/// Where lines go instead of stderr as text. It is called by one thread at a time. An empty function restores stderr.
void set_output(std::function<void(const Record&)> output);
/// The same for those who want the line alone (tests).
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

template <class... Args>
void Subject::info(fmt::format_string<Args...> format, Args&&... args) const {
  if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...), *this);
}
template <class... Args>
void Subject::warn(fmt::format_string<Args...> format, Args&&... args) const {
  if (enabled(Level::warn)) write(Level::warn, fmt::format(format, std::forward<Args>(args)...), *this);
}
template <class... Args>
void Subject::error(fmt::format_string<Args...> format, Args&&... args) const {
  if (enabled(Level::error)) write(Level::error, fmt::format(format, std::forward<Args>(args)...), *this);
}

}  // namespace culvert::log

#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "culvert/base/time.h"

namespace culvert::ike {

/// What the endpoint remembers of a session or a peer between two calls. Part of that object; Core alone writes it.
struct AgendaMark {
  bool touched = false;          ///< in the call under way
  std::optional<TimePoint> due;  ///< as it stands in the agenda
};

/// Who wants to be called when, in the order of their times, so that a call costs no walk over all of them. Known by
/// number (a session's own SPI, a peer's id), so that it outlives none of them. Control thread.
class Agenda {
 public:
  enum class Kind : std::uint8_t { session, peer };
  struct Entry {
    Kind kind;
    std::uint64_t number;
    friend auto operator<=>(const Entry&, const Entry&) = default;
  };

  void set(Entry entry, AgendaMark& mark, std::optional<TimePoint> due);
  [[nodiscard]] std::optional<TimePoint> first() const;
  /// Those whose time has come, sessions first; they are no longer in the agenda, and have a new time set by whoever
  /// calls them.
  [[nodiscard]] std::vector<Entry> take_due(TimePoint now);

 private:
  std::set<std::pair<TimePoint, Entry>> entries_;
};

}  // namespace culvert::ike

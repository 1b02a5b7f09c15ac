#include "culvert/base/event.h"

#include <array>
#include <cstddef>

namespace culvert {

std::string_view event_name(EventKind kind) noexcept {
  static constexpr std::array<std::string_view, static_cast<std::size_t>(EventKind::count_)> names = {
      "",
      "connecting",
      "peer-up",
      "peer-down",
      "attempt-failed",
      "auth-failed",
      "refused",
      "ike-rekeyed",
      "ike-closed",
      "reauthenticating",
      "tunnel-up",
      "tunnel-down",
      "tunnel-degraded",
      "tunnel-recovered",
      "child-up",
      "child-rekeyed",
      "child-deleted",
      "child-failed",
      "rekey-failed",
      "peer-moved",
      "redirected",
      "path-mtu",
      "device-renewed",
      "certificate",
      "reloaded",
      "reload-refused",
      "reload-confirmed",
      "reload-reverted",
      "log-level",
      "operator",
      "stopping",
      "missed",
  };
  static_assert(!names.back().empty());
  const auto index = static_cast<std::size_t>(kind);
  return index < names.size() ? names[index] : std::string_view();
}

}  // namespace culvert
